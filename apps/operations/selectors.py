"""Reads of operations, scoped to the caller's project; administrators see all."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.db.models import QuerySet
from django.db.models.expressions import Combinable

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector
from apps.operations.models import Operation, Step
from apps.operations.registry import SAGAS
from apps.operations.states import ACTIVE, UNFINISHED


@selector("operations:list")
def operation_list(
    ctx: RequestContext, *, subject_type: str = "", subject_id: object = "", unfinished: bool = False
) -> QuerySet[Operation]:
    """Operations that the caller may see, newest first; of one subject if named."""
    rows = Operation.objects.all()
    if not ctx.is_admin:
        rows = rows.filter(project_id=ctx.project_id)
    if subject_type:
        rows = rows.filter(subject_type=subject_type)
    if subject_id:
        rows = rows.filter(subject_id=str(subject_id))
    return rows.filter(status__in=UNFINISHED) if unfinished else rows


@selector("operations:list")
def operation_get(ctx: RequestContext, *, operation_id: object) -> Operation:
    """One operation with its steps prefetched. Raises NotFound."""
    try:
        ident = uuid.UUID(str(operation_id))
    except ValueError:
        raise NotFound("Operation", operation_id) from None
    row = Operation.objects.prefetch_related("steps").filter(pk=ident).first()
    if row is None or not policy.allowed(ctx, "operations:get", {"project_id": row.project_id}):
        raise NotFound("Operation", operation_id)
    return row


@selector("operations:list")
def operation_get_query(ctx: RequestContext, *, operation_id: object) -> QuerySet[Operation]:
    """One operation for the API: a query set of at most one row."""
    try:
        ident = uuid.UUID(str(operation_id))
    except ValueError:
        raise NotFound("Operation", operation_id) from None
    rows = Operation.objects.filter(pk=ident)
    return rows if ctx.is_admin else rows.filter(project_id=ctx.project_id)


@selector("operations:list")
def step_list(ctx: RequestContext, *, operation_ids: Sequence[object]) -> QuerySet[Step]:
    """Steps of operations that the caller may see, in order of their start."""
    rows = Step.objects.filter(operation_id__in=[str(i) for i in operation_ids])
    return (rows if ctx.is_admin else rows.filter(operation__project_id=ctx.project_id)).order_by("id")


def active_on(subject_type: str, subject_id: Combinable) -> QuerySet[Operation]:
    """For `Subquery`: the newest active operation of a row of another table.

    `.values("kind")` and `.values("cursor")` of it feed `registry.task_state`. `subject_id` must be text.
    """
    rows = Operation.objects.filter(subject_type=subject_type, subject_id=subject_id, status__in=ACTIVE)
    return rows.order_by("-created_at")[:1]


def title_of(kind: str) -> str:
    """What people read for an operation's kind."""
    saga = SAGAS.get(kind)
    return saga.title if saga and saga.title else kind
