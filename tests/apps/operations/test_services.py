"""Starting, queueing, superseding, waiting, and who may do what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from django.db import connection, transaction

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from apps.operations import engine, registry, selectors, services
from apps.operations import registry as r
from apps.operations.checks import check_operations
from apps.operations.clock import from_now
from apps.operations.models import Executor, Operation, OperationLock
from apps.operations.states import Status, WaitsFor
from tests.kit import operations as ops
from tests.kit.demo.make import CTX

OTHER = RequestContext(user_id="u2", project_id="p2", roles=frozenset({"member", "reader"}))
READER = RequestContext(user_id="u3", project_id="p1", roles=frozenset({"reader"}))
LOCKS = [("guest", "g1"), ("volume", "v1")]


@pytest.fixture(autouse=True)
def _sagas() -> Iterator[None]:
    """`hold` waits until it is let go; `queue` and `refuse` say what happens to those who come later."""
    let_go = r.Wait("gate", lambda op: op.subject_id in OPEN)
    registry.register(
        r.Saga("s.refuse", (let_go,), title="Hold"),
        r.Saga("s.queue", (let_go,), when_busy=r.QUEUE),
        r.Saga("s.keys", (let_go,), when_busy=r.QUEUE, locks=lambda given: [("key", k) for k in given["keys"]]),
        r.Saga("s.delete", (r.Local("go", lambda op: None),), forward_only=True, cancellable=False, when_busy=r.QUEUE),
    )
    OPEN.clear()
    yield
    for kind in ("s.refuse", "s.queue", "s.keys", "s.delete"):
        del registry.SAGAS[kind]


OPEN: set[str] = set()


def begin(kind: str, subject: str = "g1", *, keys: str = "") -> Operation:
    with ops.committed():
        return services.operation_start(
            CTX, kind=kind, subject_type="guest", subject_id=subject, project_id="p1", input={"keys": keys}
        )


def finish(operation: Operation) -> None:
    OPEN.add(operation.subject_id)
    with ops.committed():
        services.operation_wake(ops.SYSTEM, operation_id=operation.pk)
    ops.settle()


def states(*operations: Operation) -> list[str]:
    rows = {o.pk: o for o in Operation.objects.filter(pk__in=[o.pk for o in operations])}
    return [f"{rows[o.pk].status} {rows[o.pk].waits_for}".strip() for o in operations]


def test_second_operation_on_a_subject_is_refused_and_stores_nothing() -> None:
    begin("s.refuse")
    with pytest.raises(Conflict, match=r"Guest g1 is busy: Hold\."), transaction.atomic():
        begin("s.refuse")
    assert Operation.objects.count() == 1
    assert OperationLock.objects.count() == 1


def test_other_subjects_are_not_in_the_way() -> None:
    begin("s.refuse", "g1")
    begin("s.refuse", "g2")


def test_queue_is_served_in_order_by_whoever_frees_the_lock() -> None:
    first, second, third = begin("s.queue"), begin("s.queue"), begin("s.queue")
    ops.settle()
    assert states(first, second, third) == ["running rows", "pending locks", "pending locks"]
    assert set(Operation.objects.filter(waits_for=WaitsFor.LOCKS).values_list("wake_at", flat=True)) == {None}
    OPEN.add("g1")
    with ops.committed():
        services.operation_wake(ops.SYSTEM, operation_id=first.pk)
    ops.settle()
    assert states(first, second, third) == ["done", "done", "done"]
    ended = Operation.objects.order_by("finished_at").values_list("pk", flat=True)
    assert list(ended) == [first.pk, second.pk, third.pk]


def test_all_locks_or_none() -> None:
    holder = begin("s.keys", "a", keys="x")
    both = begin("s.keys", "b", keys="xy")
    late = begin("s.keys", "c", keys="y")
    ops.settle()
    assert states(holder, both, late) == ["running rows", "pending locks", "running rows"], "the waiter holds nothing"
    finish(holder)
    assert states(both) == ["pending locks"], "one of two is not enough"
    finish(late)
    assert states(both) == ["running rows"]


def test_queued_operation_can_be_cancelled_and_is_forgotten_by_the_queue() -> None:
    first, second = begin("s.queue"), begin("s.queue")
    ops.settle()
    with ops.committed():
        services.operation_cancel(CTX, operation_id=second.pk)
    ops.settle()
    assert states(first, second) == ["running rows", "failed"]
    finish(first)
    assert not OperationLock.objects.exists()


def test_unknown_kind_is_a_mistake_of_the_programmer() -> None:
    with pytest.raises(KeyError):
        begin("s.nothing")


def test_operation_of_a_rolled_back_transaction_never_was() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012
        begin("s.refuse")
        raise ZeroDivisionError
    ops.settle()
    assert not Operation.objects.exists()


def test_locked_subject_is_taken_over_by_a_delete() -> None:
    first, waiting = begin("s.queue"), begin("s.queue")
    ops.settle()
    with ops.committed():
        deletion = services.operation_supersede(
            CTX, kind="s.delete", subject_type="guest", subject_id="g1", project_id="p1"
        )
    ops.settle()
    assert states(first, waiting, deletion) == ["abandoned", "abandoned", "done"]
    assert not OperationLock.objects.exists()


def test_second_delete_retries_a_stuck_one() -> None:
    hope: list[Callable[[object], object]] = [lambda op: 1 / 0]
    del registry.SAGAS["s.delete"]
    registry.register(r.Saga("s.delete", (r.Local("go", lambda op: hope[0](op)),), forward_only=True, tries=1))
    first = services.operation_supersede(CTX, kind="s.delete", subject_type="guest", subject_id="g1", project_id="p1")
    ops.settle()
    assert states(first) == ["stuck"]
    hope[0] = lambda op: None
    with ops.committed():
        again = services.operation_supersede(
            CTX, kind="s.delete", subject_type="guest", subject_id="g1", project_id="p1"
        )
    assert again.pk == first.pk
    ops.settle()
    assert states(first) == ["done"]


# --- who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["operation_cancel", "operation_retry", "operation_abandon"])
def test_others_operations_do_not_exist(call: str) -> None:
    operation = begin("s.refuse")
    with pytest.raises(NotFound if call == "operation_cancel" else Forbidden):
        getattr(services, call)(OTHER, operation_id=operation.pk)
    operation.refresh_from_db()
    assert (operation.status, operation.cancel_requested) == (Status.PENDING, False)


def test_reader_sees_but_does_not_cancel() -> None:
    operation = begin("s.refuse")
    assert selectors.operation_get(READER, operation_id=operation.pk).pk == operation.pk
    with pytest.raises(Forbidden):
        services.operation_cancel(READER, operation_id=operation.pk)


def test_lists_hold_the_callers_project_only() -> None:
    mine = begin("s.refuse")
    assert list(selectors.operation_list(CTX)) == [mine]
    assert list(selectors.operation_list(OTHER)) == []
    assert list(selectors.operation_list(ops.SYSTEM, subject_type="guest", subject_id="g1")) == [mine]
    assert list(selectors.step_list(OTHER, operation_ids=[mine.pk])) == []
    with pytest.raises(NotFound):
        selectors.operation_get(OTHER, operation_id=mine.pk)


def test_delete_cannot_be_cancelled() -> None:
    deletion = services.operation_supersede(
        CTX, kind="s.delete", subject_type="guest", subject_id="g1", project_id="p1"
    )
    with pytest.raises(Conflict):
        services.operation_cancel(CTX, operation_id=deletion.pk)


def test_only_what_is_stuck_can_be_retried() -> None:
    operation = begin("s.refuse")
    with pytest.raises(Conflict, match="not stuck"):
        services.operation_retry(ops.SYSTEM, operation_id=operation.pk)


# --- waiting and hosts -----------------------------------------------------------------------------


def test_waiting_returns_the_end_or_gives_up() -> None:
    operation = begin("s.refuse")
    ops.settle()
    with pytest.raises(Unavailable):
        services.operation_wait(CTX, operation_id=operation.pk, timeout_s=0.02)
    finish(operation)
    assert services.operation_wait(CTX, operation_id=operation.pk, timeout_s=0).status == Status.DONE
    with pytest.raises(NotFound):
        services.operation_wait(CTX, operation_id="5f2d5b67-9c3a-4b8a-8a6e-6d2f6f0a1b11", timeout_s=0)


def test_bad_signing_key_is_refused() -> None:
    with pytest.raises(Invalid):
        services.executor_register(ops.SYSTEM, host="hv-1", public_key="nonsense")
    assert not Executor.objects.exists()


@pytest.mark.parametrize("name", ["a.long", "a.control"])
def test_host_named_like_anothers_queue_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        services.executor_register(ops.SYSTEM, host=name, public_key=services.control_public_key(ops.SYSTEM))
    assert not Executor.objects.exists()


# --- threads ---------------------------------------------------------------------------------------


def in_threads(count: int, work: Callable[[int], object]) -> list[BaseException]:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return errors


@pytest.mark.django_db(transaction=True)
def test_one_of_many_at_once_gets_the_subject() -> None:
    errors = in_threads(8, lambda n: begin("s.refuse"))
    assert {type(e) for e in errors} == {Conflict}
    assert len(errors) == 7
    assert Operation.objects.count() == 1


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_no_waiter_is_forgotten_however_threads_interleave() -> None:
    """Operations with overlapping keys, started and ended at once: in the end all have had their turn."""
    keys = ["ab", "bc", "ca", "abc", "a", "b", "c", "ac"]
    OPEN.update(str(n) for n in range(len(keys) * 3))

    def work(number: int) -> None:
        for turn in range(3):
            operation = begin("s.keys", str(number * 3 + turn), keys=keys[number])
            engine.advance(operation.pk)

    errors = in_threads(len(keys), work)
    assert errors == []
    ops.settle()
    left = Operation.objects.exclude(status=Status.DONE)
    assert not left.exists(), [(o.input, o.status, o.waits_for) for o in left]
    assert not OperationLock.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_many_rings_at_once_run_each_step_once() -> None:
    ran: list[str] = []
    registry.register(r.Saga("s.once", tuple(r.Local(f"n{i}", lambda op: ran.append(op.id)) for i in range(5))))
    operation = begin("s.once", "g9")
    errors = in_threads(6, lambda n: engine.advance(operation.pk))
    del registry.SAGAS["s.once"]
    assert errors == []
    assert len(ran) == 5
    assert states(operation) == ["done"]


# --- the doctor ------------------------------------------------------------------------------------


def test_doctor_is_silent_about_operations_that_wait_as_they_should() -> None:
    operation = begin("s.refuse")
    Operation.objects.filter(pk=operation.pk).update(updated_at=from_now(-999))
    queued = begin("s.queue")
    Operation.objects.filter(pk=queued.pk).update(updated_at=from_now(-999))
    parked = begin("s.refuse", "g2")
    Operation.objects.filter(pk=parked.pk).update(
        updated_at=from_now(-999), waits_for=WaitsFor.HOST, host="away", wake_at=None, due_at=None
    )
    assert list(check_operations(False)) == []


def test_doctor_tells_stuck_operations_and_wakes_forgotten_ones() -> None:
    stuck, forgotten = begin("s.refuse"), begin("s.refuse", "g2")
    Operation.objects.filter(pk=stuck.pk).update(status=Status.STUCK, error={"message": "undo failed"})
    Operation.objects.filter(pk=forgotten.pk).update(updated_at=from_now(-999), wake_at=None)
    lines = [
        f"s.refuse of guest g1 is stuck (undo failed): manage.py operation retry {stuck.pk}, or abandon",
        "s.refuse of guest g2 waits for its turn and nothing wakes it",
    ]
    assert list(check_operations(False)) == lines
    assert list(check_operations(True)) == lines
    assert list(check_operations(False)) == lines[:1]
