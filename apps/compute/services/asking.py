"""Asking a host something while the caller waits: an operation of one step that is forgotten once it is read.

Nothing of the answer is kept: a console log may show passwords.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.core.context import RequestContext
from apps.core.errors import Unavailable
from apps.core.transactions import internal
from apps.operations.models import Step
from apps.operations.services import operation_forget, operation_start, operation_wait
from apps.operations.states import Status

TIMEOUT_S = 20.0


@internal("services that ask, which enforce their own rule", atomic=False)
def host_answer(
    ctx: RequestContext, *, kind: str, subject: tuple[str, str], project_id: str, given: dict[str, Any], what: str
) -> dict[str, Any]:
    """What the only step of an operation of this kind brought; `what` names it to people.

    `subject` is a type and an id. Raises Unavailable where the host does not answer in time or cannot.
    """
    with transaction.atomic():
        operation = operation_start(
            ctx,
            kind=kind,
            subject_type=subject[0],
            subject_id=subject[1],
            project_id=project_id,
            input=given,
            locks=(),
        )
    try:
        ended = operation_wait(ctx, operation_id=operation.pk, timeout_s=TIMEOUT_S)
        if ended.status != Status.DONE:
            raise Unavailable(f"{what}: {(ended.error or {}).get('message', ended.status)}")
        output = Step.objects.filter(operation_id=ended.pk).values_list("output", flat=True).get()
        return dict(output or {})
    finally:
        operation_forget(ctx, operation_id=operation.pk)
