"""Long operations of identity."""

from __future__ import annotations

from functools import partial
from typing import Any

from apps.core import owned
from apps.core.owned import Stage
from apps.identity import jobs, services
from apps.identity.models import Project
from apps.identity.services.purging import PURGE
from apps.operations.registry import Job, Local, Saga, Wait, register
from apps.operations.registry import Step as StepKind
from apps.operations.view import Op

GONE_WITHIN_S = 3600  # a server whose host is down takes until that is back


def _close(op: Op) -> dict[str, Any]:
    """Disable a project that is to go, so that nothing new comes to it."""
    project = Project.objects.filter(pk=op.subject_id).first()
    if project is None or op.input["keep"] or not project.enabled:
        return {"was_enabled": False}
    services.project_update(op.ctx, project_id=op.subject_id, enabled=False)
    return {"was_enabled": True}


def _open(op: Op) -> None:
    """As it was, if the purge fails; what was removed by then stays removed."""
    closed = op.outputs.get("close") or {}
    if closed.get("was_enabled") and Project.objects.filter(pk=op.subject_id).exists():
        services.project_update(op.ctx, project_id=op.subject_id, enabled=True)


def _gone(op: Op, stage: Stage) -> bool:
    keep = op.input["keep"]
    return all(keep and found.kind.incidental for found in owned.holdings([op.subject_id], stage=stage))


def _delete(op: Op) -> None:
    """The empty project. Raises Conflict if something came to it nevertheless."""
    if not op.input["keep"] and Project.objects.filter(pk=op.subject_id).exists():
        services.project_delete(op.ctx, project_id=op.subject_id)


def _stage(stage: Stage) -> tuple[StepKind, StepKind]:
    name = stage.name.lower()
    return (
        Job(f"remove_{name}", lambda op, job: jobs.remove_stage(op, job, stage)),
        Wait(f"{name}_gone", partial(_gone, stage=stage), deadline_s=GONE_WITHIN_S),
    )


PROJECT_PURGE = Saga(
    kind=PURGE,
    title="Remove a project's resources",
    steps=(
        Local("close", _close, undo=_open),
        *(step for stage in Stage for step in _stage(stage)),
        Local("delete", _delete),
    ),
)

register(PROJECT_PURGE)
