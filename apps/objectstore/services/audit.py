"""All copies read: in turn by the auditor, at once by command, and those of one account.

A walk takes long. What it reads is looked up when its turn comes, and what it finds bad is looked up again: a blob that
was given up or moved meanwhile is no damage.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import internal
from apps.objectstore import backends
from apps.objectstore.backends import WrongMachineError
from apps.objectstore.models import Account, Audit, Blob, Container, Object, ObjectFields, Upload, UploadPart, Version
from apps.objectstore.services.objects import copy_damaged, stored_of
from apps.objectstore.services.rows import extents_of
from apps.objectstore.services.upkeep import place_words

logger = logging.getLogger("kumo.objectstore")

BATCH = 500


class StoppedError(Exception):
    """Whoever reads shall stop."""


class Pace:
    """Keeps reading at a bounded rate. When `stop` is set it raises StoppedError: a blob may have minutes to go."""

    def __init__(self, stop: threading.Event, mib_per_s: float) -> None:
        self.stop, self.bytes_per_s, self.read = stop, mib_per_s * 2**20, 0

    def __call__(self, size: int) -> None:
        self.read += size
        if self.stop.is_set() or (self.bytes_per_s and self.stop.wait(size / self.bytes_per_s)):
            raise StoppedError


@dataclass(frozen=True, slots=True)
class Seen:
    """Copies that were looked at, by what came of it."""

    good: int = 0
    bad: int = 0  # or missing
    away: int = 0  # could not be read now

    def __add__(self, other: Seen) -> Seen:
        return Seen(self.good + other.good, self.bad + other.bad, self.away + other.away)

    @property
    def has_nothing(self) -> bool:
        """Whether there were copies, and none of them could be read."""
        return bool(self.away) and not self.good and not self.bad


@internal("the auditor", atomic=False)
def copies_audit(ctx: RequestContext, *, policy: str, pace: Pace, blobs: int = BATCH) -> tuple[int, bool]:
    """Read the next blobs' copies from where the walk stands; bad and missing ones are counted to be made again.

    Returns how many were found, and whether to pause: the walk is at its end, and the next one begins anew; or
    nothing can be read, and it stays where it stands. Raises WrongMachineError.
    """
    walk, _ = Audit.objects.get_or_create(policy=policy)
    if walk.reached is None:
        Audit.objects.filter(pk=policy).update(began_at=Now(), bytes_read=0, found=0)
    before = pace.read
    seen, reached, ended = _read(policy, walk.reached, pace, blobs)
    if seen.away:
        logger.warning("copies could not be read", extra={"policy": policy, "copies": seen.away})
    if seen.has_nothing:
        return 0, True
    progress = {"bytes_read": F("bytes_read") + pace.read - before, "found": F("found") + seen.bad}
    if ended:
        Audit.objects.filter(pk=policy).update(reached=None, ended_at=Now(), **progress)
    else:
        Audit.objects.filter(pk=policy).update(reached=reached, **progress)
    return seen.bad, ended


@internal("the command", atomic=False)
def policy_audit(ctx: RequestContext, *, policy: str, pace: Pace) -> Seen:
    """Read all copies of a policy once, whatever the auditor has read; a walk that read each of them counts as one of
    the auditor's. Raises WrongMachineError."""
    seen, reached, ended = Seen(), None, False
    while not ended and not pace.stop.is_set():
        some, reached, ended = _read(policy, reached, pace, BATCH)
        seen += some
    if ended and not seen.away:
        Audit.objects.get_or_create(policy=policy)
        Audit.objects.filter(pk=policy).update(ended_at=Now())
    return seen


def _read(policy: str, after: UUID | None, pace: Pace, blobs: int) -> tuple[Seen, UUID | None, bool]:
    """Read so many blobs' copies; what came of it, the last blob, and whether there are no more."""
    rows = Blob.objects.filter(policy=policy, unused_since=None).order_by("pk")
    batch = list((rows.filter(pk__gt=after) if after else rows).values_list("pk", flat=True)[:blobs])
    seen = Seen()
    try:
        for pk in batch:
            seen += _audited(pk, pace)
            after = pk
    except StoppedError:
        return seen, after, False
    return seen, after, len(batch) < blobs and not pace.stop.is_set()


def _audited(pk: UUID, pace: Pace) -> Seen:
    blob = Blob.objects.filter(pk=pk, unused_since=None).first()
    if blob is None:
        return Seen()
    verdicts = _verdicts(blob, pace)
    bad = [place for place, good in verdicts.items() if not good]
    for place in bad:
        logger.error("a copy is damaged", extra={"blob": str(pk), "disk": place, "reason": "found by the audit"})
        copy_damaged(pk, place)
    return Seen(len(verdicts) - len(bad), len(bad), len(set(blob.places) - set(verdicts)))


def _verdicts(blob: Blob, pace: Pace) -> dict[int, bool]:
    """Place → whether the copy is good, of those that could be read and that the row names still."""
    verdicts = backends.store(blob.policy).verify(stored_of(blob), pace)
    if not all(verdicts.values()):
        now = Blob.objects.filter(pk=blob.pk, unused_since=None).first()
        blob.places = [] if now is None else now.places
        verdicts = {place: good for place, good in verdicts.items() if place in blob.places}
    return verdicts


# --- one account -----------------------------------------------------------------------------------


@internal("the command", atomic=False)
def account_verify(ctx: RequestContext, *, account: str, pace: Pace) -> Iterator[str]:
    """Read every copy of every object of an account; yields a sentence for each that is not well.

    Raises NotFound for the account.
    """
    if not Account.objects.filter(pk=account).exists():
        raise NotFound("account", account)
    for pk, container in Container.objects.filter(account_id=account).order_by("pk").values_list("pk", "name"):
        for found in _paged(Object.objects.filter(container_id=pk), "name"):
            yield from _verified(found, f"/{container}/{found.name}", pace)
        for version in _paged(Version.objects.filter(container_id=pk), "name", "created_at"):
            yield from _verified(version, f"/{container}/{version.name}, version {version.version_id.hex}", pace)
        for upload in _paged(Upload.objects.filter(container_id=pk), "pk"):
            for part in _paged(UploadPart.objects.filter(upload=upload), "number"):
                yield from _verified(part, f"/{container}/{upload.name}, part {part.number} of an upload", pace)


def _paged(rows: QuerySet[Any], key: str, second: str = "") -> Iterator[Any]:
    """All rows in order, a page at a time: a cursor would keep a connection, and see what was long ago."""
    ordered = rows.order_by(key, second) if second else rows.order_by(key)
    page = list(ordered[:BATCH])
    while page:
        yield from page
        at = getattr(page[-1], key)
        behind = Q(**{f"{key}__gt": at})
        if second:
            behind |= Q(**{key: at, f"{second}__gt": getattr(page[-1], second)})
        page = list(ordered.filter(behind, **{f"{key}__gte": at})[:BATCH])


def _verified(found: ObjectFields | UploadPart, name: str, pace: Pace) -> Iterator[str]:
    for extent in extents_of(found):
        problems = list(_problems(extent.blob_id, pace))
        if problems and not _is_current(found):
            return  # replaced or removed meanwhile, and its bytes with it
        yield from (f"{name}: {problem}" for problem in problems)


def _is_current(found: ObjectFields | UploadPart) -> bool:
    """Whether the row still has these bytes."""
    now = type(found)._default_manager.filter(pk=found.pk).first()
    return now is not None and extents_of(now) == extents_of(found)


def _problems(blob_id: UUID, pace: Pace) -> Iterator[str]:
    blob = Blob.objects.filter(pk=blob_id).first()
    if blob is None:
        yield "its bytes are gone"
        return
    try:
        verdicts = _verdicts(blob, pace)
    except WrongMachineError as error:
        yield str(error)
        return
    for place in sorted(blob.places):
        where = place_words(blob.policy, place)
        if place not in verdicts:
            yield f"the copy {where} cannot be reached"
        elif not verdicts[place]:
            copy_damaged(blob.pk, place)
            yield f"the copy {where} is bad"
    if blob.missing:
        yield f"{blob.missing} more copies have to be made"
    if not any(verdicts.values()):
        yield "no good copy can be reached"
