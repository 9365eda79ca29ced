"""Locks of operations: all or none, in sorted order; those who wait are rung when one is freed and try again.

The order everywhere is operation, then these rows, then resources. A partial unique index lets one operation
hold a key; waiters keep rows of their own with `held` false. Whoever ends never takes locks for others: all
taking is done in sorted order by the one who needs them, so that nobody waits in a circle.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from django.db import connection, transaction

from apps.core.errors import Conflict
from apps.operations.models import OperationLock
from apps.operations.registry import Lock

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
_STARTABLE = """
SELECT operation.id FROM operation
WHERE operation.waits_for = 'locks' AND operation.status = 'pending' AND NOT EXISTS (
    SELECT 1 FROM operation_lock mine JOIN operation_lock held USING (type, ident)
    WHERE mine.operation_id = operation.id AND NOT mine.held AND held.held)
ORDER BY operation.created_at, operation.id LIMIT %s
"""
ROUNDS = 5  # a holder may vanish between refusal and look; each round needs another such coincidence
RUNG_AT_ONCE = 20


class _Busy(Exception):
    """Leaves the savepoint, so that what was taken is free at once and not only when the transaction ends."""


def take(operation: uuid.UUID, keys: Iterable[Lock]) -> list[uuid.UUID]:
    """Take all keys and return nothing, or take none and return who holds them.

    Holders stay locked rows until the transaction ends, so that none of them can free its lock without seeing
    what the caller does next (such as `wait`). Raises Conflict when keys change hands all the time.
    """
    wanted = sorted(set(keys))
    for _ in range(ROUNDS):
        missing = _all_or_missing(operation, wanted)
        if not missing:
            return []
        if busy := _lock_holders(missing):
            return busy
    raise Conflict("The resource is too busy.", hint="Try again.")


def _all_or_missing(operation: uuid.UUID, wanted: Sequence[Lock]) -> list[Lock]:
    missing: list[Lock] = []
    try:
        with transaction.atomic():
            missing = _insert(operation, wanted)
            if missing:
                raise _Busy
    except _Busy:
        pass
    return missing


def take_awaited(operation: uuid.UUID) -> bool:
    """Take the keys that the operation waits for, if all are free now."""
    rows = OperationLock.objects.filter(operation_id=operation, held=False)
    if take(operation, [(row.type, row.ident) for row in rows]):
        return False
    rows.delete()
    return True


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
    """Give up all locks of the operation. Returns those who wait for them, the oldest first: ring them."""
    mine = OperationLock.objects.filter(operation_id=operation)
    keys = {(lock.type, lock.ident) for lock in mine if lock.held}
    mine.delete()
    if not keys:
        return []
    waiting = OperationLock.objects.filter(held=False, ident__in={ident for _, ident in keys})
    found = [row for row in waiting.select_related("operation") if (row.type, row.ident) in keys]
    ids = dict.fromkeys(row.operation_id for row in sorted(found, key=lambda row: row.operation.created_at))
    return list(ids)[:RUNG_AT_ONCE]


def startable(most: int) -> list[uuid.UUID]:
    """Operations whose awaited keys are all free: their ring was lost."""
    with connection.cursor() as cursor:
        cursor.execute(_STARTABLE, [most])
        return [row[0] for row in cursor.fetchall()]


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
