"""The host's runner, with verbs that tests hold and let go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agents import broker, config, worker
from agents import envelope as wire
from agents.contracts import Nothing, Power, ReadConsoleLog, RebootDomain, RemoveDisks, pack
from agents.drivers.fake.hypervisor import FakeHypervisor, FakeOptions
from agents.errors import Refused
from agents.journal import Journal
from agents.layout import Layout
from agents.runner import Limits, Runner
from agents.verbs import VERBS
from agents.verbs.registry import Job, Verb
from tests.kit.verbs import new_id, wanted_domain

CONTROL = wire.private_key(wire.new_private_key())
HOST = wire.private_key(wire.new_private_key())
ID = "5f2d5b67-9c3a-4b8a-8a6e-6d2f6f0a1b11"
OTHER = "6f2d5b67-9c3a-4b8a-8a6e-6d2f6f0a1b11"
MOST_S = 60  # the journal waits for the disk, and a disk may be busy


def _nothing(*args: object, **given: object) -> None:
    """A checkpoint, a release."""


class Bench:
    """A runner and what it said."""

    def __init__(self, directory: Path) -> None:
        self.said: list[wire.Envelope] = []
        self.arrived = threading.Condition()
        self.acts: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Semaphore(0)
        self.runner = Runner(
            name="hv-1", host=None, verbs=self.verbs(), journal=Journal(directory / "j.sqlite3"),
            locks=directory / "locks", key=HOST, control_key=CONTROL.public_key(), boot_id="b1", say=self.hear,
            limits=Limits(short=4, long=2, control=1, short_s=0.2, quiet_s=0.2),
        )  # fmt: skip

    def verbs(self) -> dict[str, Verb]:
        def act(request: RemoveDisks, job: Job) -> Nothing:
            self.began.release()
            while not self.gate.wait(0.01):
                job.checkpoint()
            job.progress(40, "copying")
            self.acts.append(request.server_id)
            return Nothing()

        def refuse(request: RemoveDisks, job: Job) -> Nothing:
            raise Refused("no room")

        def crash(request: RemoveDisks, job: Job) -> Nothing:
            raise KeyError("bug")

        def one(name: str, run: Callable[[Any, Job], Any], **extra: Any) -> Verb:
            return Verb(name, RemoveDisks, Nothing, run, lambda r: f"server/{r.server_id}", **extra)

        made = [one("act", act), one("once", act, once=True), one("long", act, long=True), one("refuse", refuse),
                one("crash", crash)]  # fmt: skip
        return {verb.name: verb for verb in made}

    def hear(self, text: str) -> None:
        with self.arrived:
            self.said.append(wire.unseal(text, to="control", key_of=lambda who: HOST.public_key()))
            self.arrived.notify_all()

    def tell(self, verb: str, *, server: str = ID, operation: str = "o1", step: str = "s", attempt: int = 1,
             fence: int = 1, body: dict[str, Any] | None = None) -> None:  # fmt: skip
        body = {"server_id": server} if body is None else body
        message = wire.envelope(
            sender="control", to="hv-1", verb=verb, body=body, operation=operation, step=step, attempt=attempt,
            fence=fence,
        )  # fmt: skip
        self.runner.take(wire.seal(CONTROL, message))

    def answers(self, count: int) -> list[wire.Envelope]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.said) >= count, MOST_S), self.said
            return list(self.said)

    def error(self, number: int = 0) -> wire.Failed:
        answer = msgspec.convert(self.answers(number + 1)[number].body, wire.Answer)
        assert answer.error is not None
        return answer.error

    def quiet(self) -> None:
        """Everything that was taken has been dealt with."""
        self.tell("act", server="7f2d5b67-9c3a-4b8a-8a6e-6d2f6f0a1b11", operation="last")
        with self.arrived:
            assert self.arrived.wait_for(lambda: "last" in [e.operation for e in self.said], MOST_S), self.said


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.gate.set()
    made.runner.stop(grace_s=0)


def test_answer_names_what_was_asked(bench: Bench) -> None:
    bench.tell("act", operation="o1", step="disks", attempt=3, fence=11)
    answer = bench.answers(1)[0]
    assert (answer.verb, answer.operation, answer.step, answer.attempt, answer.fence) == (
        wire.ANSWER, "o1", "disks", 3, 11)  # fmt: skip
    assert answer.body == {"reply": {}, "error": None}


def test_message_of_anybody_but_control_is_dropped(bench: Bench) -> None:
    message = wire.envelope(sender="control", to="hv-1", verb="act", body={"server_id": ID}, operation="o")
    bench.runner.take(wire.seal(HOST, message))
    bench.runner.take("rubbish")
    bench.quiet()
    assert bench.acts == ["7f2d5b67-9c3a-4b8a-8a6e-6d2f6f0a1b11"]


def test_older_attempt_is_refused_without_an_answer(bench: Bench) -> None:
    bench.tell("act", operation="new", fence=9)
    bench.answers(1)
    bench.tell("act", operation="old", fence=8)
    bench.quiet()
    assert [e.operation for e in bench.said] == ["new", "last"]
    assert bench.acts.count(ID) == 1


def test_what_acts_anew_each_time_is_answered_from_the_journal(bench: Bench) -> None:
    bench.tell("once", attempt=1, fence=1)
    bench.answers(1)
    bench.tell("once", attempt=2, fence=2)
    answers = bench.answers(2)
    assert bench.acts == [ID]
    assert [(a.attempt, a.body["reply"]) for a in answers] == [(1, {}), (2, {})]
    bench.tell("once", operation="o2", attempt=1, fence=3)
    bench.answers(3)
    assert bench.acts == [ID, ID], "another operation acts"


def test_repeat_while_under_way_is_adopted(bench: Bench) -> None:
    bench.gate.clear()
    bench.tell("act", attempt=1, fence=1)
    bench.began.acquire()
    bench.tell("act", attempt=2, fence=2)
    bench.tell("act", attempt=1, fence=1)
    bench.gate.set()
    bench.answers(1)
    bench.quiet()
    assert [(e.operation, e.attempt) for e in bench.said] == [("o1", 2), ("last", 1)]
    assert bench.acts.count(ID) == 1


def test_one_verb_at_a_time_for_each_resource(bench: Bench) -> None:
    bench.gate.clear()
    bench.tell("act", operation="first", fence=1)
    bench.tell("act", operation="second", fence=2)
    bench.tell("act", operation="other", server=OTHER)
    bench.began.acquire()
    bench.began.acquire()
    assert not bench.began.acquire(timeout=0.1), "the second waits for the first"
    bench.gate.set()
    bench.answers(3)
    order = [e.operation for e in bench.said]
    assert order.index("first") < order.index("second")


def test_leases_of_waiting_verbs_are_renewed_too(bench: Bench) -> None:
    bench.gate.clear()
    bench.tell("act", operation="first", fence=1)
    bench.tell("act", operation="second", fence=2)
    bench.began.acquire()
    bench.runner.renew()
    signs = msgspec.convert(bench.answers(1)[0].body, wire.Renewal).running
    assert {sign.operation for sign in signs} == {"first", "second"}


def test_nothing_is_said_while_nothing_runs(bench: Bench) -> None:
    bench.runner.renew()
    assert bench.said == []


def test_cancel_stops_at_the_next_checkpoint(bench: Bench) -> None:
    bench.gate.clear()
    bench.tell("act", attempt=4)
    bench.began.acquire()
    bench.tell(wire.CANCEL, operation="another", attempt=9)
    bench.tell(wire.CANCEL, attempt=4)
    assert bench.error().kind == "cancelled"
    assert bench.acts == []


def test_cancel_that_overtakes_its_message_still_holds(bench: Bench) -> None:
    bench.tell(wire.CANCEL, attempt=4)
    bench.tell("act", attempt=4, fence=4)
    assert bench.error().kind == "cancelled"
    bench.tell("act", attempt=5, fence=5)
    assert bench.answers(2)[1].body["error"] is None, "a later attempt is not meant"
    assert bench.acts == [ID]


@pytest.mark.parametrize(
    ("verb", "body", "kind", "words"),
    [
        ("refuse", None, "refused", "no room"),
        ("crash", None, "transient", "KeyError"),
        ("unheard", None, "refused", "does not know"),
        ("act", {"server_id": "not a uuid"}, "refused", "cannot be read"),
        ("act", {"server_id": ID, "extra": 1}, "refused", "cannot be read"),
    ],
)
def test_failures_are_told(bench: Bench, verb: str, body: dict[str, Any] | None, kind: str, words: str) -> None:
    bench.tell(verb, body=body)
    error = bench.error()
    assert error.kind == kind
    assert words in error.message


def test_failure_frees_the_resource(bench: Bench) -> None:
    bench.tell("crash", fence=1)
    bench.tell("act", operation="o2", fence=2)
    bench.answers(2)
    assert bench.acts == [ID]


def test_what_belongs_to_no_operation_is_reported(bench: Bench) -> None:
    bench.tell("act", operation="", step="")
    report = bench.answers(1)[0]
    assert report.verb == "act"
    assert report.body == {"boot_id": "b1", "message": {}}


def test_guests_that_are_slow_to_stop_keep_nobody_waiting(bench: Bench, layout: Layout) -> None:
    """Nine of them, and there are four short slots; the guests hear nothing and would take a minute."""
    driver = FakeHypervisor(layout, FakeOptions(stops_when_asked=False))
    bench.runner.host = SimpleNamespace(hypervisor=driver, layout=layout, metadata=SimpleNamespace(release=_nothing))
    bench.runner.verbs = VERBS
    servers = [new_id() for _ in range(9)]
    for number, server_id in enumerate(servers):
        driver.ensure(wanted_domain(server_id, has_root_disk=False), _nothing)
        stop = wanted_domain(server_id, generation=2, power=Power.SHUTOFF, has_root_disk=False)
        bench.tell("compute.ensure_domain", operation=f"stop-{number}", body=pack(stop))
    bench.tell("compute.read_console_log", operation="quick", body=pack(ReadConsoleLog(server_id=servers[0])))
    assert [answer.operation for answer in bench.answers(1)] == ["quick"]
    assert {driver.observe(server_id).power for server_id in servers} == {Power.RUNNING}  # type: ignore[union-attr]
    for number in range(9):
        bench.tell(wire.CANCEL, operation=f"stop-{number}", step="")
    stopped = bench.answers(10)[1:]
    assert {msgspec.convert(answer.body, wire.Answer).error.kind for answer in stopped} == {"cancelled"}  # type: ignore[union-attr]


def test_only_asking_a_guest_counts_as_waiting() -> None:
    ensure, reboot = VERBS["compute.ensure_domain"].waits, VERBS["compute.reboot_domain"].waits
    assert ensure is not None
    assert reboot is not None
    assert ensure(wanted_domain(ID, power=Power.SHUTOFF))
    assert not ensure(wanted_domain(ID, power=Power.SHUTOFF, hard_stop_after_s=0))
    assert not ensure(wanted_domain(ID))
    assert reboot(RebootDomain(server_id=ID))
    assert not reboot(RebootDomain(server_id=ID, hard=True))


def test_driver_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(
        f'name = "hv-1"\nstate = "{tmp_path}"\ncontrol_url = "https://127.0.0.1:1"\nbroker_url = "redis://127.0.0.1:1/0"\n'
        '[drivers.hypervisor.default]\nBACKEND = "fake"\n[drivers.hypervisor.default.OPTIONS]\ndelays = 3\n'
    )
    settings = config.load(file)
    settings.control_key.parent.mkdir(parents=True, exist_ok=True)
    settings.control_key.write_text(wire.public_pem(CONTROL))
    with pytest.raises(SystemExit) as ended:
        worker.main(["--config", str(file)])
    assert str(ended.value.code).startswith(
        "drivers.hypervisor.default.OPTIONS: Object contains unknown field `delays`"
    )
    assert "\n" not in str(ended.value.code)


def test_greeting_tells_the_boot(bench: Bench) -> None:
    bench.runner.hello()
    greeting = bench.answers(1)[0]
    assert (greeting.verb, greeting.body["boot_id"]) == (wire.HELLO, "b1")


@pytest.mark.parametrize("verb", ["act", "long"])
def test_verb_past_its_limit_is_found(bench: Bench, verb: str) -> None:
    bench.gate.clear()
    bench.tell(verb)
    bench.began.acquire()
    with bench.runner._guard:
        work = next(iter(bench.runner._taken.values()))
    work.began = work.alive = time.monotonic() - 1
    if verb == "act":
        assert bench.runner.stuck() is work
    bench.runner.limits = Limits(short_s=900, quiet_s=900)
    assert bench.runner.stuck() is None


def test_only_one_worker_of_a_host(tmp_path: Path) -> None:
    settings = config.AgentConfig(
        name="hv-1", state=str(tmp_path), control_url="https://127.0.0.1:1", broker_url="redis://127.0.0.1:1"
    )
    worker.alone(settings)
    with pytest.raises(BlockingIOError):
        worker.alone(settings)


def test_app_knows_one_task(tmp_path: Path) -> None:
    settings = config.AgentConfig(
        name="hv-1", state=str(tmp_path), control_url="https://127.0.0.1:1", broker_url="redis://127.0.0.1:1/0"
    )

    def take(text: str) -> None: ...

    app = worker.make_app(settings, take)
    assert list(app.tasks) == [broker.HOST_TASK]
    assert [queue.name for queue in app.conf.task_queues] == ["host.hv-1.control", "host.hv-1", "host.hv-1.long"]
