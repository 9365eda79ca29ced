"""Rules of lifecycle documents: which objects they are about, and when their time is over. Pure.

A day of a rule ends at the midnight (UTC) after it. Source: "Managing the lifecycle of objects" in the Amazon S3 User
Guide.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any

from apps.objectstore.models import Bucket, ObjectFields

Rule = Mapping[str, Any]
_DAY = datetime.timedelta(days=1)


def rules_of(bucket: Bucket) -> list[Rule]:
    """The rules of a bucket that are in force."""
    return [rule for rule in (bucket.documents.get("lifecycle") or {}).get("rules", ()) if rule["on"]]


def midnight(at: datetime.datetime) -> datetime.datetime:
    """The midnight (UTC) before a time, or the time itself."""
    return at.astimezone(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def after_days(at: datetime.datetime, days: int) -> datetime.datetime:
    """When so many days are over: at a midnight."""
    end = at.astimezone(datetime.UTC) + days * _DAY
    return end if end == midnight(end) else midnight(end) + _DAY


def concerns(rule: Rule, found: ObjectFields) -> bool:
    """Whether a rule is about an object or version."""
    return (
        found.name.startswith(rule["prefix"])
        and all((found.tags or {}).get(key) == value for key, value in rule["tags"].items())
        and ("least" not in rule or found.bytes > rule["least"])
        and ("most" not in rule or found.bytes < rule["most"])
    )


def expiration(rules: Iterable[Rule], found: ObjectFields) -> tuple[datetime.datetime, str] | None:
    """When the current object's time is over, the earliest, and by which rule."""
    mine = [rule for rule in rules if ("date" in rule or "days" in rule) and concerns(rule, found)]
    return min(((_end(rule, found), rule["id"]) for rule in mine), default=None)


def _end(rule: Rule, found: ObjectFields) -> datetime.datetime:
    if "date" in rule:
        return datetime.datetime.fromisoformat(rule["date"])
    return after_days(found.created_at, rule["days"])


def is_over(rule: Rule, found: ObjectFields, since: datetime.datetime, newer: int, now: datetime.datetime) -> bool:
    """Whether a version, not current `since` then and with so many `newer` ones that are not current, has to go."""
    return (
        "noncurrent_days" in rule
        and concerns(rule, found)
        and newer >= rule.get("newer", 0)
        and after_days(since, rule["noncurrent_days"]) <= now
    )
