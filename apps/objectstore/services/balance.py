"""Copies moved from fuller disks to emptier ones, as after a disk was added; new blobs go to emptier ones anyway."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import QuerySet

from apps.core.context import RequestContext
from apps.core.transactions import internal
from apps.objectstore.backends import BlobLostError
from apps.objectstore.backends.disks import COPIES
from apps.objectstore.models import Blob
from apps.objectstore.services.audit import Pace
from apps.objectstore.services.disks import DiskFacts, disk_list, disk_store
from apps.objectstore.services.objects import stored_of
from apps.objectstore.states import MIB, DiskState

logger = logging.getLogger("kumo.objectstore")

BATCH = 200
SLACK = 0.02  # of a disk's size: less is not worth a move
LEAST_BYTES = 64 * MIB


@dataclass(frozen=True, slots=True)
class Fill:
    """A disk and how many bytes of copies it has beyond its share (below zero: it lacks them)."""

    number: int
    surplus: int


@internal("an operator's command", atomic=False)
def rebalance_plan(ctx: RequestContext, *, policy: str) -> list[Fill]:
    """What each active disk has too much or too little of, where every disk is filled in proportion to its size, as far
    as it can be: no disk has two copies of one blob, so three disks have all of them, whatever their sizes.

    Empty where nothing is worth moving. Raises Invalid for a policy without disks.
    """
    disk_store(policy)
    rows = [f for f in disk_list(ctx) if f.disk.policy == policy and f.disk.state == DiskState.ACTIVE and f.is_there]
    shares = _shares(rows)
    fills = [Fill(facts.disk.pk, facts.copies_bytes - shares[facts.disk.pk]) for facts in rows]
    worth = any(fill.surplus > _least(facts) for fill, facts in zip(fills, rows, strict=True))
    return fills if worth else []


def _shares(rows: list[DiskFacts]) -> dict[int, int]:
    """Number of each disk → bytes that it should have. What the largest ones cannot have, the others share."""
    left, size = sum(facts.copies_bytes for facts in rows), sum(facts.size for facts in rows)
    most, shares = -(-left // COPIES), {}
    for facts in sorted(rows, key=lambda facts: -facts.size):
        share = min(most, left * facts.size // size) if size else 0
        shares[facts.disk.pk] = share
        left, size = left - share, size - facts.size
    return shares


def _least(facts: DiskFacts) -> int:
    return min(LEAST_BYTES, int(SLACK * facts.size))


@internal("an operator's command", atomic=False)
def rebalance(ctx: RequestContext, *, policy: str, most_bytes: int, pace: Pace) -> Iterator[tuple[int, int, int]]:
    """Move copies by the plan, at most that many bytes; yields (from, to, bytes) of each move.

    A copy is made and named by the row before the other is removed, so that a blob never has fewer. What is cut off
    between leaves a copy that no row names, which the collector removes. Raises Invalid as the plan.
    """
    plan = {fill.number: fill.surplus for fill in rebalance_plan(ctx, policy=policy)}
    left = most_bytes
    for source in sorted((n for n in plan if plan[n] > 0), key=lambda n: -plan[n]):
        for target in sorted((n for n in plan if plan[n] < 0), key=lambda n: plan[n]):
            for blob in _movable(policy, source, target):
                fits = blob.size <= min(plan[source], -plan[target], left)
                if pace.stop.is_set() or not min(plan[source], -plan[target], left) > 0:
                    break
                if not fits or not _moved(blob, source, target):
                    continue
                pace(blob.size)
                plan[source] -= blob.size
                plan[target] += blob.size
                left -= blob.size
                yield source, target, blob.size


def _movable(policy: str, source: int, target: int) -> Iterator[Blob]:
    rows: QuerySet[Blob] = Blob.objects.filter(policy=policy, missing=0, unused_since=None, places__contains=[source])
    rows = rows.exclude(places__contains=[target]).order_by("pk")
    batch = list(rows[:BATCH])
    while batch:
        yield from batch
        batch = list(rows.filter(pk__gt=batch[-1].pk)[:BATCH])


def _moved(blob: Blob, source: int, target: int) -> bool:
    """Whether one copy was moved; one that cannot be, or whose row changed meanwhile, is left to others."""
    store = disk_store(blob.policy)
    try:
        store.copy(stored_of(blob), target)
    except (OSError, BlobLostError, KeyError) as error:  # the last: the disk was given up just now
        extra = {"blob": str(blob.pk), "disk": target, "reason": repr(error)}
        logger.warning("a copy could not be moved", extra=extra)
        return False
    places = [target if number == source else number for number in blob.places]
    same = Blob.objects.filter(pk=blob.pk, places=blob.places, missing=0, unused_since=None)
    if not same.update(places=places):
        return False
    try:
        store.remove(blob.pk, (source,))
    except OSError as error:
        logger.warning("a moved copy is left", extra={"blob": str(blob.pk), "disk": source, "reason": repr(error)})
    return True
