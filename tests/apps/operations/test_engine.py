"""What the engine does at the edges: commit points, poison, deadlines, parents, waits, late and foreign answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models.functions import Now

from agents import envelope as wire
from agents.contracts import Nothing, RemoveDisks
from agents.errors import Refused, Transient
from apps.core.errors import Conflict, NotFound, Unavailable
from apps.operations import answers, engine, registry, services, sweeper
from apps.operations import registry as r
from apps.operations.clock import from_now
from apps.operations.models import Executor, Operation, OperationLock, Step
from apps.operations.states import ExecutorState, Status, WaitsFor
from tests.kit import operations as ops
from tests.kit.demo.make import CTX

ID = "5f2d5b67-9c3a-4b8a-8a6e-6d2f6f0a1b11"
Declare = Callable[..., r.Saga]


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def declare(log: list[str]) -> Iterator[Declare]:
    """Registers sagas for one test; their ends go into `log`."""
    made: list[str] = []

    def declare(kind: str, *steps: r.Step, **options: Any) -> r.Saga:
        options.setdefault("on_done", lambda op: log.append("done"))
        options.setdefault("on_failed", lambda op, failure: log.append(f"failed: {failure.message}"))
        saga = r.Saga(kind, steps, **options)
        registry.register(saga)
        made.append(kind)
        return saga

    yield declare
    for kind in made:
        registry.SAGAS.pop(kind, None)


def local(name: str, log: list[str], do: Callable[[Any], Any] | None = None) -> r.Local:
    return r.Local(name, do or (lambda op: log.append(name)), lambda op: log.append(f"un{name}"))


def agent(name: str, verb: str = "test.do", **options: Any) -> r.Agent:
    options = {"target": lambda op: "hv-1", "message": lambda op: RemoveDisks(server_id=ID)} | options
    return r.Agent(name, verb, options.pop("undo_verb", "test.undo"), **options)


def host(**verbs: Callable[[dict[str, Any]], Any]) -> None:
    table = {"test.do": lambda body: Nothing(), "test.undo": lambda body: Nothing()}
    with ops.committed():
        ops.enrol("hv-1", table | {f"test.{name}": verb for name, verb in verbs.items()})


def begin(kind: str, subject: str = "s1", **given: Any) -> Operation:
    with ops.committed():
        return services.operation_start(
            CTX, kind=kind, subject_type="thing", subject_id=subject, project_id="p1", **given
        )


def refuse(body: dict[str, Any]) -> Nothing:
    raise Refused("no room")


def busy(body: dict[str, Any]) -> Nothing:
    raise Transient("busy")


def raises(*_: Any) -> Any:
    raise ValueError("bug")


# --- forward and back ------------------------------------------------------------------------------


def test_steps_run_in_order_and_back_in_reverse(declare: Declare, log: list[str]) -> None:
    declare("t.a", local("one", log), local("two", log), agent("three"), local("four", log))
    host(do=refuse)
    operation = begin("t.a")
    ops.settle()
    operation.refresh_from_db()
    assert operation.status == Status.FAILED
    assert log == ["one", "two", "untwo", "unone", "failed: no room"]
    assert operation.error is not None
    assert (operation.error["step"], operation.error["host"]) == ("three", "hv-1")


def test_step_without_a_host_is_skipped(declare: Declare, log: list[str]) -> None:
    declare("t.skip", agent("none", target=lambda op: None), local("after", log))
    operation = begin("t.skip")
    ops.settle()
    assert log == ["after", "done"]
    assert operation.steps.get(name="none").host == ""


def test_outputs_are_read_by_later_steps(declare: Declare, log: list[str]) -> None:
    seen: dict[str, Any] = {}
    declare(
        "t.out",
        r.Local("first", lambda op: {"n": 1}),
        agent("ask", reply=lambda op, reply: seen.update(at_reply=dict(op.outputs), reply=reply)),
        r.Local("last", lambda op: seen.update(op.outputs)),
    )
    host()
    begin("t.out")
    ops.settle()
    assert seen == {"at_reply": {"first": {"n": 1}}, "reply": {}, "first": {"n": 1}, "ask": {}}


def test_context_of_steps_is_the_actors_with_all_rights(declare: Declare) -> None:
    seen: list[Any] = []
    declare("t.ctx", r.Local("look", lambda op: seen.append(op.ctx)))
    begin("t.ctx")
    ops.settle()
    [ctx] = seen
    assert ctx.is_system
    assert (ctx.user_id, ctx.project_id, ctx.roles, ctx.request_id) == ("u1", "p1", CTX.roles, CTX.request_id)


def test_transient_answers_are_tried_so_often_and_no_more(declare: Declare, log: list[str]) -> None:
    asked: list[int] = []
    declare("t.busy", agent("ask", undo_verb=None), tries=3)

    def count(body: dict[str, Any]) -> Nothing:
        asked.append(1)
        return busy(body)

    host(do=count)
    begin("t.busy")
    ops.settle()
    assert len(asked) == 3
    assert log == ["failed: busy"]


def test_refusal_of_a_local_step_is_not_tried_again(declare: Declare, log: list[str]) -> None:
    def no_room(op: Any) -> None:
        log.append("asked")
        raise Unavailable("No valid host was found.")

    declare("t.no", local("place", log, no_room))
    operation = begin("t.no")
    ops.settle()
    assert log == ["asked", "failed: No valid host was found."]
    operation.refresh_from_db()
    assert operation.error is not None
    assert operation.error["kind"] == "refused"


def test_step_that_raises_leaves_nothing_of_its_transaction(declare: Declare, log: list[str]) -> None:
    def half(op: Any) -> None:
        Executor.objects.create(host="half", public_key="x")
        raise ValueError("bug")

    declare("t.half", local("half", log, half), tries=2)
    operation = begin("t.half")
    ops.settle()
    operation.refresh_from_db()
    assert operation.status == Status.FAILED
    assert not Executor.objects.filter(host="half").exists()
    assert operation.error is not None
    assert "ValueError" in operation.error["traceback"]


@pytest.mark.parametrize("where", ["message", "target", "reply"])
def test_callbacks_that_raise_do_not_spin(declare: Declare, log: list[str], where: str) -> None:
    declare("t.poison", agent("ask", "test.do", **{where: raises}), tries=2)
    host()
    operation = begin("t.poison")
    ops.settle()
    operation.refresh_from_db()
    assert operation.status == Status.FAILED
    assert log == ["failed: ValueError('bug')"]


def test_last_word_that_raises_turns_round(declare: Declare, log: list[str]) -> None:
    declare("t.last", local("one", log), on_done=raises, tries=2)
    operation = begin("t.last")
    ops.settle()
    operation.refresh_from_db()
    assert operation.status == Status.FAILED
    assert log == ["one", "unone", "failed: ValueError('bug')"]


def test_undo_that_never_works_gets_stuck_and_can_be_retried_or_abandoned(declare: Declare, log: list[str]) -> None:
    hope: list[Callable[[], Any]] = [raises]
    declare("t.stuck", r.Local("one", lambda op: None, lambda op: hope[0]()), agent("two"))
    host(do=refuse)
    operation = begin("t.stuck")
    ops.settle()
    operation.refresh_from_db()
    assert (operation.status, operation.resume, operation.wake_at) == (Status.STUCK, Status.UNDOING, None)
    assert OperationLock.objects.filter(operation=operation, held=True).exists(), "nobody may touch the subject"
    hope[0] = lambda: log.append("at last")
    with ops.committed():
        services.operation_retry(ops.SYSTEM, operation_id=operation.pk)
    ops.settle()
    operation.refresh_from_db()
    assert operation.status == Status.FAILED
    assert log == ["at last", "failed: no room"]


def test_abandoned_operation_frees_its_locks_and_tells_the_subject(declare: Declare, log: list[str]) -> None:
    declare("t.give-up", agent("ask"), local("never", log))
    host()
    operation = begin("t.give-up")
    engine.advance(operation.pk)
    with ops.committed():
        services.operation_abandon(ops.SYSTEM, operation_id=operation.pk)
    operation.refresh_from_db()
    assert operation.status == Status.ABANDONED
    assert log == ["failed: abandoned by an administrator"]
    assert not OperationLock.objects.exists()
    assert ops.opened(ops.bell().sent[-1][1]).verb == wire.CANCEL
    ops.settle()
    operation.refresh_from_db()
    assert operation.status == Status.ABANDONED, "a late answer changes nothing"
    with pytest.raises(Conflict):
        services.operation_abandon(ops.SYSTEM, operation_id=operation.pk)


# --- commit points ---------------------------------------------------------------------------------


def test_past_the_commit_point_there_is_no_way_back(declare: Declare, log: list[str]) -> None:
    declare("t.commit", local("one", log), agent("switch", commits=True), agent("tidy", verb="test.tidy"), tries=2)
    host(tidy=refuse)
    operation = begin("t.commit")
    ops.settle()
    operation.refresh_from_db()
    assert operation.status == Status.STUCK
    assert log == ["one"]
    with pytest.raises(Conflict):
        services.operation_cancel(ops.SYSTEM, operation_id=operation.pk)
    ops.HOSTS["hv-1"]["test.tidy"] = lambda body: Nothing()  # type: ignore[index]
    with ops.committed():
        services.operation_retry(ops.SYSTEM, operation_id=operation.pk)
    ops.settle()
    assert log == ["one", "done"]


def test_doubt_at_the_commit_point_is_settled_by_asking_again(declare: Declare, log: list[str]) -> None:
    declare("t.doubt", local("one", log), agent("switch", commits=True))
    host()
    operation = begin("t.doubt")
    engine.advance(operation.pk)
    ops.bell().clear()  # nobody knows whether it happened
    with pytest.raises(Conflict):
        services.operation_cancel(ops.SYSTEM, operation_id=operation.pk)
    ops.expire(operation)
    ops.settle()
    assert log == ["one", "done"]


def test_refusal_at_the_commit_point_turns_round(declare: Declare, log: list[str]) -> None:
    declare("t.refused", local("one", log), agent("switch", commits=True, undo_verb=None))
    host(do=refuse)
    begin("t.refused")
    ops.settle()
    assert log == ["one", "unone", "failed: no room"]


# --- time ------------------------------------------------------------------------------------------


def test_silence_uses_no_tries_and_lengthens_the_lease(declare: Declare) -> None:
    declare("t.silent", agent("ask"), tries=2)
    host()
    operation = begin("t.silent")
    engine.advance(operation.pk)
    for _ in range(6):
        ops.expire(operation)
    operation.refresh_from_db()
    assert (operation.tries, operation.silences, operation.attempt) == (0, 6, 7)
    assert len({ops.opened(text).fence for _, text in ops.bell().sent}) == 7, "each attempt has a fence of its own"
    fences = [ops.opened(text).fence for _, text in ops.bell().sent]
    assert fences == sorted(fences)
    ops.settle()
    operation.refresh_from_db()
    assert operation.status == Status.DONE


def test_step_past_its_deadline_fails(declare: Declare, log: list[str]) -> None:
    declare("t.slow", local("one", log), agent("ask", deadline_s=60))
    host()
    operation = begin("t.slow")
    engine.advance(operation.pk)
    ops.bell().clear()
    Operation.objects.filter(pk=operation.pk).update(deadline_at=Now())
    ops.expire(operation)
    operation.refresh_from_db()
    assert operation.status == Status.UNDOING
    verbs = [ops.opened(text).verb for _, text in ops.bell().sent]
    assert verbs == [wire.CANCEL, "test.undo"]
    ops.settle()
    assert log == ["one", "unone", "failed: Step ask on host hv-1 took longer than it may."]


def test_renewal_lengthens_the_lease_and_tells_progress(declare: Declare) -> None:
    declare("t.renew", agent("ask"))
    host()
    operation = begin("t.renew")
    engine.advance(operation.pk)
    Operation.objects.filter(pk=operation.pk).update(due_at=Now(), wake_at=Now())
    say_renewal("hv-1", operation, attempt=1, percent=40)
    engine.advance(operation.pk)
    operation.refresh_from_db()
    assert (operation.attempt, operation.percent, operation.progress) == (1, 40, "copying")


@pytest.mark.parametrize(("who", "attempt"), [("hv-2", 1), ("hv-1", 7)])
def test_renewal_by_another_host_or_of_another_attempt_is_nothing(declare: Declare, who: str, attempt: int) -> None:
    declare("t.renew2", agent("ask"))
    host()
    ops.enrol("hv-2")
    operation = begin("t.renew2")
    engine.advance(operation.pk)
    before = Operation.objects.get(pk=operation.pk)
    say_renewal(who, operation, attempt=attempt, percent=40)
    after = Operation.objects.get(pk=operation.pk)
    assert (after.due_at, after.percent) == (before.due_at, before.percent)


def say_renewal(host: str, operation: Operation, *, attempt: int, percent: int) -> None:
    sign = wire.Running(operation=str(operation.pk), attempt=attempt, percent=percent, text="copying")
    answers.receive(ops.said(host, wire.RENEW, wire.Renewal(running=(sign,))))


def test_wait_is_rung_by_whoever_changes_the_rows(declare: Declare, log: list[str]) -> None:
    is_up: list[bool] = []
    declare("t.wait", r.Wait("net", lambda op: bool(is_up)), local("after", log))
    operation = begin("t.wait")
    ops.settle()
    assert log == []
    with ops.committed():
        services.operation_wake(ops.SYSTEM, subject_type="thing", subject_id="s1")
    ops.settle()
    assert log == []
    is_up.append(True)
    with ops.committed():
        services.operation_wake(ops.SYSTEM, operation_id=operation.pk)
    ops.settle()
    assert log == ["after", "done"]


def test_wait_that_does_not_come_true_fails(declare: Declare, log: list[str]) -> None:
    declare("t.never", local("one", log), r.Wait("net", lambda op: False, deadline_s=30))
    operation = begin("t.never")
    ops.settle()
    Operation.objects.filter(pk=operation.pk).update(deadline_at=Now())
    ops.expire(operation)
    ops.settle()
    assert log == ["one", "unone", "failed: Step net did not come true within 30 s."]


# --- answers ---------------------------------------------------------------------------------------


def asked(declare: Declare) -> tuple[Operation, wire.Envelope]:
    declare("t.answer", agent("ask"))
    host()
    operation = begin("t.answer")
    engine.advance(operation.pk)
    _, text = ops.bell().sent[-1]
    return operation, ops.opened(text)


def assert_still_waits(operation: Operation) -> None:
    operation.refresh_from_db()
    assert (operation.status, operation.waits_for, operation.attempt) == (Status.RUNNING, WaitsFor.HOST, 1)
    assert not Step.objects.filter(operation=operation, status="done").exists()


def test_answer_of_another_host_is_dropped(declare: Declare) -> None:
    operation, message = asked(declare)
    ops.enrol("hv-2")
    fields = {"operation": message.operation, "step": message.step, "attempt": 1, "fence": message.fence}
    answers.receive(ops.said("hv-2", wire.ANSWER, wire.Answer(reply={}), **fields))
    assert_still_waits(operation)


def test_answer_with_another_hosts_name_is_dropped(declare: Declare) -> None:
    operation, message = asked(declare)
    ops.enrol("hv-2")
    fields = {"operation": message.operation, "step": message.step, "attempt": 1, "fence": message.fence}
    forged = wire.envelope(sender="hv-1", to=wire.CONTROL, verb=wire.ANSWER, body=wire.Answer(reply={}), **fields)
    answers.receive(wire.seal(wire.private_key(ops.KEYS["hv-2"]), forged))
    assert_still_waits(operation)


@pytest.mark.parametrize("changed", [{"attempt": 2}, {"attempt": 0}, {"step": "other"}, {"step": "ask/undo"}])
def test_answer_to_something_else_is_dropped(declare: Declare, changed: dict[str, Any]) -> None:
    operation, message = asked(declare)
    fields = {"operation": message.operation, "step": message.step, "attempt": 1, "fence": message.fence} | changed
    answers.receive(ops.said("hv-1", wire.ANSWER, wire.Answer(reply={}), **fields))
    assert_still_waits(operation)


@pytest.mark.parametrize(
    "text", ["", "rubbish", "AA.{}", 'AA.{"from":"hv-1","to":"control","verb":"x","body":{},"issued":0}']
)
def test_rubbish_is_dropped(declare: Declare, text: str) -> None:
    operation, _ = asked(declare)
    answers.receive(text)
    assert_still_waits(operation)


def test_answer_of_the_wrong_shape_is_a_failure_not_a_crash(declare: Declare, log: list[str]) -> None:
    declare("t.shape", agent("ask", returns=RemoveDisks, reply=lambda op, reply: None), tries=2)
    host(do=lambda body: Nothing())
    begin("t.shape")
    ops.settle()
    assert len(log) == 1
    assert "server_id" in log[0]


def test_unenrolled_host_fails_the_step_at_once(declare: Declare, log: list[str]) -> None:
    declare("t.gone", local("one", log), agent("ask", target=lambda op: "hv-9"))
    begin("t.gone")
    ops.settle()
    assert log == ["one", "unone", "failed: Host hv-9 is not enrolled."]


def test_undo_on_a_removed_host_is_taken_for_done(declare: Declare, log: list[str]) -> None:
    declare("t.removed", local("one", log), agent("ask"), agent("more", verb="test.more"))
    host(more=refuse)
    begin("t.removed")
    while not Operation.objects.filter(status=Status.UNDOING).exists():
        ops.step()
    ops.bell().clear()
    services.executor_remove(ops.SYSTEM, host="hv-1")
    ops.expire(Operation.objects.get(kind="t.removed"))
    ops.settle()
    assert log == ["one", "unone", "failed: no room"]


def test_reports_reach_their_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[r.Report] = []
    monkeypatch.setattr(registry, "REPORTS", {})
    monkeypatch.setattr(answers, "REPORTS", registry.REPORTS)
    registry.on_report("test.tell", RemoveDisks)(heard.append)
    host()
    answers.receive(ops.said("hv-1", "test.tell", wire.Reported(boot_id="b9", message={"server_id": ID})))
    answers.receive(ops.said("hv-1", "test.tell", wire.Reported(boot_id="b9", message={"wrong": 1})))
    answers.receive(ops.said("hv-1", "test.other", wire.Reported(boot_id="b9", message={})))
    assert [(h.host, h.boot_id, h.message.server_id) for h in heard] == [("hv-1", "b9", ID)]


# --- hosts -----------------------------------------------------------------------------------------


def test_step_for_a_host_that_is_down_is_parked_and_freed(declare: Declare, log: list[str]) -> None:
    declare("t.park", agent("ask"))
    host()
    with ops.committed():
        services.host_down(ops.SYSTEM, host="hv-1")
    operation = begin("t.park")
    ops.settle()
    operation.refresh_from_db()
    assert (operation.waits_for, operation.wake_at, operation.tries) == (WaitsFor.HOST, None, 0)
    assert ops.bell().sent == []
    with ops.committed():
        services.host_seen(ops.SYSTEM, host="hv-1", boot_id=ops.BOOT)
    ops.settle()
    assert log == ["done"]


def test_sweeper_frees_what_a_crash_left_parked(declare: Declare, log: list[str]) -> None:
    declare("t.left", agent("ask"))
    host()
    Executor.objects.update(state=ExecutorState.DOWN)
    begin("t.left")
    ops.settle()
    Executor.objects.update(state=ExecutorState.UP)
    from apps.operations import executors

    assert executors.release() == 1
    ops.settle()
    assert log == ["done"]


def test_greeting_with_a_new_boot_ends_older_leases(declare: Declare, log: list[str]) -> None:
    declare("t.boot", agent("ask"))
    host()
    operation = begin("t.boot")
    engine.advance(operation.pk)
    ops.bell().clear()
    answers.receive(ops.said("hv-1", wire.HELLO, wire.Reported(boot_id="another")))
    ops.settle()
    operation.refresh_from_db()
    assert (operation.status, operation.attempt) == (Status.DONE, 2)


def test_greeting_with_the_same_boot_changes_nothing(declare: Declare) -> None:
    operation, _ = asked(declare)
    ops.bell().clear()
    answers.receive(ops.said("hv-1", wire.HELLO, wire.Reported(boot_id=ops.BOOT)))
    ops.after_commit()
    assert_still_waits(operation)
    assert ops.bell().rings == []


# --- the sweeper -----------------------------------------------------------------------------------


def test_sweeper_claims_what_is_due_and_only_once(declare: Declare, log: list[str]) -> None:
    declare("t.due", local("one", log))
    declare("t.later", r.Wait("net", lambda op: False))
    lost, waiting = begin("t.due"), begin("t.later", "s2")
    ops.settle()
    Operation.objects.filter(pk=lost.pk).update(status=Status.RUNNING, wake_at=from_now(-1))
    Operation.objects.filter(pk=waiting.pk).update(wake_at=from_now(60))
    assert sweeper.due() == [lost.pk]
    assert sweeper.due() == []


def test_old_history_is_forgotten(declare: Declare, log: list[str]) -> None:
    declare("t.old", local("one", log))
    old, new = begin("t.old"), begin("t.old", "s2")
    ops.settle()
    Operation.objects.filter(pk=old.pk).update(finished_at=from_now(-500 * 86400))
    sweeper.forget()
    assert list(Operation.objects.values_list("pk", flat=True)) == [new.pk]


# --- parents ---------------------------------------------------------------------------------------


def family(declare: Declare, log: list[str], child: Callable[[Any], Any], **options: Any) -> None:
    def inputs(op: Any) -> list[r.ChildInput]:
        return [r.ChildInput("part", f"p{n}", "p1", {"n": n}) for n in range(3)]

    declare(
        "t.child",
        r.Local("make", child, lambda op: log.append(f"unmake {op.subject_id}")),
        on_done=lambda op: log.append(f"made {op.subject_id}"),
        on_failed=lambda op, f: log.append(f"child failed {op.subject_id}"),
    )
    declare(
        "t.child.undo",
        local("drop", log, lambda op: log.append(f"drop {op.subject_id}")),
        on_done=None,
        forward_only=True,
    )
    declare("t.parent", r.Child("parts", "t.child", inputs, **options), local("after", log))


def test_parent_goes_on_when_all_children_are_done(declare: Declare, log: list[str]) -> None:
    family(declare, log, lambda op: None)
    begin("t.parent")
    ops.settle()
    assert sorted(log[:3]) == ["made p0", "made p1", "made p2"]
    assert log[3:] == ["after", "done"]


def test_failure_of_a_child_is_the_parents(declare: Declare, log: list[str]) -> None:
    def fails(op: Any) -> None:
        if op.subject_id == "p1":
            raise Unavailable("no disk")

    family(declare, log, fails, inverse="t.child.undo")
    operation = begin("t.parent")
    ops.settle()
    operation.refresh_from_db()
    assert operation.status == Status.FAILED
    assert log[-1] == "failed: no disk"
    assert sorted(entry for entry in log if entry.startswith("drop")) == ["drop p0", "drop p2"]
    assert not OperationLock.objects.exists()


def test_children_without_an_inverse_stay(declare: Declare, log: list[str]) -> None:
    family(declare, log, lambda op: None)
    registry.SAGAS["t.parent"] = r.Saga(
        "t.parent",
        (registry.SAGAS["t.parent"].steps[0], r.Local("no", raises)),
        tries=1,
        on_failed=lambda op, f: log.append("failed"),
    )
    begin("t.parent")
    ops.settle()
    assert sorted(log) == ["failed", "made p0", "made p1", "made p2"]


def test_cancel_flows_down(declare: Declare, log: list[str]) -> None:
    family(declare, log, lambda op: None)
    registry.SAGAS["t.child"] = r.Saga(
        "t.child",
        (r.Local("make", lambda op: None), r.Wait("ever", lambda op: False)),
        on_failed=lambda op, f: log.append(f"{op.subject_id} {f.kind}"),
    )
    operation = begin("t.parent")
    ops.settle()
    with ops.committed():
        services.operation_cancel(ops.SYSTEM, operation_id=operation.pk)
    ops.settle()
    operation.refresh_from_db()
    assert operation.status == Status.FAILED
    assert sorted(log) == ["failed: The operation was cancelled.", "p0 cancelled", "p1 cancelled", "p2 cancelled"]


def test_parent_without_children_goes_straight_on(declare: Declare, log: list[str]) -> None:
    declare("t.none", r.Child("parts", "t.nothing", lambda op: []), local("after", log))
    begin("t.none")
    ops.settle()
    assert log == ["after", "done"]


# --- collisions and changed code -------------------------------------------------------------------


def test_collisions_are_tried_again_uncounted(declare: Declare, log: list[str]) -> None:
    class Deadlock(Exception):
        pgcode = "55P03"

    left = [3]

    def collide(op: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise OperationalError("lock timeout") from Deadlock()
        log.append("through")

    declare("t.collide", local("one", log, collide), tries=1)
    operation = begin("t.collide")
    for _ in range(4):
        engine.advance(operation.pk)
    operation.refresh_from_db()
    assert (operation.status, operation.tries) == (Status.DONE, 0)
    assert log == ["through", "done"]


def test_kind_that_no_code_knows_gets_stuck_and_may_go_on_later(declare: Declare, log: list[str]) -> None:
    saga = declare("t.unknown", local("one", log))
    operation = begin("t.unknown")
    del registry.SAGAS["t.unknown"]
    ops.settle()
    operation.refresh_from_db()
    assert operation.status == Status.STUCK
    registry.SAGAS["t.unknown"] = saga
    with ops.committed():
        services.operation_retry(ops.SYSTEM, operation_id=operation.pk)
    ops.settle()
    assert log == ["one", "done"]


def test_unknown_operation_is_not_found() -> None:
    for ident in ("nonsense", ID):
        with pytest.raises(NotFound):
            services.operation_cancel(CTX, operation_id=ident)
    engine.advance(ID)
