"""Operations that are steps of others: started once, awaited by a counter, cancelled and taken back together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models.functions import Now

from apps.operations import starting
from apps.operations.models import Operation, Step
from apps.operations.registry import Child, ChildInput
from apps.operations.states import ACTIVE, FINISHED, Status, StepStatus, WaitsFor
from apps.operations.turn import Source, Turn
from apps.operations.view import Failure


def forward(turn: Turn, step: Child) -> bool | Failure:
    """Start the children, or see how they fare: true when all are done, false while some are not."""
    row = turn.steps.get(step.name)
    if row is None:
        ids = [_start(turn, step.kind, wanted) for wanted in step.inputs(turn.view)]
        turn.record(step.name, StepStatus.STARTED, output={"ids": ids})
        return _await(turn, len(ids))
    known = _children(row.output["ids"])
    failed = [child for child in known if child.status in FINISHED and child.status != Status.DONE]
    unfinished = [child for child in known if child.status not in FINISHED]
    if failed and turn.row.waits_for != WaitsFor.CHILDREN:  # an operator's retry
        again = {str(child.pk): _start(turn, step.kind, _as_input(child)) for child in failed}
        turn.record(step.name, StepStatus.STARTED, output={"ids": [again.get(i, i) for i in row.output["ids"]]})
        return _await(turn, len(unfinished) + len(again))
    if unfinished:
        if failed:
            cancel(turn, unfinished)
        return _await(turn, len(unfinished))
    return _failure(step, failed) if failed else True


def backward(turn: Turn, source: Source, step: Child, row: Step) -> bool | Failure:
    """Cancel the children that go on, and run the inverse kind for what was made."""
    known = _children(row.output["ids"])
    if not step.inverse:
        unfinished = [child for child in known if child.status not in FINISHED]
        if unfinished:
            Operation.objects.filter(pk__in=[c.pk for c in unfinished]).update(parent_id=turn.row.pk)
            cancel(turn, unfinished)
        return _await(turn, len(unfinished))
    inverse = row.output.get("inverse", {})
    running = _children(inverse.values())
    unfinished = [child for child in running if child.status not in FINISHED]
    if unfinished and turn.row.waits_for == WaitsFor.CHILDREN:
        return _await(turn, len(unfinished))
    failed = {str(c.pk) for c in running if c.status in FINISHED and c.status != Status.DONE}
    if failed and turn.row.waits_for == WaitsFor.CHILDREN:
        return _failure(step, [c for c in running if str(c.pk) in failed])
    made = [c for c in known if c.status not in (Status.FAILED, Status.ABANDONED)]
    todo = [c for c in made if str(c.pk) not in inverse or inverse[str(c.pk)] in failed]
    begun = {str(c.pk): _supersede(turn, step.inverse, _as_input(c)) for c in todo}
    if begun:
        Step.objects.filter(pk=row.pk).update(output=row.output | {"inverse": inverse | begun})
    return _await(turn, len(unfinished) + len(begun))


def cancel(turn: Turn, children: Iterable[Operation]) -> None:
    """Ask the children to stop."""
    ids = [child.pk for child in children if child.status in ACTIVE]
    Operation.objects.filter(pk__in=ids).update(cancel_requested=True, wake_at=Now())
    for ident in ids:
        turn.ring(ident)


def _await(turn: Turn, count: int) -> bool:
    if count == 0:
        return True
    turn.put(children_left=count)
    turn.wait(WaitsFor.CHILDREN, None)
    return False


def _children(ids: Iterable[Any]) -> list[Operation]:
    return list(Operation.objects.filter(pk__in=list(ids)).order_by("created_at", "pk"))


def _start(turn: Turn, kind: str, wanted: ChildInput) -> str:
    return str(starting.start(**_columns(turn, kind, wanted)).pk)


def _supersede(turn: Turn, kind: str, wanted: ChildInput) -> str:
    child = starting.supersede(**_columns(turn, kind, wanted))
    if child.parent_id != turn.row.pk:  # somebody deletes it already; its end is ours to await
        Operation.objects.filter(pk=child.pk).update(parent_id=turn.row.pk)
    return str(child.pk)


def _columns(turn: Turn, kind: str, wanted: ChildInput) -> dict[str, Any]:
    return {
        "kind": kind,
        "parent_id": turn.row.pk,
        "actor": turn.row.actor,
        "request_id": turn.row.request_id,
        "subject_type": wanted.subject_type,
        "subject_id": wanted.subject_id,
        "project_id": wanted.project_id,
        "input": wanted.input,
        "keys": wanted.locks,
    }


def _as_input(child: Operation) -> ChildInput:
    return ChildInput(child.subject_type, child.subject_id, child.project_id, child.input)


def _failure(step: Child, failed: list[Operation]) -> Failure:
    first = Failure.of(failed[0].error)
    return Failure("refused", first.message or f"{failed[0].kind} failed", step.name, first.host)
