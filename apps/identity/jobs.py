"""Removing what projects have, row by row, each by its own app's service."""

from __future__ import annotations

from typing import Any

from apps.core import owned
from apps.core.errors import Conflict, KumoError
from apps.core.owned import Owned, Stage
from apps.operations.registry import JobContext
from apps.operations.view import Op

MOST_TOLD = 5  # refusals that the reason of a failure quotes


def remove_stage(op: Op, job: JobContext, stage: Stage) -> dict[str, int]:
    """Remove, or begin to remove, all rows of a stage. Returns how many of each kind.

    What another run removed already is no longer found, so it may be run again. A row that is refused does not stop
    the others. Raises Conflict in the end, saying which and why.
    """
    begun: dict[str, int] = {}
    refused: list[str] = []
    kinds = [kind for kind in owned.kinds(stage) if not (kind.incidental and op.input.get("keep"))]
    for index, kind in enumerate(kinds):
        job.progress(100 * index // len(kinds), str(kind.label))
        begun[kind.noun] = _remove_kind(op, job, kind, refused)
    if refused:
        more = f" (and {len(refused) - MOST_TOLD} more)" if len(refused) > MOST_TOLD else ""
        raise Conflict(f"{len(refused)} could not be removed: {'; '.join(refused[:MOST_TOLD])}{more}")
    return {noun: number for noun, number in begun.items() if number}


def _remove_kind(op: Op, job: JobContext, kind: Owned, refused: list[str]) -> int:
    begun = 0
    for row in _rows(kind, op.subject_id):
        job.checkpoint()
        try:
            owned.remove(op.ctx, kind, row)
            begun += 1
        except KumoError as error:
            refused.append(f"{kind.noun} {row.pk}: {error}")
    return begun


def _rows(kind: Owned, project_id: str) -> list[Any]:
    return list(owned.rows_of(kind, [project_id]))
