"""What the doctor says of operations: those that gave up, and those that nobody would ever wake."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from apps.operations import doorbell
from apps.operations.clock import from_now
from apps.operations.models import Executor, Operation
from apps.operations.states import ACTIVE, ExecutorState, Status, WaitsFor

OVERDUE_S = 120  # the sweeper looks every second


def check_operations(repair: bool) -> Iterator[str]:
    """Stuck ones are told with their reason and left to a person; forgotten ones are rung."""
    for row in Operation.objects.filter(status=Status.STUCK).order_by("created_at"):
        reason = (row.error or {}).get("message", "no reason")
        yield f"{_name(row)} is stuck ({reason}): manage.py operation retry {row.pk}, or abandon"
    for row in _forgotten().order_by("created_at"):
        yield f"{_name(row)} waits for {row.waits_for or 'its turn'} and nothing wakes it"
        if repair:
            Operation.objects.filter(pk=row.pk, status__in=ACTIVE).update(wake_at=Now())
            doorbell.ring(row.pk)


def _forgotten() -> QuerySet[Operation]:
    rows = Operation.objects.filter(status__in=ACTIVE, updated_at__lt=from_now(-OVERDUE_S))
    parked = Q(waits_for=WaitsFor.HOST) & ~Q(host__in=Executor.objects.filter(state=ExecutorState.UP).values("host"))
    without = Q(wake_at=None) & ~Q(waits_for__in=[WaitsFor.LOCKS, WaitsFor.CHILDREN]) & ~parked
    return rows.filter(without | Q(wake_at__lt=from_now(-OVERDUE_S)))


def _name(row: Operation) -> str:
    return f"{row.kind} of {row.subject_type} {row.subject_id}"
