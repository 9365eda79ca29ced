"""Lifecycle of objects: each day the rules of each bucket are gone through, in bounded batches that can be left off.

How far it has come is a row of the bucket's container. What is locked stays; it is looked at again the next day.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from django.db import DatabaseError
from django.db.models import Q
from django.db.models.functions import Now

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, KumoError
from apps.core.transactions import internal, is_database_away
from apps.objectstore.models import Bucket, Container, Object, Tending, Upload, Version
from apps.objectstore.selectors.lifecycle import Rule, after_days, expiration, is_over, midnight, rules_of
from apps.objectstore.services import history, rows
from apps.objectstore.services.uploads import upload_expire

logger = logging.getLogger("kumo.objectstore")

BATCH = 1000
_OBJECTS, _VERSIONS, _UPLOADS = "objects", "versions", "uploads"
_NEXT = {_OBJECTS: _VERSIONS, _VERSIONS: _UPLOADS, _UPLOADS: ""}


@internal("the collector", atomic=False)
def lifecycle_step(ctx: RequestContext, *, now: datetime.datetime | None = None) -> bool:
    """Go on with one bucket whose rules were not gone through today, for one batch; whether there was any."""
    at = now or datetime.datetime.now(datetime.UTC)
    bucket = _due(at)
    if bucket is None:
        return False
    tending = _begun(bucket.container, at)
    reached = _STAGES[tending.stage](bucket, tending.reached, at)
    if reached:
        Tending.objects.filter(pk=bucket.container_id).update(reached=reached)
    elif stage := _NEXT[tending.stage]:
        Tending.objects.filter(pk=bucket.container_id).update(stage=stage, reached="")
    else:
        Tending.objects.filter(pk=bucket.container_id).update(ended_at=at)
    return True


def _due(now: datetime.datetime) -> Bucket | None:
    """A bucket that has rules and is not done with today."""
    open_ = Q(container__tending=None) | Q(container__tending__ended_at=None)
    found = Bucket.objects.select_related("container").filter(documents__has_key="lifecycle")
    return found.filter(open_ | Q(container__tending__ended_at__lt=midnight(now))).order_by("name").first()


def _begun(container: Container, now: datetime.datetime) -> Tending:
    """How far this day's round has come; a new one begins where the last has ended."""
    found, _ = Tending.objects.get_or_create(container=container, defaults={"stage": _OBJECTS})
    if found.ended_at is not None:
        found.stage, found.reached, found.ended_at = _OBJECTS, "", None
        Tending.objects.filter(pk=container.pk).update(stage=_OBJECTS, reached="", ended_at=None, began_at=Now())
    return found


# --- the stages: each returns where to go on, "" at the end ------------------------------------------


def _objects(bucket: Bucket, reached: str, now: datetime.datetime) -> str:
    rules = [rule for rule in rules_of(bucket) if "days" in rule or "date" in rule]
    if not rules:
        return ""
    wanted = Object.objects.filter(container_id=bucket.container_id, name__gt=reached).order_by("name")
    found = list(wanted.only("container_id", "name", "created_at", "bytes", "tags")[:BATCH])
    for one in found:
        end = expiration(rules, one)
        if end is not None and end[0] <= now:
            _tolerant(_object_end, bucket.container, one.name, one.created_at)
    return found[-1].name if len(found) == BATCH else ""


def _versions(bucket: Bucket, reached: str, now: datetime.datetime) -> str:
    rules = [rule for rule in rules_of(bucket) if "noncurrent_days" in rule or rule.get("markers")]
    if not rules:
        return ""
    names = Version.objects.filter(container_id=bucket.container_id, name__gt=reached).order_by("name")
    found = list(names.values_list("name", flat=True).distinct()[: BATCH // 10])
    for name in found:
        _versions_of(bucket.container, name, rules, now)
    return found[-1] if len(found) == BATCH // 10 else ""


def _versions_of(place: Container, name: str, rules: Sequence[Rule], now: datetime.datetime) -> None:
    """From the youngest to the oldest: each is not current since the one before it came."""
    current = Object.objects.filter(container_id=place.pk, name=name).only("created_at", "container_id", "name").first()
    since = current.created_at if current else None
    newer, left = 0, 0
    marker: Version | None = None
    for one in Version.objects.filter(container_id=place.pk, name=name).order_by("-created_at").iterator(BATCH):
        if since is None:  # nothing came after it: it is a marker that stands for the object, or nobody knows when
            marker = one if one.is_marker else None
            left += 0 if one.is_marker else 1
        elif any(is_over(rule, one, since, newer, now) for rule in rules):
            left += 0 if _tolerant(_version_end, place, name, one.created_at) else 1
            newer += 1
        else:
            newer, left = newer + 1, left + 1
        since = one.created_at
    alone = marker is not None and not left
    if alone and any(rule.get("markers") and name.startswith(rule["prefix"]) for rule in rules):
        assert marker is not None
        _tolerant(_marker_end, place, name, marker.created_at)


def _uploads(bucket: Bucket, reached: str, now: datetime.datetime) -> str:
    rules = [rule for rule in rules_of(bucket) if "abort_days" in rule]
    if not rules:
        return ""
    wanted = Upload.objects.filter(container=bucket.container_id).order_by("pk")
    found = list((wanted.filter(pk__gt=UUID(reached)) if reached else wanted)[:BATCH])
    for one in found:
        if any(one.name.startswith(r["prefix"]) and after_days(one.created_at, r["abort_days"]) <= now for r in rules):
            upload_expire(bucket.container, one.name, one.pk)
    return str(found[-1].pk) if len(found) == BATCH else ""


_STAGES: Mapping[str, Callable[[Bucket, str, datetime.datetime], str]] = {
    _OBJECTS: _objects,
    _VERSIONS: _versions,
    _UPLOADS: _uploads,
}


# --- one at a time -----------------------------------------------------------------------------------


def _tolerant(
    end: Callable[[Container, str, datetime.datetime], bool], place: Container, name: str, at: datetime.datetime
) -> bool:
    """End one that was written then; whether that was done. What is locked stays, and one that fails stops no other."""
    try:
        return end(place, name, at)
    except Forbidden:
        return False
    except (KumoError, DatabaseError) as error:
        if is_database_away(error):
            raise
        logger.exception("a rule of a bucket could not be kept to", extra={"container": str(place.pk), "object": name})
        return False


@internal("the rules of a bucket, for an object whose time is over")
def _object_end(place: Container, name: str, created_at: datetime.datetime) -> bool:
    return history.expire(place, name, written_at=created_at)


@internal("the rules of a bucket, for a version whose time is over")
def _version_end(place: Container, name: str, created_at: datetime.datetime) -> bool:
    rows.alone(f"objectstore/{place.pk}/{name}")
    found = Version.objects.filter(container_id=place.pk, name=name, created_at=created_at).first()
    if found is not None:
        history.version_removed(place, found)
    return found is not None


@internal("the rules of a bucket, for a marker behind which nothing is left")
def _marker_end(place: Container, name: str, created_at: datetime.datetime) -> bool:
    rows.alone(f"objectstore/{place.pk}/{name}")
    found = list(Version.objects.filter(container_id=place.pk, name=name)[:2])
    if len(found) != 1 or found[0].created_at != created_at or not found[0].is_marker:
        return False
    if Object.objects.filter(container_id=place.pk, name=name).exists():
        return False
    history.version_removed(place, found[0])
    return True
