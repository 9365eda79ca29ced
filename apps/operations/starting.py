"""How operations come into being: plainly, queued behind others, or over their heads."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from apps.core.errors import Conflict
from apps.operations import doorbell, ending, locks
from apps.operations.clock import RING_S, from_now
from apps.operations.models import Operation
from apps.operations.registry import QUEUE, Lock, Saga, saga_of
from apps.operations.states import UNFINISHED, Status, WaitsFor

SUPERSEDE_ROUNDS = 5


def start(*, keys: Iterable[Lock] | None = None, **columns: Any) -> Operation:
    """Store an operation with its locks; ring after commit. Raises Conflict when busy and the kind refuses."""
    saga = saga_of(columns["kind"])
    wanted = lock_keys(saga, columns, keys)
    operation = _insert(saga, columns)
    holders = locks.take(operation.pk, wanted)
    if holders and saga.when_busy is QUEUE:
        locks.wait(operation.pk, wanted)
        Operation.objects.filter(pk=operation.pk).update(waits_for=WaitsFor.LOCKS, wake_at=None, due_at=None)
        operation.waits_for = WaitsFor.LOCKS
        return operation
    if holders:
        Operation.objects.filter(pk=operation.pk).delete()  # the caller may catch the refusal and go on
        raise busy(columns, holders)
    ring_on_commit(operation.pk)
    return operation


def supersede(*, keys: Iterable[Lock] | None = None, **columns: Any) -> Operation:
    """Store an operation that takes its locks from whoever holds them and removes what their steps made.

    Returns the unfinished one of the same kind and subject if there is one; a stuck one is set going again.
    """
    saga = saga_of(columns["kind"])
    wanted = lock_keys(saga, columns, keys)
    for _ in range(SUPERSEDE_ROUNDS):
        older = _in_the_way(columns, wanted)
        same = next((o for o in older if _is_same(o, columns)), None)
        if same is not None:
            if same.status == Status.STUCK:
                resume(same)
            return same
        operation = _insert(saga, columns)
        inherited = [ident for o in older for ident in _abandon_for(o, operation)]
        if not locks.take(operation.pk, wanted):
            Operation.objects.filter(pk=operation.pk).update(superseded=inherited)
            operation.superseded = inherited
            ring_on_commit(operation.pk)
            return operation
        operation.delete()
    raise Conflict("The resource is too busy to be taken over now.", hint="Try again.")


def lock_keys(saga: Saga, columns: dict[str, Any], given: Iterable[Lock] | None) -> list[Lock]:
    """The keys given at start, else those the saga computes, else the subject itself."""
    if given is not None:
        return sorted(set(given))
    if saga.locks is not None:
        return sorted(set(saga.locks(columns["input"])))
    return [(columns["subject_type"], columns["subject_id"])]


def busy(columns: dict[str, Any], holders: list[uuid.UUID]) -> Conflict:
    """The refusal, naming who is in the way."""
    holder = Operation.objects.filter(pk=holders[0]).first()
    doing = (saga_of(holder.kind).title or holder.kind) if holder and holder.kind else "another operation"
    noun, ident = columns["subject_type"], columns["subject_id"]
    return Conflict(f"{noun[:1].upper()}{noun[1:]} {ident} is busy: {doing}.", hint="Try again when it has ended.")


def ring_on_commit(operation_id: uuid.UUID) -> None:
    """Ring once the caller's transaction is committed."""
    transaction.on_commit(partial(doorbell.ring, operation_id))


def resume(operation: Operation) -> None:
    """Set a stuck operation going where it stopped, with its tries given back."""
    Operation.objects.filter(pk=operation.pk).update(
        status=operation.resume or Status.RUNNING,
        resume="",
        tries=0,
        silences=0,
        waits_for=WaitsFor.NOTHING,
        expects="",
        deadline_at=None,
        due_at=Now(),
        wake_at=Now(),
        updated_at=Now(),
    )
    ring_on_commit(operation.pk)


def _insert(saga: Saga, columns: dict[str, Any]) -> Operation:
    first = saga.steps[0].name if saga.steps else ""
    return Operation.objects.create(cursor=first, wake_at=from_now(RING_S), due_at=Now(), **columns)


def _in_the_way(columns: dict[str, Any], wanted: list[Lock]) -> list[Operation]:
    """Unfinished operations of the subject or with the wanted locks, as locked rows."""
    on_subject = Operation.objects.filter(
        subject_type=columns["subject_type"], subject_id=columns["subject_id"], status__in=UNFINISHED
    )
    holders = locks.holders(wanted)
    ids = {*on_subject.values_list("pk", flat=True), *holders}
    rows = Operation.objects.select_for_update(no_key=True).filter(pk__in=ids, status__in=UNFINISHED)
    return list(rows.order_by("pk"))


def _is_same(operation: Operation, columns: dict[str, Any]) -> bool:
    return all(getattr(operation, name) == columns[name] for name in ("kind", "subject_type", "subject_id"))


def _abandon_for(older: Operation, newer: Operation) -> list[str]:
    """Give up the older one without undo; returns the operations whose steps the newer one must remove."""
    ending.abandon(older, f"superseded by {newer.kind} {newer.pk}", call_back=False)
    return [*older.superseded, str(older.pk)]
