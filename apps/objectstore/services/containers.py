"""Writes of accounts and containers."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.core import live
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from apps.core.transactions import service
from apps.objectstore import backends
from apps.objectstore.models import Account, Bucket, Container, Object, Version
from apps.objectstore.selectors import acl_cleaned, container_row, grants, lists
from apps.objectstore.selectors.access import bucket_of, is_reseller, require, require_owner, require_writer
from apps.objectstore.selectors.facts import opened
from apps.objectstore.services.uploads import uploads_end
from apps.objectstore.services.versions import Keeping, keeping_changed
from apps.objectstore.states import (
    MAX_META_COUNT,
    MAX_META_NAME,
    MAX_META_OVERALL,
    MAX_META_VALUE,
    is_bucket_name,
)

QUOTAS = {"Quota-Bytes", "Quota-Count"}
POLICY_QUOTAS = ("Quota-Bytes-Policy-", "Quota-Count-Policy-")  # before a storage policy's name
KEYS = {"Temp-Url-Key", "Temp-Url-Key-2"}  # of signed addresses
Changes = Mapping[str, str]  # name without prefix → value; "" removes


@service("object_store:public")
def account_post(ctx: RequestContext, *, account: str, changes: Changes, access: str | None = None) -> None:
    """Change an account's metadata, and its access list (JSON; None: as it is). Its quota is the reseller's to set.

    Raises Forbidden, Invalid.
    """
    require_owner(ctx, account)
    if any(is_quota(name) for name in changes) and not is_reseller(ctx):
        raise Forbidden("An account's quota is set by the cloud's administrators.", rule="object_store:reseller")
    account_ensured(account)
    row = Account.objects.select_for_update(no_key=True).get(pk=account)
    row.metadata = changed(row.metadata, changes)
    if access is not None:
        row.access = lists.account_acl_cleaned(access)
    row.save(update_fields=["metadata", "access"])


@service("object_store:public")
def container_put(
    ctx: RequestContext,
    *,
    account: str,
    container: str,
    policy: str = "",
    changes: Changes,
    read_acl: str | None = None,
    write_acl: str | None = None,
    keeping: Keeping | None = None,
) -> bool:
    """Make a container, or change one as `container_post` does; returns whether it is new.

    Raises Forbidden, Invalid for an unknown policy, Conflict for another policy than it has.
    """
    _require_changes(ctx, account, container, changes, read_acl, write_acl)
    if policy and policy not in backends.policies():
        raise Invalid(f"There is no storage policy {policy!r}.", hint=f"There are: {', '.join(backends.policies())}.")
    account_ensured(account)
    made = Container(account_id=account, name=container, policy=policy or backends.DEFAULT)
    Container.objects.bulk_create([made], ignore_conflicts=True)
    row = _locked(keeping).get(account_id=account, name=container)
    if policy and row.policy != policy:
        raise Conflict(f"The container has the storage policy {row.policy}, which cannot be changed.")
    _claim(row)
    _require_keeping(ctx, row, keeping)
    _change(row, changes, read_acl, write_acl, keeping)
    return row.pk == made.pk


@service("object_store:public")
def container_post(
    ctx: RequestContext,
    *,
    account: str,
    container: str,
    changes: Changes,
    read_acl: str | None = None,
    write_acl: str | None = None,
    keeping: Keeping | None = None,
) -> None:
    """Change a container's metadata and access lists (None: as they are). Raises Forbidden, NotFound, Invalid."""
    _require_changes(ctx, account, container, changes, read_acl, write_acl)
    row = _locked(keeping).filter(account_id=account, name=container).first()
    if row is None:
        raise NotFound("container", container)
    opened(row)
    _require_keeping(ctx, row, keeping)
    _change(row, changes, read_acl, write_acl, keeping)


@service("object_store:public")
def container_delete(ctx: RequestContext, *, account: str, container: str) -> None:
    """Remove an empty container. Raises Forbidden, NotFound, Conflict where it has objects."""
    seen = container_row(account, container)
    require(ctx, account, seen, "s3:DeleteBucket")
    # Writers hold a key share of the row until they commit: from here on none can add an object.
    row = Container.objects.select_for_update().filter(pk=seen.pk).first() if seen else None
    if row is None:
        raise NotFound("container", container)
    if Object.objects.filter(container_id=row.pk).exists():
        # Swift's words: clients look for them.
        hint = "There are objects in the container: delete them first."
        raise Conflict("There was a conflict when trying to complete your request.", hint=hint, code="BucketNotEmpty")
    if Version.objects.filter(container_id=row.pk).exists():
        raise Conflict("Delete all versions before deleting container.", code="BucketNotEmpty")
    uploads_end(row)
    row.delete()  # deltas stay: the account's totals still lack them
    live.notify(account, "container", "")


def is_quota(name: str) -> bool:
    """Whether metadata of that name is a quota."""
    return name in QUOTAS or name.startswith(POLICY_QUOTAS)


def _require_changes(
    ctx: RequestContext, account: str, container: str, changes: Changes, read_acl: str | None, write_acl: str | None
) -> None:
    """Raise Forbidden unless the caller may change containers; keys and access lists are the owner's to set."""
    require_writer(ctx, account)
    if set(changes) & KEYS or read_acl is not None or write_acl is not None:
        require_owner(ctx, account)
        require(ctx, account, container_row(account, container), "s3:PutBucketAcl")  # a bucket's policy may deny it


def _require_keeping(ctx: RequestContext, row: Container, keeping: Keeping | None) -> None:
    """Raise Forbidden where a bucket's policy denies a change of what it keeps."""
    if keeping is not None:
        require(ctx, row.account_id, row, "s3:PutBucketVersioning")


def changed(metadata: Mapping[str, str], changes: Changes) -> dict[str, str]:
    """Metadata with changes made to it. Raises Invalid over a limit, and for quotas that are no numbers."""
    made = {name: value for name, value in (dict(metadata) | dict(changes)).items() if value}
    for name in filter(is_quota, changes):
        if changes[name] and not changes[name].isdecimal():
            raise Invalid(f"{name} is a number of 0 or more.", field=name)
    limits_checked(changes)
    limits_checked(made)
    return made


def limits_checked(metadata: Mapping[str, str]) -> None:
    """Raise Invalid where metadata is more than the limits that `/info` tells."""
    for name, value in metadata.items():
        if not name:
            raise Invalid("Metadata name cannot be empty")
        if len(name.encode()) > MAX_META_NAME:
            raise Invalid(f"Metadata name too long: {name}")
        if len(value.encode()) > MAX_META_VALUE:
            raise Invalid(f"Metadata value longer than {MAX_META_VALUE}: {name}")
    if len(metadata) > MAX_META_COUNT:
        raise Invalid(f"Too many metadata items; max {MAX_META_COUNT}")
    if sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items()) > MAX_META_OVERALL:
        raise Invalid(f"Total metadata too large; max {MAX_META_OVERALL}")


def _claim(row: Container) -> None:
    """Let S3 reach the container by its name, if it can have it and it is free; else by none."""
    if is_bucket_name(row.name) and not Bucket.objects.filter(container=row).exists():
        Bucket.objects.bulk_create([Bucket(name=row.name, container=row)], ignore_conflicts=True)


def account_ensured(account: str) -> bool:
    """Make the account's row unless it is there; whether it was made. Raises Gone for a closed one."""
    found = Account.objects.filter(pk=account).first()
    if found is None:
        Account.objects.bulk_create([Account(project_id=account)], ignore_conflicts=True)
    elif found.deleted_at is not None:
        raise Gone("account", account)
    return found is None


def _locked(keeping: Keeping | None) -> QuerySet[Container]:
    """How it keeps versions changes only while nobody writes objects."""
    return Container.objects.select_for_update(no_key=keeping is None)


def _change(
    row: Container, changes: Changes, read_acl: str | None, write_acl: str | None, keeping: Keeping | None
) -> None:
    row.metadata = changed(row.metadata, changes)
    if read_acl is not None:
        row.read_acl = acl_cleaned(read_acl, field="X-Container-Read", referrers=True)
    if write_acl is not None:
        row.write_acl = acl_cleaned(write_acl, field="X-Container-Write", referrers=False)
    public = any(map(lists.is_public, lists.entries_of(row.read_acl) + lists.entries_of(row.write_acl)))
    if public and (read_acl or write_acl) and grants.block_of(bucket_of(row)).refuse_acls:
        raise Forbidden("The bucket blocks public access lists.", rule="object_store:own")
    if keeping is not None:
        keeping_changed(row, keeping)
    Container.objects.filter(pk=row.pk).update(
        metadata=row.metadata,
        read_acl=row.read_acl,
        write_acl=row.write_acl,
        versioning=row.versioning,
        archive=row.archive,
        is_history=row.is_history,
        updated_at=Now(),
    )
    live.notify(row.account_id, "container", row.pk)
