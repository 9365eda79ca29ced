"""What keeps the store in order: totals folded, unused bytes removed, missing copies made."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce, Now

from apps.core import live
from apps.core.context import RequestContext
from apps.core.errors import KumoError
from apps.core.transactions import internal
from apps.objectstore import backends
from apps.objectstore.backends import BlobLostError, BlobStore, Kept, NoRoomError, WrongMachineError
from apps.objectstore.models import Account, Audit, Blob, Object, Upload
from apps.objectstore.services.disks import spans
from apps.objectstore.services.objects import object_expire, stored_of

logger = logging.getLogger("kumo.objectstore")

BATCH = 500
FOLD = 10_000
PATIENCE_S = 10.0

Row = TypeVar("Row")

_FOLD = """
WITH gone AS (
  DELETE FROM objectstore_delta WHERE id IN (SELECT id FROM objectstore_delta ORDER BY id LIMIT %s)
  RETURNING account_id, container_id, objects_change, bytes_change
), by_container AS (
  UPDATE objectstore_container c SET base_objects = base_objects + g.objects, base_bytes = base_bytes + g.size
  FROM (SELECT container_id, sum(objects_change) AS objects, sum(bytes_change) AS size FROM gone GROUP BY 1) g
  WHERE c.id = g.container_id
), by_account AS (
  UPDATE objectstore_account a SET base_objects = base_objects + g.objects, base_bytes = base_bytes + g.size
  FROM (SELECT account_id, sum(objects_change) AS objects, sum(bytes_change) AS size FROM gone GROUP BY 1) g
  WHERE a.project_id = g.account_id
) SELECT account_id, count(*) FROM gone GROUP BY 1
"""


@internal("the collector")
def deltas_fold(ctx: RequestContext) -> int:
    """Add the oldest deltas to the totals they belong to; returns how many. Totals stay what they were.

    Open pages hear of changed containers from here: if each writer told them, all would wait for one lock at commit.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FOLD, [FOLD])
        folded = dict(cursor.fetchall())
    for account in folded:
        live.notify(account, "container", "")
    return sum(folded.values())


@internal("the collector", atomic=False)
def objects_expire(ctx: RequestContext) -> int:
    """Remove objects whose time is over; returns how many. One that cannot be removed does not keep the others."""
    due = Object.objects.filter(delete_at__lte=Now()).values_list("container_id", "name")[:BATCH]
    return sum(_expired(container_id, name) for container_id, name in list(due))


def _expired(container_id: UUID, name: str) -> bool:
    try:
        return object_expire(container_id, name)
    except KumoError as error:
        logger.warning("an object could not expire", extra={"container": str(container_id), "reason": str(error)})
        return False


class _Patience:
    """How long removals of one back end may fail before it is left alone for this time: one that hangs makes each
    of them take as long as its time-out."""

    def __init__(self, store: BlobStore) -> None:
        self._store, self._left = store, PATIENCE_S

    def removed(self, blob_id: UUID, places: Iterable[int]) -> bool:
        """Whether these copies are gone. Each is tried: a disk that is away keeps its own only."""
        failed = 0
        for place in places:
            began = time.monotonic()
            try:
                self._store.remove(blob_id, (place,))
            except OSError as error:
                failed += 1
                self._left -= time.monotonic() - began
                extra = {"blob": str(blob_id), "disk": place, "reason": repr(error)}
                logger.warning("unused bytes could not be removed", extra=extra)
        return not failed

    @property
    def is_over(self) -> bool:
        return self._left <= 0


@internal("the collector", atomic=False)
def unused_remove(ctx: RequestContext, *, stop: threading.Event | None = None) -> int:
    """Remove blobs that no object names any more, once the grace time is over; returns how many.

    Each policy by itself: a back end that cannot be reached keeps its own blobs, and no others.
    """
    removed = 0
    for policy in backends.policies():
        try:
            removed += _unused_removed(policy, stop)
        except WrongMachineError as error:
            logger.warning("unused bytes stay", extra={"policy": policy, "reason": str(error)})
    return removed


def _unused_removed(policy: str, stop: threading.Event | None) -> int:
    """What cannot be removed waits for another grace time, behind all others, so that it never keeps them."""
    patience, removed = _Patience(backends.store(policy)), 0
    old = Blob.objects.filter(policy=policy, unused_since__lt=Now() - grace()).order_by("unused_since")
    for blob in _until(stop, list(old[:BATCH])):
        if patience.is_over:
            break
        if patience.removed(blob.pk, blob.places or [0]):  # no disk has that number; who has no disks ignores it
            removed += Blob.objects.filter(pk=blob.pk).delete()[0]
        else:
            Blob.objects.filter(pk=blob.pk).update(unused_since=Now())
    return removed


@internal("the collector and the doctor", atomic=False)
def strays_remove(
    ctx: RequestContext, *, policy: str, only_tell: bool = False, stop: threading.Event | None = None
) -> Iterator[str]:
    """Remove copies that no row names and that are too old to be on their way; yields what they are, and what became
    of them. Raises WrongMachineError, OSError."""
    store = backends.store(policy)
    patience = _Patience(store)
    old = (kept for kept in _until(stop, store.kept()) if kept.age_s > grace().total_seconds())
    for batch in _batches(old, BATCH):
        places = dict(Blob.objects.filter(pk__in={k.id for k in batch}).values_list("pk", "places"))
        for kept in batch:
            named = places.get(kept.id)
            if named is None or (kept.place not in named and len(named) >= 3):
                words = f"copy {kept.id} {place_words(policy, kept.place)} belongs to no object"
                if only_tell:
                    yield words
                elif not patience.is_over and patience.removed(kept.id, [kept.place]):
                    yield f"{words}: removed"
                else:
                    yield f"{words}: it could not be removed"


def _until(stop: threading.Event | None, rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, till somebody wants the thread to end."""
    return itertools.takewhile(lambda _: stop is None or not stop.is_set(), rows)


def place_words(policy: str, place: int) -> str:
    """Where a copy is, for people: disks have numbers from 1 on, and what makes its copies itself has one place, 0."""
    return f"on disk {place}" if place else f"in storage policy {policy}"


def _batches(rows: Iterable[Kept], size: int) -> Iterator[list[Kept]]:
    """The rows in lists of at most that many."""
    found: list[Kept] = []
    for row in rows:
        found.append(row)
        if len(found) == size:
            yield found
            found = []
    if found:
        yield found


# --- copies ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Repaired:
    """What one round of repair did."""

    made: int = 0
    waiting: int = 0  # no disk could take a copy
    lost: tuple[str, ...] = ()  # no good copy could be reached


@internal("the collector and the command", atomic=False)
def copies_repair(
    ctx: RequestContext, *, policy: str, after: UUID | None = None, stop: threading.Event | None = None
) -> tuple[Repaired, UUID | None]:
    """Make the missing copies of up to BATCH blobs behind `after`; what was done, and where to go on, if at all.

    Raises WrongMachineError, OSError.
    """
    store = backends.store(policy)
    rows = Blob.objects.filter(policy=policy, missing__gt=0, unused_since=None).order_by("pk")
    found = list((rows.filter(pk__gt=after) if after else rows).values_list("pk", flat=True)[:BATCH])
    outcomes = [(pk, _repair(store, pk)) for pk in _until(stop, found)]
    done = Repaired(
        sum(outcome == "made" for _, outcome in outcomes),
        sum(outcome == "waiting" for _, outcome in outcomes),
        tuple(str(pk) for pk, outcome in outcomes if outcome == "lost"),
    )
    return done, found[-1] if len(found) == BATCH else None


def _repair(store: BlobStore, pk: UUID) -> str:
    """The row is read now: since the batch was, the blob may have been given up, and be gone."""
    wanted = Blob.objects.filter(pk=pk, missing__gt=0, unused_since=None)
    blob = wanted.first()
    if blob is None:
        return "gone"
    try:
        now = store.repair(stored_of(blob))
    except NoRoomError:
        return "waiting"
    except BlobLostError:
        if not wanted.exists():
            return "gone"
        logger.critical("no good copy of a blob can be reached", extra={"blob": str(blob.pk)})
        return "lost"
    gone = set(blob.places) - set(now.places)
    same = Blob.objects.filter(pk=blob.pk, places=blob.places)
    if not same.update(places=list(now.places), missing=now.missing):
        return "waiting"  # changed meanwhile: the next round sees it anew
    _Patience(store).removed(blob.pk, gone)  # else it belongs to no row, and is found by that
    return "made"


def grace() -> datetime.timedelta:
    return datetime.timedelta(minutes=settings.CONFIG.objectstore.grace_minutes)


@dataclass(frozen=True, slots=True)
class Health:
    """A policy's copies, in numbers."""

    blobs: int = 0
    bytes: int = 0
    missing: int = 0  # copies
    unused: int = 0  # blobs that wait for their grace time

    def __add__(self, other: Health) -> Health:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Health(*(one + more for one, more in pairs))


@internal("the command", atomic=False)
def health(ctx: RequestContext) -> dict[str, Health]:
    """Storage policy → how its blobs are, also of policies that the settings do not name."""
    found = {policy: Health() for policy in backends.policies()}
    used = Q(unused_since=None)
    for span in spans():
        rows = Blob.objects.filter(span).values_list("policy").order_by()
        numbers = rows.annotate(
            n=Count("pk", filter=used),
            total=Coalesce(Sum("size", filter=used), 0),
            lacking=Coalesce(Sum("missing", filter=used), 0),
            waiting=Count("pk", filter=~used),
        )
        for policy, blobs, size, missing, unused in numbers:
            found[policy] = found.get(policy, Health()) + Health(blobs, int(size), missing, unused)
    return found


@dataclass(frozen=True, slots=True)
class PolicyNumbers:
    """A storage policy's, for those who watch it."""

    name: str
    missing: int  # copies
    unused: int  # blobs
    audited: int  # bytes read in this walk
    found: int  # copies found bad in this walk
    audit_age_s: float | None  # since the last whole walk


@dataclass(frozen=True, slots=True)
class Numbers:
    """The whole store's; objects and bytes without the deltas of the last seconds."""

    objects: int
    bytes: int
    uploads: int
    policies: list[PolicyNumbers]


@internal("whoever has the token of metrics", atomic=False)
def numbers(ctx: RequestContext) -> Numbers:
    """The store in numbers that are cheap: sums over accounts, and indexes of what lacks or is unused."""
    totals = Account.objects.aggregate(objects=Sum("base_objects"), size=Sum("base_bytes"))
    missing = _by_policy(Blob.objects.filter(missing__gt=0, unused_since=None), Sum("missing"))
    unused = _by_policy(Blob.objects.filter(unused_since__isnull=False), Count("pk"))
    walks = {walk.policy: walk for walk in Audit.objects.annotate(age=Now() - F("ended_at"))}
    found = []
    for name in backends.policies():
        walk = walks.get(name)
        age = walk.age.total_seconds() if walk and walk.ended_at else None
        audit = (walk.bytes_read, walk.found) if walk else (0, 0)
        found.append(PolicyNumbers(name, missing.get(name, 0), unused.get(name, 0), *audit, age))
    return Numbers(int(totals["objects"] or 0), int(totals["size"] or 0), Upload.objects.count(), found)


def _by_policy(blobs: QuerySet[Blob], what: Count | Sum) -> dict[str, int]:
    return dict(blobs.values_list("policy").annotate(n=what).values_list("policy", "n"))
