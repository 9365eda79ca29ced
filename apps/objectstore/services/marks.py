"""What is said of an object without changing it: tags, grants, retention and legal hold, of one version each."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid, NotFound
from apps.core.transactions import internal, streaming
from apps.objectstore.models import Bucket, Container, Object, ObjectFields, Version
from apps.objectstore.selectors import container_row, grants
from apps.objectstore.selectors.access import bucket_of, decide, require
from apps.objectstore.selectors.conditions import Values
from apps.objectstore.services import lock, rows
from apps.objectstore.services.document_checks import MOST_TAGS_OF_OBJECT, tags_checked
from apps.objectstore.states import version_word

# Like `object_put` these leave no event in the audit log: what is done with single objects is in the access log.


@streaming("object_store:public")
def object_tags_put(
    ctx: RequestContext,
    *,
    account: str,
    container: str,
    name: str,
    tags: Mapping[str, str] | None,
    version_id: UUID | None = None,
) -> ObjectFields:
    """Replace a version's tags (None: the current one's; no tags: remove them). Raises Forbidden, NotFound, Invalid."""
    place = container_row(account, container)
    verb = "PutObject" if tags else "DeleteObject"
    action = f"s3:{verb}{'' if version_id is None else 'Version'}Tagging"
    require(ctx, account, place, action, name, facts=facts_of(tags, version_id=version_id))
    wanted = tags_checked((tags or {}).items(), MOST_TAGS_OF_OBJECT)
    return _changed(place, name, version_id, tags=wanted or None)


@streaming("object_store:public")
def object_acl_put(
    ctx: RequestContext,
    *,
    account: str,
    container: str,
    name: str,
    acl: Mapping[str, Any] | None,
    version_id: UUID | None = None,
) -> ObjectFields:
    """Replace a version's grants. Raises Forbidden, NotFound, Invalid where the bucket uses none."""
    place = container_row(account, container)
    action = f"s3:PutObject{'' if version_id is None else 'Version'}Acl"
    require(ctx, account, place, action, name, facts=facts_of(version_id=version_id))
    acl_checked(bucket_of(place), acl)
    return _changed(place, name, version_id, acl=dict(acl) if acl else None)


@streaming("object_store:public")
def object_retention_put(
    ctx: RequestContext,
    *,
    account: str,
    container: str,
    name: str,
    mode: str,
    until: datetime.datetime | None,
    version_id: UUID | None = None,
    bypass: bool = False,
) -> ObjectFields:
    """Retain a version until then, or (no mode) no longer. `bypass` asks to pass governance mode.

    Raises Forbidden, also for less than what protects it now; NotFound, Invalid.
    """
    place = container_row(account, container)
    require(
        ctx,
        account,
        place,
        "s3:PutObjectRetention",
        name,
        facts=facts_of(mode=mode, until=until, version_id=version_id),
    )
    _lock_checked(bucket_of(place))
    passes = bypass and may_bypass(ctx, account, place, name)
    return _retained(place, name, version_id, mode, until, passes)


@streaming("object_store:public")
def object_hold_put(
    ctx: RequestContext, *, account: str, container: str, name: str, hold: bool, version_id: UUID | None = None
) -> ObjectFields:
    """Put a legal hold on a version, or take it off. Raises Forbidden, NotFound, Invalid."""
    place = container_row(account, container)
    require(ctx, account, place, "s3:PutObjectLegalHold", name, facts=facts_of(hold=hold, version_id=version_id))
    _lock_checked(bucket_of(place))
    return _held(place, name, version_id, hold)


def facts_of(
    tags: Mapping[str, str] | None = None,
    mode: str = "",
    until: datetime.datetime | None = None,
    hold: bool | None = None,
    version_id: UUID | None = None,
) -> Values:
    """What conditions of policies can say of what a request wants to be said of an object."""
    found: dict[str, list[str]] = {f"s3:requestobjecttag/{key}": [value] for key, value in (tags or {}).items()}
    if tags:
        found["s3:requestobjecttagkeys"] = list(tags)
    if mode:
        found["s3:object-lock-mode"] = [mode]
    if until is not None:
        days = (until - datetime.datetime.now(datetime.UTC)).total_seconds() / 86_400
        found["s3:object-lock-retain-until-date"] = [until.isoformat()]
        found["s3:object-lock-remaining-retention-days"] = [str(max(0, math.ceil(days)))]
    if version_id is not None:
        found["s3:versionid"] = [version_word(version_id)]
    if hold is not None:
        found["s3:object-lock-legal-hold"] = ["ON" if hold else "OFF"]
    return found


def may_bypass(ctx: RequestContext, account: str, place: Container | None, name: str) -> bool:
    """Whether the caller may pass governance mode."""
    return decide(ctx, account, place, "s3:BypassGovernanceRetention", name).allowed


def acl_checked(bucket: Bucket | None, acl: Mapping[str, Any] | None) -> None:
    """Raise Forbidden for public grants where they are blocked, Invalid for any where none are used, or too many."""
    given = grants.of_document(acl)
    if len(given) > grants.MOST:
        raise Invalid(f"A list has {grants.MOST} grants at most.", code="MalformedACLError")
    if bucket is None or not given:
        return
    if not grants.are_used(bucket):
        raise Invalid("The bucket does not allow ACLs", code="AccessControlListNotSupported")
    if grants.block_of(bucket).refuse_acls and grants.are_public(given):
        raise Forbidden("The bucket blocks public access control lists.", rule="object_store:own")


def _lock_checked(bucket: Bucket | None) -> None:
    if bucket is None or not bucket.lock_enabled:
        raise Invalid("Bucket is missing Object Lock Configuration", code="InvalidRequest")


@internal("second part of the services above, after the rule")
def _changed(place: Container | None, name: str, version_id: UUID | None, **columns: object) -> ObjectFields:
    found = _locked(place, name, version_id)
    _write(found, columns)
    return found


@internal("second part of object_hold_put, after the rule")
def _held(place: Container | None, name: str, version_id: UUID | None, hold: bool) -> ObjectFields:
    found = _locked(place, name, version_id)
    lock.body_checked(bucket_of(place), has_others_bytes=lock.has_others_bytes(found))
    _write(found, {"legal_hold": hold})
    return found


@internal("second part of object_retention_put, after the rule")
def _retained(
    place: Container | None,
    name: str,
    version_id: UUID | None,
    mode: str,
    until: datetime.datetime | None,
    passes: bool,
) -> ObjectFields:
    found = _locked(place, name, version_id)
    lock.body_checked(bucket_of(place), has_others_bytes=lock.has_others_bytes(found))
    lock.retention_checked(found, mode, until, bypass=passes)
    _write(found, {"lock_mode": mode, "retain_until": until})
    return found


def _locked(place: Container | None, name: str, version_id: UUID | None) -> ObjectFields:
    """The row, after all other writers of the name. Raises NotFound, also for markers."""
    if place is None:
        raise NotFound("container")
    rows.alone(f"objectstore/{place.pk}/{name}")
    current = Object.objects.select_for_update().filter(container_id=place.pk, name=name).first()
    if current is not None and version_id in {None, current.version_id}:
        return current
    if version_id is None:
        raise NotFound("object", name)
    found = Version.objects.filter(container_id=place.pk, name=name, version_id=version_id, is_marker=False).first()
    if found is None:
        raise NotFound("version", version_id)
    return found


def _write(found: ObjectFields, columns: Mapping[str, object]) -> None:
    """In the row's own table; when the object was written does not change."""
    if isinstance(found, Version):
        Version.objects.filter(container_id=found.container_id, name=found.name, created_at=found.created_at).update(
            **columns
        )
    else:
        Object.objects.filter(container_id=found.container_id, name=found.name).update(**columns)
    for column, value in columns.items():
        setattr(found, column, value)
