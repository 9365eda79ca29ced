"""Object lock: versions that nobody may remove before a time, or while a hold is on them.

Whatever takes a row of an object away for good asks `release_checked` first. In governance mode those whom the rule
or the bucket's policy allows may pass, if they say so; compliance mode lets nobody pass, not Kumo itself.
Source: Amazon S3's documentation of object lock.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from apps.core.errors import Forbidden, Invalid
from apps.objectstore.models import Bucket, ObjectFields
from apps.objectstore.states import DYNAMIC

GOVERNANCE, COMPLIANCE = MODES = ("GOVERNANCE", "COMPLIANCE")
MAX_DAYS = 36_500
_DAYS_OF_A_YEAR = 365


def is_retained(found: ObjectFields, now: datetime.datetime) -> bool:
    """Whether a retention runs."""
    return found.retain_until is not None and found.retain_until > now


def release_checked(found: ObjectFields, *, bypass: bool = False) -> None:
    """Raise Forbidden for an object that must not be removed now. `bypass`: the caller may pass governance mode."""
    if found.legal_hold:
        raise Forbidden("The object is under a legal hold.", rule="object_store:own", code="AccessDenied")
    if is_retained(found, _now()) and not (bypass and found.lock_mode == GOVERNANCE):
        hint = f"It is retained until {found.retain_until:%Y-%m-%d %H:%M:%S} UTC in mode {found.lock_mode}."
        raise Forbidden("The object is protected by object lock.", hint=hint, rule="object_store:own")


def retention_checked(found: ObjectFields, mode: str, until: datetime.datetime | None, *, bypass: bool = False) -> None:
    """Raise Invalid for a retention that cannot be, Forbidden for one that protects less than what runs."""
    if until is not None and until <= _now():
        raise Invalid("The retain until date must be in the future!", code="InvalidArgument")
    if not is_retained(found, _now()):
        return
    assert found.retain_until is not None
    is_less = until is None or until < found.retain_until or mode != found.lock_mode
    if is_less and not (bypass and found.lock_mode == GOVERNANCE):
        hint = f"It is retained until {found.retain_until:%Y-%m-%d %H:%M:%S} UTC in mode {found.lock_mode}."
        raise Forbidden("The retention can only be extended.", hint=hint, rule="object_store:own")


def wanted_checked(bucket: Bucket | None, mode: str, until: datetime.datetime | None, *, hold: bool) -> None:
    """Raise Invalid where a new object's lock cannot be kept."""
    if not (mode or until or hold):
        return
    if bucket is None or not bucket.lock_enabled:
        raise Invalid("Bucket is missing Object Lock Configuration", code="InvalidRequest")
    if bool(mode) != (until is not None):
        words = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"
        raise Invalid(words, code="InvalidArgument")
    if until is not None and until <= _now():
        raise Invalid("The retain until date must be in the future!", code="InvalidArgument")


def has_others_bytes(found: ObjectFields) -> bool:
    """Whether a reader gets bytes of other objects: a link, or a large object of segments."""
    return found.segments is not None or found.links is not None or DYNAMIC in found.metadata


def body_checked(bucket: Bucket | None, *, has_others_bytes: bool) -> None:
    """Raise Invalid for an object whose bytes are those of other objects, where objects can be locked.

    A lock protects a row and the bytes it owns: others could be removed under it.
    """
    if has_others_bytes and bucket is not None and bucket.lock_enabled:
        hint = "Upload it whole, or in parts by S3."
        raise Invalid("A bucket with object lock takes no links and no objects of segments.", hint=hint)


def default_of(bucket: Bucket | None, now: datetime.datetime) -> tuple[str, datetime.datetime | None]:
    """The mode and end that objects get in a bucket, unless they say otherwise."""
    rule: Mapping[str, Any] | None = bucket.documents.get("lock") if bucket and bucket.lock_enabled else None
    if not rule:
        return "", None
    days = rule["days"] or rule["years"] * _DAYS_OF_A_YEAR
    return rule["mode"], now + datetime.timedelta(days=days)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
