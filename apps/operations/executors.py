"""Hosts' workers as the engine knows them: seen, down, started anew; and what that means for waiting steps."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from agents.envelope import Renewal
from apps.operations import doorbell
from apps.operations.clock import LEASE_S
from apps.operations.models import Executor, Operation
from apps.operations.states import ACTIVE, ExecutorState, WaitsFor

_RENEW = """
UPDATE operation SET percent = CASE WHEN sign.percent > 0 THEN sign.percent ELSE operation.percent END,
    progress = sign.text,
    due_at = least(statement_timestamp() + %(lease)s * interval '1 second', coalesce(deadline_at, 'infinity')),
    wake_at = least(statement_timestamp() + %(lease)s * interval '1 second', coalesce(deadline_at, 'infinity'))
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[], %(percents)s::int[], %(texts)s::text[])
    AS sign(id, attempt, percent, text)
WHERE operation.id = sign.id AND operation.attempt = sign.attempt AND operation.waits_for = %(waits_for)s
    AND operation.host = %(host)s AND operation.status IN ('running', 'undoing')
RETURNING operation.id, operation.cancel_requested
"""
_RELEASE = """
UPDATE operation SET due_at = statement_timestamp(), wake_at = statement_timestamp()
WHERE waits_for = 'host' AND due_at IS NULL AND status IN ('running', 'undoing')
    AND host IN (SELECT host FROM operation_executor WHERE state = 'up')
RETURNING id
"""


def seen(host: str, boot_id: str) -> None:
    """A host answered under this boot id."""
    executor = Executor.objects.select_for_update(no_key=True).filter(host=host).first()
    if executor is None:
        return
    is_new = executor.boot_id != boot_id or executor.state != ExecutorState.UP
    Executor.objects.filter(host=host).update(boot_id=boot_id, state=ExecutorState.UP, seen_at=Now())
    if is_new:
        # In a transaction of its own: this one holds the host's row, and the engine takes operations first.
        transaction.on_commit(partial(end_leases, host))


def down(host: str) -> None:
    """A host does not answer."""
    changed = Executor.objects.filter(host=host, state=ExecutorState.UP).update(state=ExecutorState.DOWN)
    if changed:
        transaction.on_commit(partial(park, host))


def end_leases(host: str) -> None:
    """Have everything that waits for the host sent again: its worker has forgotten what it was asked."""
    rows = Operation.objects.filter(host=host, waits_for=WaitsFor.HOST, status__in=ACTIVE)
    rows.update(due_at=Now(), wake_at=Now(), silences=0, deadline_at=None)
    for ident in rows.values_list("pk", flat=True):
        doorbell.ring(ident)


def park(host: str) -> None:
    """Let everything that waits for the host rest until it is seen."""
    rows = Operation.objects.filter(host=host, waits_for=WaitsFor.HOST, status__in=ACTIVE)
    rows.update(due_at=None, wake_at=None, deadline_at=None)


def release() -> int:
    """Mend what a crash between `seen` and `end_leases` left: parked steps of hosts that are up."""
    with connection.cursor() as cursor:
        cursor.execute(_RELEASE)
        return cursor.rowcount


def renew(host: str, renewal: Renewal) -> list[str]:
    """Lengthen the leases of what is under way at a host (or, with an empty name, in control workers).

    Returns the ids of operations whose cancelling was asked for.
    """
    signs = renewal.running
    if not signs:
        return []
    values: dict[str, Any] = {
        "lease": LEASE_S,
        "ids": [s.operation for s in signs],
        "attempts": [s.attempt for s in signs],
        "percents": [min(max(s.percent, 0), 100) for s in signs],
        "texts": [s.text[:200] for s in signs],
        "waits_for": WaitsFor.HOST if host else WaitsFor.JOB,
        "host": host,
    }
    with connection.cursor() as cursor:
        cursor.execute(_RENEW, values)
        return [str(ident) for ident, cancelled in cursor.fetchall() if cancelled]
