"""Locks of operations: all or none, in sorted order, with waiters served when one is freed.

The order everywhere is operation, then these rows, then resources. A partial unique index lets one operation
hold a key; waiters keep rows of their own with `held` false.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from apps.operations.models import Operation, OperationLock
from apps.operations.registry import Lock
from apps.operations.states import Status, WaitsFor

_TAKE = """
INSERT INTO operation_lock (operation_id, type, ident, held)
SELECT %s, key.type, key.ident, true
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS key(type, ident, place) ORDER BY place
ON CONFLICT (type, ident) WHERE held DO NOTHING
RETURNING type, ident
"""
_HOLDERS = """
SELECT held.operation_id FROM operation_lock held
JOIN unnest(%s::text[], %s::text[]) AS key(type, ident) ON held.type = key.type AND held.ident = key.ident
WHERE held.held ORDER BY held.type, held.ident FOR UPDATE OF held
"""
ROUNDS = 5  # a holder may vanish between refusal and look; each round needs another such coincidence


def take(operation: uuid.UUID, keys: Iterable[Lock]) -> list[uuid.UUID]:
    """Take all keys and return nothing, or take none and return who holds them.

    Holders stay locked rows until the transaction ends, so that none of them can free its lock without seeing
    what the caller does next (such as `wait`).
    """
    wanted = sorted(set(keys))
    for _ in range(ROUNDS):
        missing = _insert(operation, wanted)
        if not missing:
            return []
        OperationLock.objects.filter(operation_id=operation).delete()
        if busy := _lock_holders(missing):
            return busy
    raise OSError("locks changed hands too often")


def holders(keys: Iterable[Lock]) -> list[uuid.UUID]:
    """Operations that hold or wait for any of the keys; nothing is locked."""
    wanted = set(keys)
    rows = OperationLock.objects.filter(ident__in={ident for _, ident in wanted})
    return sorted({row.operation_id for row in rows if (row.type, row.ident) in wanted})


def wait(operation: uuid.UUID, keys: Iterable[Lock]) -> None:
    """Queue for the keys."""
    OperationLock.objects.bulk_create(
        OperationLock(operation_id=operation, type=type_, ident=ident, held=False) for type_, ident in sorted(set(keys))
    )


def hold(operation: uuid.UUID) -> None:
    """Lock the operation's lock rows, in order: the first thing of a transaction that will free them."""
    list(OperationLock.objects.filter(operation_id=operation).order_by("type", "ident").select_for_update())


def free(operation: uuid.UUID) -> list[uuid.UUID]:
    """Give up all locks of the operation and hand them to waiters, the oldest first. Returns whom to ring."""
    mine = OperationLock.objects.filter(operation_id=operation)
    keys = [(lock.type, lock.ident) for lock in mine if lock.held]
    mine.delete()
    return hand_over(keys)


def hand_over(keys: Sequence[Lock]) -> list[uuid.UUID]:
    """Let the operations that wait for freed keys take theirs. Returns those that could start."""
    if not keys:
        return []
    wanted = set(keys)
    waiting = OperationLock.objects.filter(held=False, ident__in={ident for _, ident in wanted})
    candidates = {row.operation_id for row in waiting if (row.type, row.ident) in wanted}
    rows = Operation.objects.filter(id__in=candidates).order_by("created_at", "id")
    return [operation_id for operation_id in list(rows.values_list("id", flat=True)) if _promote(operation_id)]


def _promote(operation_id: uuid.UUID) -> bool:
    # One at a time: two operations that free one key each see the other's deletion, because the second waits here.
    row = Operation.objects.select_for_update(no_key=True).filter(id=operation_id).first()
    if row is None or row.status != Status.PENDING or row.waits_for != WaitsFor.LOCKS:
        return False
    try:
        with transaction.atomic():
            OperationLock.objects.filter(operation_id=operation_id).update(held=True)
    except IntegrityError:
        return False
    Operation.objects.filter(id=operation_id).update(waits_for=WaitsFor.NOTHING, wake_at=Now(), due_at=Now())
    return True


def _insert(operation: uuid.UUID, wanted: Sequence[Lock]) -> list[Lock]:
    if not wanted:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [operation, *_columns(wanted)])
        got = set(cursor.fetchall())
    return [key for key in wanted if key not in got]


def _lock_holders(missing: Sequence[Lock]) -> list[uuid.UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_HOLDERS, list(_columns(missing)))
        return [row[0] for row in cursor.fetchall()]


def _columns(keys: Sequence[Lock]) -> tuple[list[str], list[str]]:
    return [type_ for type_, _ in keys], [ident for _, ident in keys]
