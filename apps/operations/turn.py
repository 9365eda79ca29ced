"""One turn of an operation: its locked row, its saga and steps, and the few ways a turn can change them.

A turn is one transaction. What must leave the database (messages to hosts, jobs, rings) is collected in
`outbox` and delivered after the commit, so that a crash in between loses a message and never invents one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from django.db import connection
from django.db.models.functions import Now

from agents.contracts import Message
from agents.envelope import queue_of
from apps.core import live
from apps.operations import doorbell, messages
from apps.operations.clock import LEASE_S, RING_S, from_now
from apps.operations.models import Operation, Step
from apps.operations.registry import Agent, Job, Saga, saga_of
from apps.operations.states import ExecutorState, Status, StepStatus, WaitsFor
from apps.operations.view import Failure, Op

LONGEST_LEASE = 4  # a lease that ran out doubles the next, this many times
BACKOFF_S, LONGEST_BACKOFF_S = 1.0, 60.0
UNDO_TRIES = 10

_DRAW = """
SELECT nextval('operation_fence'), (SELECT state FROM operation_executor WHERE host = %s FOR SHARE)
"""


class Source:
    """An operation's steps with their saga: the operation itself, or one that it superseded."""

    def __init__(self, row: Operation) -> None:
        self.row = row
        self.saga: Saga = saga_of(row.kind)
        self.steps: dict[str, Step] = {step.name: step for step in row.steps.all()}
        self.view = Op(row, self.steps)

    def last_standing(self) -> Step | None:
        """The last step, in the saga's order, that an undo has still to take back."""
        for step in reversed(self.saga.steps):
            found = self.steps.get(step.name)
            if found is not None and found.status != StepStatus.UNDONE:
                return found
        return None

    @property
    def is_committed(self) -> bool:
        """Has a step from which the saga only goes forward been begun?"""
        return any(
            getattr(step, "commits", False)
            and step.name in self.steps
            and self.steps[step.name].status != StepStatus.UNDONE
            for step in self.saga.steps
        )


class Turn(Source):
    """See the module's head."""

    def __init__(self, row: Operation) -> None:
        super().__init__(row)
        self.outbox: list[Callable[[], None]] = []

    # --- rows --------------------------------------------------------------------------------------

    def put(self, **changes: Any) -> None:
        """Write columns of the operation."""
        Operation.objects.filter(pk=self.row.pk).update(**changes, updated_at=Now())
        for name, value in changes.items():
            setattr(self.row, name, value)

    def record(self, name: str, status: StepStatus, **columns: Any) -> None:
        """Write a step's row. A step that starts anew forgets how it ended before."""
        columns |= {"status": status, "finished_at": None if status == StepStatus.STARTED else Now()}
        known = self.steps.get(name)
        if known is None:
            self.steps[name] = Step.objects.create(operation_id=self.row.pk, name=name, **columns)
            return
        Step.objects.filter(pk=known.pk).update(**columns)
        for column, value in columns.items():
            setattr(known, column, value)

    def settle(self, **changes: Any) -> None:
        """Nothing is under way any more; the turn's next part starts with a clean slate."""
        self.put(
            **{
                "waits_for": WaitsFor.NOTHING, "expects": "", "host": "", "tries": 0, "silences": 0,
                "due_at": from_now(RING_S), "wake_at": from_now(RING_S), "deadline_at": None,
            } | changes
        )  # fmt: skip

    def wait(self, what: WaitsFor, seconds: float | None) -> None:
        """Wait for somebody, and look again in so many seconds (None: only when rung)."""
        when = None if seconds is None else from_now(seconds)
        self.put(waits_for=what, due_at=when, wake_at=when)

    def tell(self) -> None:
        """Have open pages look again. Not at each turn: NOTIFY makes commits wait for each other."""
        live.notify(self.row.project_id, "operation", self.row.pk)

    # --- sending -----------------------------------------------------------------------------------

    def ask_host(self, host: str, expects: str, verb: str, message: Message, step: Agent) -> bool:
        """Send a verb under a new attempt and fence, with a lease; park it while the host is down.

        False, and nothing is changed, when no such host is enrolled.
        """
        fence, state = self._draw(host)
        if state is None:
            return False
        self._lease(WaitsFor.HOST, host, expects, fence, step.deadline_s, parked=state != ExecutorState.UP)
        if state == ExecutorState.UP:
            text = messages.sealed(
                host,
                verb,
                message,
                operation=str(self.row.pk),
                step=expects,
                attempt=self.row.attempt,
                fence=fence,
            )
            self.outbox.append(partial(doorbell.send, queue_of(host, "long" if step.long else ""), text))
        return True

    def ask_job(self, expects: str, step: Job) -> None:
        """Hand a job to the queue `work`, under the same rules as a verb."""
        fence, _ = self._draw("")
        self._lease(WaitsFor.JOB, "", expects, fence, step.deadline_s, parked=False)
        self.outbox.append(partial(doorbell.work, self.row.pk, self.row.attempt))

    def stop_host(self) -> None:
        """Have the attempt under way stopped at its next checkpoint."""
        if self.row.waits_for == WaitsFor.HOST and self.row.host:
            text = messages.cancel(self.row)
            self.outbox.append(partial(doorbell.send, queue_of(self.row.host, "control"), text))

    def ring(self, operation_id: uuid.UUID) -> None:
        """Have another operation looked at."""
        self.outbox.append(partial(doorbell.ring, operation_id))

    def _draw(self, host: str) -> tuple[int, str | None]:
        with connection.cursor() as cursor:
            cursor.execute(_DRAW, [host])
            fence, state = cursor.fetchone()
        return fence, state

    def _lease(self, what: WaitsFor, host: str, expects: str, fence: int, deadline_s: int, *, parked: bool) -> None:
        self.tell()
        when = None if parked else from_now(LEASE_S * 2 ** min(self.row.silences, LONGEST_LEASE))
        goes_on = self.row.expects == expects and self.row.deadline_at is not None
        deadline = self.row.deadline_at if goes_on else from_now(deadline_s)
        self.put(
            waits_for=what,
            host=host,
            expects=expects,
            attempt=self.row.attempt + 1,
            fence=fence,
            due_at=when,
            wake_at=when,
            deadline_at=None if parked else deadline,
        )

    # --- failing -----------------------------------------------------------------------------------

    def fail(self, failure: Failure) -> None:
        """A step did not succeed: try again later, turn round, or get stuck."""
        self._note(failure)
        self.tell()
        tries = self.row.tries + 1
        undoing = self.row.status == Status.UNDOING
        if (undoing and tries < UNDO_TRIES) or (not undoing and not failure.is_final and tries < self.saga.tries):
            self.back_off(tries, failure)
        elif undoing or self.saga.forward_only or (self.is_committed and not self._took_back_commit(failure)):
            self.stop_host()
            # Turning back, what went wrong first stays the reason; the undo's own trouble is kept beside it.
            error = {**(self.row.error or {}), "undo": failure.as_json()} if undoing else failure.as_json()
            self.settle(status=Status.STUCK, resume=self.row.status, error=error, wake_at=None)
        else:
            self.turn_round(failure)

    def turn_round(self, failure: Failure) -> None:
        """From here on, undo. Whatever is under way is told to stop; its answer will come too late to count."""
        self.stop_host()
        self.settle(status=Status.UNDOING, error=failure.as_json(), percent=0, progress="")

    def back_off(self, tries: int, failure: Failure) -> None:
        """Try again after a while, longer each time."""
        seconds = min(BACKOFF_S * 2 ** (tries - 1), LONGEST_BACKOFF_S)
        self.put(tries=tries, silences=0, expects="", deadline_at=None, progress=failure.message[:200])
        self.wait(WaitsFor.BACKOFF, seconds)

    def _note(self, failure: Failure) -> None:
        """Store the failure at its step. One that started nothing gets no row: there is nothing to undo."""
        known = self.steps.get(failure.step)
        if known is not None and self.row.status == Status.RUNNING:
            Step.objects.filter(pk=known.pk).update(error=failure.as_json())

    def _took_back_commit(self, failure: Failure) -> bool:
        """A host's own word that the step which commits did not happen lets the saga turn round."""
        step = next((s for s in self.saga.steps if s.name == failure.step), None)
        if not getattr(step, "commits", False) or failure.kind not in {"refused", "unsupported", "cancelled"}:
            return False
        row = self.steps.get(failure.step)
        return row is not None and row.status == StepStatus.STARTED


def locked(operation_id: uuid.UUID | str) -> Operation | None:
    """The operation's row, locked until the transaction ends, with the database's time as `now`."""
    rows = Operation.objects.select_for_update(no_key=True).annotate(now=Now())
    return rows.filter(pk=operation_id).first()


def parts(expects: str) -> tuple[str, bool, str]:
    """What an answer is about: the step's name, whether of its undo, and of which superseded operation.

    The forms are `name`, `name/undo` and `<operation>/name/undo`.
    """
    match expects.split("/"):
        case [inherited, name, _]:
            return name, True, inherited
        case [name, _]:
            return name, True, ""
    return expects, False, ""


def typed(body: dict[str, Any] | None, returns: type[Message] | None) -> Any:
    """An answer's reply in the type the step declared. Raises msgspec.ValidationError."""
    return body if returns is None else msgspec.convert(body or {}, returns)
