"""How operations end, always in one transaction: the saga's last word, the locks, the parent, the waiters."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from agents.envelope import queue_of
from apps.core import live
from apps.operations import doorbell, locks, messages
from apps.operations.models import Operation
from apps.operations.registry import SAGAS
from apps.operations.states import Status, WaitsFor
from apps.operations.view import Failure, Op

_CHILD_ENDED = """
UPDATE operation SET children_left = greatest(children_left - 1, 0),
    wake_at = CASE WHEN (children_left <= 1 OR %s) AND status IN ('running', 'undoing')
        THEN statement_timestamp() ELSE wake_at END
WHERE id = %s RETURNING children_left
"""


def finish(row: Operation, status: Status, failure: Failure | None = None, *, view: Op | None = None) -> None:
    """End an operation whose row is locked. Its saga's `on_done` or `on_failed` runs first."""
    locks.hold(row.pk)
    saga = SAGAS.get(row.kind)
    if saga is not None and view is not None:
        if status == Status.DONE and saga.on_done:
            saga.on_done(view)
        if status != Status.DONE and saga.on_failed:
            saga.on_failed(view, failure or Failure.of(row.error))
    changes: dict[str, Any] = {
        "status": status, "waits_for": WaitsFor.NOTHING, "expects": "", "host": "", "due_at": None,
        "wake_at": None, "deadline_at": None, "finished_at": Now(), "updated_at": Now(),
    }  # fmt: skip
    if status == Status.DONE:
        changes |= {"percent": 100, "progress": ""}
    if failure is not None:
        changes["error"] = failure.as_json()
    Operation.objects.filter(pk=row.pk).update(**changes)
    for waiting in locks.free(row.pk):
        _ring_later(waiting)
    if row.parent_id:
        _tell_parent(row.parent_id, failed=status != Status.DONE)
    live.notify(row.project_id, "operation", row.pk)


def abandon(row: Operation, reason: str, *, call_back: bool) -> None:
    """Give an unfinished operation up without undo; a verb under way is told to stop."""
    if row.waits_for == WaitsFor.HOST and row.host:
        text, queue = messages.cancel(row), queue_of(row.host, "control")
        transaction.on_commit(partial(doorbell.send, queue, text))
    failure = Failure("abandoned", reason)
    view = Op(row, {step.name: step for step in row.steps.all()}) if call_back else None
    finish(row, Status.ABANDONED, failure, view=view)


def _tell_parent(parent_id: uuid.UUID, *, failed: bool) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_CHILD_ENDED, [failed, parent_id])
        left = cursor.fetchone()
    if left is not None and (failed or left[0] == 0):
        _ring_later(parent_id)


def _ring_later(operation_id: uuid.UUID) -> None:
    transaction.on_commit(partial(doorbell.ring, operation_id))
