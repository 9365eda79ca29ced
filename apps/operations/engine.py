"""The engine: moves an operation as far as it can go without waiting, one transaction a turn.

`advance` is what a ring means. It is safe to call at any time, twice at once, and for anything: the row says what
there is to do. Errors that nobody planned are caught outside the rolled-back turn, counted, and end in undo or
in `stuck`, never in a loop.
"""

from __future__ import annotations

import logging
import traceback
import uuid
from collections.abc import Callable
from typing import Any, assert_never

from django.db import OperationalError
from django.db.models.functions import Now

from apps.core import logs
from apps.core.errors import KumoError
from apps.core.transactions import internal, is_database_away
from apps.operations import children, ending, locks
from apps.operations.clock import LOOK_S, from_now
from apps.operations.models import Operation, Step
from apps.operations.registry import SAGAS, Agent, Child, Job, Local, Wait
from apps.operations.registry import Step as StepKind
from apps.operations.states import ACTIVE, Status, StepStatus, WaitsFor
from apps.operations.turn import Source, Turn, locked, parts, typed
from apps.operations.view import Failure

log = logging.getLogger(__name__)

MAX_TURNS = 1000  # more than any saga has steps; a bound, not a limit anybody meets
PASSING = {"40001", "40P01", "55P03"}  # serialization, deadlock, lock time-out: tried again, uncounted

Outbox = list[Callable[[], None]]
Taken = tuple[bool, Outbox]  # go on at once?, and what to send


def advance(operation_id: uuid.UUID | str) -> None:
    """Take turns until the operation waits for somebody or has ended."""
    for _ in range(MAX_TURNS):
        if not _guarded(_turn, operation_id):
            return


def answered(
    operation_id: uuid.UUID | str,
    *,
    expects: str,
    attempt: int,
    host: str,
    reply: Any = None,
    failure: Failure | None = None,
) -> None:
    """Take an answer of a host (or, with an empty `host`, of a job) and go on from there in the same breath."""
    if _guarded(_accept, operation_id, expects, attempt, host, reply, failure):
        advance(operation_id)


def _guarded(take: Callable[..., Taken], operation_id: uuid.UUID | str, *rest: Any) -> bool:
    """Run one transaction, deliver what it wants sent, and catch what nobody planned."""
    try:
        again, outbox = take(operation_id, *rest)
    except Exception as error:  # noqa: BLE001 - a poison step must not take the worker or the row with it
        again, outbox = _crashed(operation_id, error)
    finally:
        logs.request_id.set("")
    for deliver in outbox:
        deliver()
    return again


@internal("The engine moves operations on behalf of their actors.")
def _turn(operation_id: uuid.UUID | str) -> Taken:
    turn = _open(operation_id)
    return (_move(turn), turn.outbox) if turn else (False, [])


@internal("Answers of hosts and jobs.")
def _accept(
    operation_id: uuid.UUID | str, expects: str, attempt: int, host: str, reply: Any, failure: Failure | None
) -> Taken:
    turn = _open(operation_id)
    if turn is None or not _is_awaited(turn.row, expects, attempt, host):
        facts = {"operation": str(operation_id), "step": expects, "attempt": attempt, "host": host}
        log.info("stale answer dropped", extra=facts)
        return False, []
    name, of_undo, inherited = parts(expects)
    if failure is not None:
        _failed(turn, failure)
        return turn.row.waits_for == WaitsFor.NOTHING, turn.outbox
    if of_undo:
        _undone(turn, Source(Operation.objects.get(pk=inherited)) if inherited else turn, name)
    else:
        _done(turn, turn.saga.step(name), reply)
    return True, turn.outbox


def _open(operation_id: uuid.UUID | str) -> Turn | None:
    row = locked(operation_id)
    if row is None or row.status not in ACTIVE:
        return None
    logs.request_id.set(row.request_id)
    return Turn(row)


def _is_awaited(row: Operation, expects: str, attempt: int, host: str) -> bool:
    waits_for = WaitsFor.HOST if host else WaitsFor.JOB
    return (row.waits_for, row.host, row.expects, row.attempt) == (waits_for, host, expects, attempt)


# --- what there is to do ---------------------------------------------------------------------------


def _move(turn: Turn) -> bool:
    """Do the next thing; true if another may follow at once."""
    row = turn.row
    if row.waits_for == WaitsFor.LOCKS:
        return _queued(turn)
    if row.status == Status.PENDING:
        turn.put(status=Status.RUNNING, started_at=Now())
    if _is_to_cancel(turn):
        return _cancel(turn)
    if row.waits_for == WaitsFor.BACKOFF and not _is_due(row):
        return False
    if row.waits_for in (WaitsFor.HOST, WaitsFor.JOB) and not _lease_ended(turn):
        return row.waits_for == WaitsFor.NOTHING
    if row.superseded:
        return _remove(turn)
    return _undo(turn) if row.status == Status.UNDOING else _forward(turn)


def _queued(turn: Turn) -> bool:
    if turn.row.cancel_requested:
        ending.finish(turn.row, Status.FAILED, _cancelled(turn), view=turn.view)
        return False
    if not locks.take_awaited(turn.row.pk):
        return False
    turn.settle()
    return True


def _is_to_cancel(turn: Turn) -> bool:
    saga = turn.saga
    return (
        turn.row.cancel_requested
        and turn.row.status == Status.RUNNING
        and saga.cancellable
        and not saga.forward_only
        and not turn.is_committed
    )


def _cancel(turn: Turn) -> bool:
    """Turn round; but what is under way is given its lease to stop and say so."""
    row = turn.row
    if row.waits_for in (WaitsFor.HOST, WaitsFor.JOB) and row.due_at is not None and not _is_due(row):
        turn.stop_host()
        return False
    turn.turn_round(_cancelled(turn))
    return True


def _cancelled(turn: Turn) -> Failure:
    return Failure("cancelled", "The operation was cancelled.", turn.row.cursor)


def _is_due(row: Any) -> bool:
    return row.due_at is not None and row.due_at <= row.now


def _lease_ended(turn: Turn) -> bool:
    """Is it time to send again? A deadline that has passed is a failure instead."""
    row: Any = turn.row
    if not _is_due(row):
        return False
    if row.deadline_at is not None and row.deadline_at <= row.now:
        name = parts(row.expects)[0]
        whom = f" on host {row.host}" if row.host else ""
        _failed(turn, Failure("timeout", f"Step {name}{whom} took longer than it may.", name, row.host))
        return False
    turn.put(silences=row.silences + 1, waits_for=WaitsFor.NOTHING)
    return True


# --- forward ---------------------------------------------------------------------------------------


def _forward(turn: Turn) -> bool:
    if not turn.row.cursor:
        ending.finish(turn.row, Status.DONE, view=turn.view)
        return False
    step = turn.saga.step(turn.row.cursor)
    match step:
        case Local():
            _done(turn, step, step.do(turn.view))
            return True
        case Agent():
            return _ask(turn, step)
        case Job():
            turn.record(step.name, StepStatus.STARTED)
            turn.ask_job(step.name, step)
            return False
        case Child():
            return _await_children(turn, step)
        case Wait():
            return _look(turn, step)
    assert_never(step)


def _ask(turn: Turn, step: Agent) -> bool:
    host = turn.view.host_of(step.name) or step.target(turn.view)
    if not host:
        _done(turn, step, None)
        return True
    message = step.message(turn.view)
    if not turn.ask_host(host, step.name, step.verb, message, step):
        turn.fail(Failure("refused", f"Host {host} is not enrolled.", step.name, host))
        return turn.row.waits_for == WaitsFor.NOTHING
    turn.record(step.name, StepStatus.STARTED, host=host)
    return False


def _await_children(turn: Turn, step: Child) -> bool:
    verdict = children.forward(turn, step)
    if isinstance(verdict, Failure):
        turn.fail(verdict)
        return turn.row.waits_for == WaitsFor.NOTHING
    if verdict:
        _done(turn, step, turn.steps[step.name].output)
    return verdict


def _look(turn: Turn, step: Wait) -> bool:
    row: Any = turn.row
    if step.predicate(turn.view):
        _done(turn, step, None)
        return True
    if row.deadline_at is None:
        turn.record(step.name, StepStatus.STARTED)
        turn.put(deadline_at=from_now(step.deadline_s))
        turn.wait(WaitsFor.ROWS, min(LOOK_S, step.deadline_s))
        return False
    left = (row.deadline_at - row.now).total_seconds()
    if left <= 0:
        turn.fail(Failure("timeout", f"Step {step.name} did not come true within {step.deadline_s} s.", step.name))
        return turn.row.waits_for == WaitsFor.NOTHING
    turn.wait(WaitsFor.ROWS, min(LOOK_S, left))
    return False


def _done(turn: Turn, step: StepKind, reply: Any) -> None:
    """Record a step's success and move the cursor."""
    if isinstance(step, Agent) and step.reply is not None and turn.view.host_of(step.name):
        step.reply(turn.view, typed(reply, step.returns))
    turn.record(step.name, StepStatus.DONE, output=reply, error=None)
    following = turn.saga.after(step.name)
    turn.settle(cursor=following, percent=turn.saga.percent(following), progress="")


# --- backward --------------------------------------------------------------------------------------


def _undo(turn: Turn) -> bool:
    row = turn.last_standing()
    if row is None:
        ending.finish(turn.row, Status.FAILED, Failure.of(turn.row.error), view=turn.view)
        return False
    return _take_back(turn, turn, row, f"{row.name}/undo")


def _remove(turn: Turn) -> bool:
    """Take back what the steps of a superseded operation made, before this one's own steps."""
    inherited, *rest = turn.row.superseded
    old = Operation.objects.filter(pk=inherited).first()
    source = Source(old) if old is not None and old.kind in SAGAS else None
    row = source.last_standing() if source else None
    if source is None or row is None:
        turn.settle(superseded=rest)
        return True
    return _take_back(turn, source, row, f"{inherited}/{row.name}/undo")


def _take_back(turn: Turn, source: Source, row: Step, expects: str) -> bool:
    step = source.saga.step(row.name)
    match step:
        case Local() if step.undo is not None and row.status == StepStatus.DONE:
            step.undo(source.view)
        case Agent() if step.undo_verb is not None and row.host:
            message = (step.undo_message or step.message)(source.view)
            if turn.ask_host(row.host, expects, step.undo_verb, message, step):
                return False
            log.warning("host is gone, nothing to undo there", extra={"host": row.host, "step": expects})
        case Job() if step.undo is not None:
            turn.ask_job(expects, step)
            return False
        case Child():
            verdict = children.backward(turn, source, step, row)
            if isinstance(verdict, Failure):
                _failed(turn, verdict)
                return turn.row.waits_for == WaitsFor.NOTHING
            if not verdict:
                return False
    _undone(turn, source, row.name)
    return True


def _undone(turn: Turn, source: Source, name: str, failure: Failure | None = None) -> None:
    error = failure.as_json() if failure else source.steps[name].error
    Step.objects.filter(pk=source.steps[name].pk).update(status=StepStatus.UNDONE, finished_at=Now(), error=error)
    turn.settle()


# --- failures --------------------------------------------------------------------------------------


def _failed(turn: Turn, failure: Failure) -> None:
    if turn.row.superseded:
        _failed_to_remove(turn, failure)
    else:
        turn.fail(failure)


def _failed_to_remove(turn: Turn, failure: Failure) -> None:
    """A delete wins: what its predecessor's undo cannot remove is left to the delete's own steps."""
    if not failure.is_final and turn.row.tries + 1 < turn.saga.tries:
        turn.back_off(turn.row.tries + 1, failure)
        return
    turn.stop_host()
    old = Operation.objects.filter(pk=turn.row.superseded[0]).first()
    source = Source(old) if old is not None and old.kind in SAGAS else None
    row = source.last_standing() if source else None
    log.error("step of a superseded operation was not removed", extra=failure.as_json())
    if source is not None and row is not None:
        _undone(turn, source, row.name, failure)
    else:
        turn.settle(superseded=turn.row.superseded[1:])


def is_passing(error: Exception) -> bool:
    """Did two transactions collide, so that trying again will do?"""
    return isinstance(error, OperationalError) and _sqlstate(error) in PASSING


def _sqlstate(error: Exception) -> str:
    return str(getattr(error.__cause__, "pgcode", "") or "")


def _crashed(operation_id: uuid.UUID | str, error: Exception) -> Taken:
    """What follows an exception that left a turn, after its transaction was rolled back."""
    facts = {"operation": str(operation_id)}
    if is_passing(error):
        log.info("collision, trying again", extra=facts | {"reason": str(error)})
        return _recorded(_after_collision, operation_id)
    if is_database_away(error):
        log.warning("the database does not answer", extra=facts, exc_info=error)
        return False, []
    if isinstance(error, KumoError):
        return _recorded(_after_crash, operation_id, Failure("refused", str(error)))
    log.error("a step raised", extra=facts, exc_info=error)
    text = "".join(traceback.format_exception(error))
    return _recorded(_after_crash, operation_id, Failure("crashed", repr(error), traceback=text))


def _recorded(take: Callable[..., Taken], operation_id: uuid.UUID | str, *rest: Any) -> Taken:
    """Even the bookkeeping may fail, with the database gone; then the sweeper comes back to the row."""
    try:
        return take(operation_id, *rest)
    except Exception:
        log.exception("a failure could not be recorded", extra={"operation": str(operation_id)})
        return False, []


@internal("The engine's own bookkeeping.")
def _after_crash(operation_id: uuid.UUID | str, failure: Failure) -> Taken:
    row = locked(operation_id)
    if row is None or row.status not in ACTIVE:
        return False, []
    if row.kind not in SAGAS:
        Operation.objects.filter(pk=row.pk).update(
            status=Status.STUCK, resume=row.status, error=failure.as_json(), wake_at=None, updated_at=Now()
        )
        return False, []
    turn = Turn(row)
    name = row.cursor if row.status == Status.RUNNING else ""
    _failed(turn, Failure(failure.kind, failure.message, name, row.host, failure.traceback))
    return turn.row.waits_for == WaitsFor.NOTHING, turn.outbox


@internal("The engine's own bookkeeping.")
def _after_collision(operation_id: uuid.UUID | str) -> Taken:
    Operation.objects.filter(pk=operation_id, status__in=ACTIVE).update(wake_at=from_now(1))
    return False, []
