"""What keeps the store in order: totals folded, unused bytes removed, missing copies made, all copies read in turn."""

from __future__ import annotations

import datetime
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Now

from apps.core import live
from apps.core.context import RequestContext
from apps.core.transactions import internal
from apps.objectstore import backends
from apps.objectstore.backends import BlobLostError, Kept, NoRoomError
from apps.objectstore.models import Account, Audit, Blob, Container, Object, ObjectFields, Upload, UploadPart, Version
from apps.objectstore.services.objects import copy_damaged, object_expire, stored_of
from apps.objectstore.services.rows import extents_of

logger = logging.getLogger("kumo.objectstore")

BATCH = 500
FOLD = 10_000

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
    """Remove objects whose time is over; returns how many."""
    due = Object.objects.filter(delete_at__lte=Now()).values_list("container_id", "name")[:BATCH]
    return sum(object_expire(container_id, name) for container_id, name in list(due))


@internal("the collector", atomic=False)
def unused_remove(ctx: RequestContext) -> int:
    """Remove blobs that no object names any more, once the grace time is over; returns how many."""
    old = Blob.objects.filter(unused_since__lt=Now() - grace()).order_by("unused_since")[:BATCH]
    removed = 0
    for blob in list(old):
        try:
            backends.store(blob.policy).remove(blob.pk, tuple(blob.places))
        except OSError as error:
            logger.warning("unused bytes could not be removed", extra={"blob": str(blob.pk), "reason": repr(error)})
            continue
        removed += Blob.objects.filter(pk=blob.pk).delete()[0]
    return removed


@internal("the collector and the doctor", atomic=False)
def strays_remove(ctx: RequestContext, *, policy: str, only_tell: bool = False) -> Iterator[str]:
    """Remove copies that no row names and that are too old to be on their way; yields what they are."""
    store = backends.store(policy)
    old = (kept for kept in store.kept() if kept.age_s > grace().total_seconds())
    for batch in _batches(old, BATCH):
        places = dict(Blob.objects.filter(pk__in={k.id for k in batch}).values_list("pk", "places"))
        for kept in batch:
            named = places.get(kept.id)
            if named is None or (kept.place not in named and len(named) >= 3):
                if not only_tell:
                    store.remove(kept.id, (kept.place,))
                yield f"copy {kept.id} on disk {kept.place} belongs to no object"


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
def copies_repair(ctx: RequestContext, *, after: UUID | None = None) -> tuple[Repaired, UUID | None]:
    """Make the missing copies of up to BATCH blobs behind `after`; what was done, and where to go on, if at all."""
    rows = Blob.objects.filter(missing__gt=0, unused_since=None).order_by("pk")
    found = list((rows.filter(pk__gt=after) if after else rows)[:BATCH])
    outcomes = [(blob, _repair(blob)) for blob in found]
    done = Repaired(
        sum(outcome == "made" for _, outcome in outcomes),
        sum(outcome == "waiting" for _, outcome in outcomes),
        tuple(str(blob.pk) for blob, outcome in outcomes if outcome == "lost"),
    )
    return done, found[-1].pk if len(found) == BATCH else None


def _repair(blob: Blob) -> str:
    store = backends.store(blob.policy)
    try:
        now = store.repair(stored_of(blob))
    except NoRoomError:
        return "waiting"
    except BlobLostError:
        logger.critical("no good copy of a blob can be reached", extra={"blob": str(blob.pk)})
        return "lost"
    gone = tuple(set(blob.places) - set(now.places))
    same = Blob.objects.filter(pk=blob.pk, places=blob.places)
    if not same.update(places=list(now.places), missing=now.missing):
        return "waiting"  # changed meanwhile: the next round sees it anew
    if gone:
        store.remove(blob.pk, gone)
    return "made"


# --- audit -----------------------------------------------------------------------------------------


class Pace:
    """Keeps reading at a bounded rate; `stop` ends the waiting at once."""

    def __init__(self, stop: threading.Event, mib_per_s: float) -> None:
        self.stop, self.bytes_per_s, self.read = stop, mib_per_s * 2**20, 0

    def __call__(self, size: int) -> None:
        self.read += size
        if self.bytes_per_s:
            self.stop.wait(size / self.bytes_per_s)


@internal("the auditor and the command", atomic=False)
def copies_audit(ctx: RequestContext, *, policy: str, pace: Pace, blobs: int = BATCH) -> tuple[int, bool]:
    """Read the next blobs' copies from where the walk stands; bad and missing ones are counted to be made again.

    Returns how many were found, and whether the walk is at its end; the next one begins anew.
    """
    walk, _ = Audit.objects.get_or_create(policy=policy)
    if walk.reached is None:
        Audit.objects.filter(pk=policy).update(began_at=Now(), bytes_read=0, found=0)
    rows = Blob.objects.filter(policy=policy, unused_since=None).order_by("pk")
    batch = list((rows.filter(pk__gt=walk.reached) if walk.reached else rows)[:blobs])
    found, reached, before = 0, walk.reached, pace.read
    for blob in batch:
        if pace.stop.is_set():
            break
        found += _audited(blob, pace)
        reached = blob.pk
    ended = len(batch) < blobs and not pace.stop.is_set()
    progress = {"bytes_read": F("bytes_read") + pace.read - before, "found": F("found") + found}
    if ended:
        Audit.objects.filter(pk=policy).update(reached=None, ended_at=Now(), **progress)
    else:
        Audit.objects.filter(pk=policy).update(reached=reached, **progress)
    return found, ended


def _audited(blob: Blob, pace: Callable[[int], None]) -> int:
    verdicts = backends.store(blob.policy).verify(stored_of(blob), pace)
    bad = [place for place, good in verdicts.items() if not good]
    for place in bad:
        logger.error("a copy is damaged", extra={"blob": str(blob.pk), "disk": place, "reason": "found by the audit"})
        copy_damaged(blob.pk, place)
    return len(bad)


def grace() -> datetime.timedelta:
    return datetime.timedelta(minutes=settings.CONFIG.objectstore.grace_minutes)


@dataclass(frozen=True, slots=True)
class Health:
    """A policy's copies, in numbers."""

    blobs: int
    bytes: int
    missing: int  # copies
    unused: int  # blobs that wait for their grace time


@internal("the command and the doctor", atomic=False)
def health(ctx: RequestContext, *, policy: str) -> Health:
    """How a policy's blobs are."""
    row = Blob.objects.filter(policy=policy).aggregate(
        blobs=Count("pk", filter=Q(unused_since=None)),
        bytes=Sum("size", filter=Q(unused_since=None)),
        missing=Sum("missing", filter=Q(unused_since=None)),
        unused=Count("pk", filter=~Q(unused_since=None)),
    )
    return Health(row["blobs"], int(row["bytes"] or 0), int(row["missing"] or 0), row["unused"])


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


@internal("the command", atomic=False)
def account_verify(ctx: RequestContext, *, account: str, pace: Pace) -> Iterator[str]:
    """Read every copy of every object of an account; yields a sentence for each that is not well."""
    containers = Container.objects.filter(account_id=account).values("pk")
    for model in (Object, Version):
        rows = model.objects.filter(container_id__in=containers).order_by("container_id", "name")
        for found in rows.iterator():
            yield from _verified(found, found.name, pace)
    for part in UploadPart.objects.filter(upload__container_id__in=containers).select_related("upload").iterator():
        yield from _verified(part, f"part {part.number} of the {part.upload}", pace)


def _verified(found: ObjectFields | UploadPart, name: str, pace: Pace) -> Iterator[str]:
    for extent in extents_of(found):
        blob = Blob.objects.filter(pk=extent.blob_id).first()
        if blob is None:
            yield f"{name}: its bytes are gone"
            continue
        verdicts = backends.store(blob.policy).verify(stored_of(blob), pace)
        for place, good in sorted(verdicts.items()):
            if not good:
                copy_damaged(blob.pk, place)
                yield f"{name}: the copy on disk {place} is bad"
        if not any(verdicts.values()):
            yield f"{name}: no good copy can be reached"
