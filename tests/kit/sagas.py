"""What every registered saga must survive, in process: each message lost, doubled, late, failed, half done; the
operation cancelled and the subject deleted at each point; code that raises in each step.

An app joins by subclassing `SagaCases` with a few methods that make and inspect its subjects:

    class TestServerCreate(SagaCases):
        kind = "compute.server.create"
        def begin(self): ...          # subject and operation as a user makes them, returns the Operation
        def assert_done(self, operation): ...
        def assert_undone(self, operation): ...   # after a failure: the fault is told, nothing is left
        def delete(self, operation): ...          # as a user deletes the subject, or None
        def assert_deleted(self, operation): ...
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from agents import envelope as wire
from apps.core.errors import Conflict
from apps.operations import answers, engine, jobs, registry, services
from apps.operations.models import Operation, OperationLock, Step
from apps.operations.states import FINISHED, Status, StepStatus, WaitsFor
from tests.kit import operations as ops

MAX_POINTS = 60

Point = tuple[str, Any]  # ("sent", (queue, text)), ("job", (id, attempt)) or ("ring", id)


class SagaCases:
    """See the module's head. Tests run in the order of what goes wrong more and more."""

    kind: str
    cancellable = True

    def begin(self) -> Operation:
        raise NotImplementedError

    def assert_done(self, operation: Operation) -> None:
        raise NotImplementedError

    def assert_undone(self, operation: Operation) -> None:
        raise NotImplementedError

    def delete(self, operation: Operation) -> Operation | None:
        return None

    def assert_deleted(self, operation: Operation) -> None:
        raise NotImplementedError

    def before_fail(self, operation: Operation) -> None:
        """For sagas that need something said before a failure is judged."""

    # --- the cases ---------------------------------------------------------------------------------

    def test_runs_to_its_end(self) -> None:
        operation = self._started()
        ops.settle()
        self._assert_ended_well(operation)

    def test_each_message_may_come_twice(self) -> None:
        for operation, point in self._points():
            deliver_twice(point)
            self._assert_ended_well(operation, point)

    def test_each_message_may_be_lost(self) -> None:
        for operation, point in self._points():
            if point[0] != "ring":
                ops.expire(operation_of(point))
            self._assert_ended_well(operation, point)

    def test_each_answer_may_be_lost(self) -> None:
        for operation, point in self._points(only="sent"):
            ops.perform(point[1][1])
            ops.expire(operation_of(point))
            self._assert_ended_well(operation, point)

    def test_each_answer_may_be_late(self) -> None:
        for operation, point in self._points(only="sent"):
            late = ops.perform(point[1][1])
            ops.expire(operation_of(point))
            if late:
                answers.receive(late)
                ops.settle()
                answers.receive(late)
            self._assert_ended_well(operation, point)

    def test_each_verb_may_fail_for_a_while(self) -> None:
        """Somebody waits for the answer of a saga of one try: it fails at once."""
        is_tried_again = registry.saga_of(self.kind).tries > 1
        for operation, point in self._points(only="sent"):
            answers.receive(refusal(point, "transient"))
            if is_tried_again:
                self._assert_ended_well(operation, point)
            else:
                self._assert_ended_badly(operation, point)

    def test_each_verb_may_be_refused(self) -> None:
        for operation, point in self._points(only="sent"):
            answers.receive(refusal(point, "refused"))
            self._assert_ended_badly(operation, point)

    def test_each_verb_may_fail_half_done(self) -> None:
        for operation, point in self._points(only="sent"):
            ops.perform(point[1][1])
            answers.receive(refusal(point, "refused"))
            self._assert_ended_badly(operation, point)

    def test_each_undo_may_come_twice_and_fail_for_a_while(self) -> None:
        for operation, point in self._points(only="sent"):
            ops.perform(point[1][1])
            answers.receive(refusal(point, "refused"))
            settle_with_trouble()
            self._assert_ended_badly(operation, point)

    def test_each_step_may_raise(self) -> None:
        begun = self._started()
        for name in [step.name for step in registry.saga_of(self.kind).steps]:
            take_back = ops.keep()
            with raising(self.kind, name) as raised:
                ops.settle()
                if raised():
                    self._assert_ended_badly(Operation.objects.get(pk=begun.pk), ("step", name))
            take_back()

    def test_may_be_cancelled_at_each_point(self) -> None:
        """Cancelling undoes all, or is refused (by the kind, or past the commit point) and changes nothing."""
        for operation, point in self._points():
            is_refused = False
            try:
                with ops.committed():
                    services.operation_cancel(actor(operation), operation_id=operation.pk)
            except Conflict:
                is_refused = True
            assert is_refused or self.cancellable, point
            deliver(point)
            ops.settle()
            operation.refresh_from_db()
            if is_refused or operation.status == Status.DONE:
                self._assert_ended_well(operation, point)
            else:
                self._assert_ended_badly(operation, point)

    def test_subject_may_be_deleted_at_each_point(self) -> None:
        for operation, point in self._points():
            with ops.committed():
                deletion = self.delete(operation)
            if deletion is None:
                return
            with ops.committed():
                again = self.delete(operation)
            assert again is not None, point
            assert again.pk == deletion.pk, f"{point}: a second delete starts nothing"
            deliver(point)
            settle_with_trouble()
            deletion.refresh_from_db()
            assert deletion.status == Status.DONE, (point, deletion.error)
            operation.refresh_from_db()
            assert operation.status in FINISHED, point
            self._assert_no_locks(point)
            self.assert_deleted(operation)

    def test_stays_parked_while_its_host_is_down(self) -> None:
        for operation, point in self._points(only="sent"):
            host = ops.opened(point[1][1]).to
            with ops.committed():
                services.host_down(ops.SYSTEM, host=host)
            ops.settle()
            row = Operation.objects.get(pk=operation_of(point).pk)
            assert (row.waits_for, row.due_at, row.tries) == (WaitsFor.HOST, None, 0), point
            with ops.committed():
                services.host_seen(ops.SYSTEM, host=host, boot_id=ops.BOOT)
            self._assert_ended_well(operation, point)

    def test_is_sent_again_when_the_worker_started_anew(self) -> None:
        for operation, point in self._points(only="sent"):
            message = ops.opened(point[1][1])
            with ops.committed():
                services.host_seen(ops.SYSTEM, host=message.to, boot_id=f"boot of {point[1][1][:12]}")
            self._assert_ended_well(operation, point)

    # --- pieces ------------------------------------------------------------------------------------

    def _started(self) -> Operation:
        with ops.committed():
            return self.begin()

    def _points(self, only: str = "") -> Iterator[tuple[Operation, Point]]:
        """The operation, stopped right before the delivery of each message it sends (of one kind, if given).

        What a case does there is taken back before the operation goes on, as if that case had never been.
        """
        ops.bell().clear()
        begun = self._started()
        for number in range(MAX_POINTS):
            point = next_point(only)
            if point is None:
                assert number > 0 or only == "sent", f"{self.kind} sends nothing"
                return
            take_back = ops.keep()
            yield Operation.objects.get(pk=begun.pk), point
            take_back()
            deliver(point)
        raise AssertionError(f"{self.kind} has more than {MAX_POINTS} points")

    def _assert_ended_well(self, operation: Operation, point: Any = "") -> None:
        ops.settle()
        operation.refresh_from_db()
        assert operation.status == Status.DONE, (point, operation.status, operation.waits_for, operation.error)
        steps = Step.objects.filter(operation=operation).exclude(status=StepStatus.DONE)
        assert not steps.exists(), (point, list(steps))
        self._assert_no_locks(point)
        self.assert_done(operation)

    def _assert_ended_badly(self, operation: Operation, point: Any = "") -> None:
        """Undone and told; or, where there is no way back, stuck, and well after a retry."""
        ops.settle()
        operation.refresh_from_db()
        if self._has_no_way_back(operation):
            stuck = Operation.objects.filter(status=Status.STUCK)
            assert stuck.exists(), (point, operation.status)
            for row in reversed(list(stuck)):
                with ops.committed():
                    services.operation_retry(ops.SYSTEM, operation_id=row.pk)
                ops.settle()
            return
        assert operation.status == Status.FAILED, (point, operation.status, operation.waits_for, operation.error)
        assert operation.error, point
        steps = Step.objects.filter(operation=operation).exclude(status=StepStatus.UNDONE)
        assert not steps.exists(), (point, list(steps))
        self._assert_no_locks(point)
        self.assert_undone(operation)

    def _has_no_way_back(self, operation: Operation) -> bool:
        saga = registry.saga_of(self.kind)
        commits = [step.name for step in saga.steps if getattr(step, "commits", False)]
        done = Step.objects.filter(operation=operation, name__in=commits, status=StepStatus.DONE)
        return saga.forward_only or done.exists()

    def _assert_no_locks(self, point: Any) -> None:
        held = OperationLock.objects.exclude(operation__status__in=[Status.STUCK])
        assert not held.exists(), (point, list(held))


def next_point(only: str) -> Point | None:
    """Deliver everything up to the next message (of one kind, if given) and take that one out."""
    for _ in range(1000):
        point = take()
        if point is None:
            if not ops.step():
                return None
        elif not only or point[0] == only:
            return point
        else:
            deliver(point)
    raise AssertionError(f"no end in sight: {ops.bell().rings}")


def take() -> Point | None:
    """Take the next message out of the bell."""
    ops.after_commit()
    bell = ops.bell()
    if bell.sent:
        return "sent", bell.sent.pop(0)
    if bell.jobs:
        return "job", bell.jobs.pop(0)
    if bell.rings:
        return "ring", bell.rings.pop(0)
    return None


def deliver(point: Point) -> None:
    """Deliver what `take` took."""
    kind, what = point
    if kind == "sent":
        ops.deliver(*what)
    elif kind == "job":
        jobs.run(*what)
    else:
        engine.advance(what)


def deliver_twice(point: Point) -> None:
    """A broker that delivers twice, with answers that come twice."""
    if point[0] == "sent":
        for answer in [ops.perform(point[1][1]), ops.perform(point[1][1])]:
            if answer:
                answers.receive(answer)
                answers.receive(answer)
    else:
        deliver(point)
        deliver(point)


def settle_with_trouble() -> None:
    """Deliver everything; each message twice, and each verb fails once before."""
    failed: set[str] = set()
    for _ in range(1000):
        point = take()
        if point is None:
            if not ops.step():
                return
            continue
        message = ops.opened(point[1][1]) if point[0] == "sent" else None
        if message is not None and message.operation and message.step not in failed:
            failed.add(message.step)
            answers.receive(refusal(point, "transient"))
        else:
            deliver_twice(point)
    raise AssertionError("no end in sight")


def operation_of(point: Point) -> Operation:
    """The operation that a message belongs to."""
    kind, what = point
    if kind == "sent":
        return Operation.objects.get(pk=ops.opened(what[1]).operation)
    return Operation.objects.get(pk=what[0] if kind == "job" else what)


def refusal(point: Point, kind: str) -> str:
    """A host's answer that it did not do what a message asks."""
    message = ops.opened(point[1][1])
    return ops.answer_to(message, wire.Answer(error=wire.Failed(kind=kind, message=f"{kind} for a test")))


def actor(operation: Operation) -> Any:
    """A caller who may cancel the operation."""
    return dataclasses.replace(ops.SYSTEM, project_id=operation.project_id)


class raising:
    """While it lasts, a step's own code raises each time it runs; tells whether it did."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name, self.count = kind, name, 0
        self.saga = registry.saga_of(kind)

    def __enter__(self) -> Callable[[], int]:
        step = self.saga.step(self.name)
        attribute = {
            registry.Local: "do", registry.Agent: "message", registry.Job: "do",
            registry.Child: "inputs", registry.Wait: "predicate",
        }[type(step)]  # fmt: skip
        poisoned = dataclasses.replace(step, **{attribute: self._raise})  # type: ignore[arg-type]
        steps = tuple(poisoned if s.name == self.name else s for s in self.saga.steps)
        registry.SAGAS[self.kind] = dataclasses.replace(self.saga, steps=steps)
        return lambda: self.count

    def __exit__(self, *_: object) -> None:
        registry.SAGAS[self.kind] = self.saga

    def _raise(self, *_: object) -> Any:
        self.count += 1
        raise RuntimeError("poison for a test")
