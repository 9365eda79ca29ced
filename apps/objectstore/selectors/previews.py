"""What a rule of a bucket would take away today: looked at before it is put in force."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector
from apps.objectstore.models import Container, Object, Upload, Version
from apps.objectstore.selectors.access import require_read
from apps.objectstore.selectors.browsing import beginning
from apps.objectstore.selectors.facts import container_row
from apps.objectstore.selectors.lifecycle import is_over, midnight

MOST_OBJECTS = 100_000  # that are looked at
MOST_VERSIONS = 5000

Rule = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Toll:
    """What would go; with `is_more` only the first names were looked at."""

    objects: int = 0
    bytes: int = 0
    versions: int = 0
    uploads: int = 0
    is_more: bool = False

    def __bool__(self) -> bool:
        return bool(self.objects or self.versions or self.uploads)


@selector("object_store:public")
def lifecycle_toll(
    ctx: RequestContext, *, account: str, container: str, rule: Rule, now: datetime.datetime | None = None
) -> Toll:
    """What a rule would remove from a container if it were in force now. Raises Forbidden, NotFound."""
    row = container_row(account, container)
    require_read(ctx, account, row, facts={"s3:prefix": [rule["prefix"]]})
    if row is None:
        raise NotFound("container", container)
    at = now or datetime.datetime.now(datetime.UTC)
    objects, size, more_objects = _objects(row, rule, at)
    versions, more_versions = _versions(row, rule, at) if "noncurrent_days" in rule else (0, False)
    return Toll(objects, size, versions, _uploads(row, rule, at), more_objects or more_versions)


def _objects(row: Container, rule: Rule, now: datetime.datetime) -> tuple[int, int, bool]:
    """How many current objects, of how many bytes, and whether there are more than were looked at."""
    over = _over(rule, now)
    if over is None:
        return 0, 0, False
    first = Object.objects.filter(beginning(row, rule["prefix"])).order_by("name")[:MOST_OBJECTS]
    found = first.aggregate(
        objects=Count("name", filter=over), bytes=Coalesce(Sum("bytes", filter=over), 0), looked_at=Count("name")
    )
    return found["objects"], found["bytes"], found["looked_at"] == MOST_OBJECTS


def _over(rule: Rule, now: datetime.datetime) -> Q | None:
    """The condition that an object's time is over; None where the rule says nothing of current objects yet."""
    if "date" in rule:
        if datetime.datetime.fromisoformat(rule["date"]) > now:
            return None
        over = Q(name__isnull=False)
    elif "days" in rule:
        over = Q(created_at__lte=_before(now, rule["days"]))
    else:
        return None
    over &= Q(tags__contains=rule["tags"]) if rule["tags"] else Q()
    over &= Q(bytes__gt=rule["least"]) if "least" in rule else Q()
    return over & (Q(bytes__lt=rule["most"]) if "most" in rule else Q())


def _before(now: datetime.datetime, days: int) -> datetime.datetime:
    """What was written up to then is so many days old, in days that end at midnight."""
    return midnight(now) - datetime.timedelta(days=days)


def _versions(row: Container, rule: Rule, now: datetime.datetime) -> tuple[int, bool]:
    """How many earlier versions, and whether there are more than were looked at."""
    ordered = Version.objects.filter(beginning(row, rule["prefix"])).order_by("name", F("created_at").desc())
    first = list(ordered.only("container_id", "name", "created_at", "bytes", "tags")[:MOST_VERSIONS])
    names = {one.name for one in first}
    since_of = dict(Object.objects.filter(container_id=row.pk, name__in=names).values_list("name", "created_at"))
    count = 0
    for name, group in groupby(first, lambda one: one.name):
        since = since_of.get(name)
        for newer, one in enumerate(group, start=0 if since else -1):
            count += since is not None and is_over(rule, one, since, newer, now)
            since = one.created_at
    return count, len(first) == MOST_VERSIONS


def _uploads(row: Container, rule: Rule, now: datetime.datetime) -> int:
    if "abort_days" not in rule:
        return 0
    begun = Upload.objects.filter(container=row, created_at__lte=_before(now, rule["abort_days"]))
    return begun.filter(name__startswith=rule["prefix"]).count()
