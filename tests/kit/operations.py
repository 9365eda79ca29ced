"""Operations in process: no broker, no Celery, no sleep.

Rings and messages are collected by `InlineDoorbell`. `settle()` delivers them, playing the control worker and its
jobs, until nothing moves any more; time is passed by moving the rows' own times back. A host is either a table
of functions (`enrol("hv-1", {"compute.ensure_domain": lambda body: reply})`) or the real runner with the real
verbs over a driver (`enrol_agent("hv-1", directory)`).
"""

from __future__ import annotations

import copy
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from django.db import transaction
from django.db.models.functions import Now

from agents import envelope as wire
from agents.config import AgentConfig
from agents.errors import VerbError
from agents.host import Host
from agents.journal import Journal
from agents.runner import Runner, Work
from agents.verbs import VERBS
from apps.core import context
from apps.operations import answers, doorbell, engine, jobs, messages, services, sweeper
from apps.operations.models import Operation
from apps.operations.states import ACTIVE, WaitsFor

Verbs = dict[str, Callable[[dict[str, Any]], Any]]

Restore = Callable[[], None]

HOSTS: dict[str, Verbs | InlineRunner] = {}
MEMORIES: list[Any] = []  # objects that the verbs of played hosts change
KEYS: dict[str, str] = {}
BOOT = "boot-1"
SYSTEM = context.system()


class InlineRunner(Runner):
    """The real runner, doing at once what it takes."""

    said: list[str]
    directory: Path

    def remember(self) -> Restore:
        """Remember what the host has; the returned function brings it back."""
        kept = Path(tempfile.mkdtemp(dir=self.directory.parent)) / "host"
        cancels = self._cancels.copy()
        self._copy(self.directory, kept)

        def restore() -> None:
            self._cancels = cancels
            shutil.rmtree(self.directory)
            self._copy(kept, self.directory)
            shutil.rmtree(kept.parent)

        return restore

    def _copy(self, source: Path, target: Path) -> None:
        """Copy the state directory while nobody has its journal open."""
        self.journal.close()
        shutil.copytree(source, target, symlinks=True)
        self.journal = Journal(self.host.config.journal)

    def perform(self, text: str) -> str | None:
        """Take a message; its answer, if there is one."""
        self.said.clear()
        self.take(text)
        return self.said[-1] if self.said else None

    def _start(self, work: Work) -> None:
        self._run(work)


class InlineDoorbell:
    """Collects what would go to the broker."""

    rings: list[uuid.UUID]
    jobs: list[tuple[uuid.UUID, int]]
    sent: list[tuple[str, str]]  # (queue, signed text)

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.rings, self.jobs, self.sent = [], [], []

    def ring(self, operation_id: uuid.UUID) -> None:
        self.rings.append(operation_id)

    def work(self, operation_id: uuid.UUID, attempt: int) -> None:
        self.jobs.append((operation_id, attempt))

    def send(self, queue: str, text: str) -> None:
        self.sent.append((queue, text))


def bell() -> InlineDoorbell:
    """The collector in force."""
    found = doorbell.doorbell()
    assert isinstance(found, InlineDoorbell)
    return found


def enrol(host: str, verbs: Verbs | None = None, memory: Any = None) -> None:
    """Make a host known to the engine, up, with the verbs it can do; `memory` is the object that they change."""
    MEMORIES.extend([memory] if memory is not None else [])
    HOSTS[host] = verbs if verbs is not None else HOSTS.get(host, {})
    KEYS.setdefault(host, wire.new_private_key())
    public = wire.public_pem(wire.private_key(KEYS[host]))
    services.executor_register(SYSTEM, host=host, public_key=public)
    services.host_seen(SYSTEM, host=host, boot_id=BOOT)


def enrol_agent(host: str, directory: Path, **options: Any) -> Host:
    """Make a host known that runs the real verbs over the driver without machines; `options` are the driver's."""
    control_key = messages.control_key()
    drivers = {"hypervisor": {"default": {"BACKEND": "fake", "OPTIONS": options}}}
    config = AgentConfig(
        name=host,
        state=str(directory),
        control_url="https://127.0.0.1:1",
        broker_url="redis://127.0.0.1:1",
        drivers=drivers,
    )
    agent = Host(config)
    agent.layout.make()
    enrol(host)
    said: list[str] = []
    runner = InlineRunner(
        name=host,
        host=agent,
        verbs=VERBS,
        journal=Journal(config.journal),
        locks=directory / "locks",
        key=wire.private_key(KEYS[host]),
        control_key=control_key.public_key(),
        boot_id=BOOT,
        say=said.append,
    )
    runner.said, runner.directory = said, directory
    HOSTS[host] = runner
    return agent


def reset() -> None:
    """Forget hosts and messages; call between tests."""
    HOSTS.clear()
    MEMORIES.clear()
    bell().clear()


def keep() -> Restore:
    """Remember everything: the database, messages under way, and what the hosts have.

    The returned function brings all of it back, once.
    """
    waiting = transaction.get_connection().run_on_commit
    kept_waiting, kept_bell = list(waiting), copy.deepcopy(vars(bell()))
    memories = [(memory, copy.deepcopy(vars(memory))) for memory in MEMORIES]
    hosts = [host.remember() for host in HOSTS.values() if isinstance(host, InlineRunner)]
    savepoint = transaction.savepoint()

    def restore() -> None:
        transaction.savepoint_rollback(savepoint)
        waiting[:] = kept_waiting
        vars(bell()).update(kept_bell)
        for memory, kept in memories:
            vars(memory).update(kept)
        for back in hosts:
            back()

    return restore


def settle(rounds: int = 500) -> None:
    """Deliver everything until all operations have ended, are stuck or wait for something that does not come."""
    for _ in range(rounds):
        if not step():
            return
    raise AssertionError("operations do not come to rest")


def step() -> bool:
    """Deliver one message, job or ring; with none left, look at what is ready. False when nothing moved."""
    after_commit()
    b = bell()
    if b.sent:
        deliver(*b.sent.pop(0))
    elif b.jobs:
        jobs.run(*b.jobs.pop(0))
    elif b.rings:
        engine.advance(b.rings.pop(0))
    else:
        return _look()
    return True


def _look() -> bool:
    """Play the sweeper, and let back-offs end."""
    ready = Operation.objects.filter(status__in=ACTIVE, waits_for=WaitsFor.NOTHING)
    resting = Operation.objects.filter(status__in=ACTIVE, waits_for=WaitsFor.BACKOFF)
    resting.update(due_at=Now(), wake_at=Now())
    ids = {*ready.values_list("pk", flat=True), *sweeper.due()}
    for ident in ids:
        engine.advance(ident)
    return bool(ids)


def expire(operation: Operation) -> None:
    """Let the lease or the pause of an operation end, and ring."""
    Operation.objects.filter(pk=operation.pk).update(due_at=Now(), wake_at=Now())
    engine.advance(operation.pk)


def opened(text: str) -> wire.Envelope:
    """What a message to a host says."""
    key = messages.control_key().public_key()
    to = msgspec.json.decode(text.partition(".")[2])["to"]
    return wire.unseal(text, to=to, key_of=lambda _: key)


def deliver(queue: str, text: str) -> None:
    """Play the host: run the verb at once and hand its answer to the control plane."""
    answer = perform(text)
    if answer is not None:
        answers.receive(answer)


def perform(text: str) -> str | None:
    """What a host answers to a message; nothing for a cancel or for what belongs to no operation."""
    message = opened(text)
    host = HOSTS[message.to]
    if isinstance(host, InlineRunner):
        return host.perform(text)
    if message.verb == wire.CANCEL or not message.operation:
        return None
    try:
        reply = host[message.verb](message.body)
        body = wire.Answer(reply=msgspec.to_builtins(reply) if reply is not None else {})
    except VerbError as error:
        body = wire.Answer(error=wire.Failed(kind=error.kind, message=str(error)))
    return answer_to(message, body)


def answer_to(message: wire.Envelope, body: wire.Answer) -> str:
    """A host's signed answer to a message."""
    fields = {
        "operation": message.operation,
        "step": message.step,
        "attempt": message.attempt,
        "fence": message.fence,
    }
    return said(message.to, wire.ANSWER, body, **fields)


def said(host: str, verb: str, body: msgspec.Struct, **fields: Any) -> str:
    """Something a host says, signed."""
    message = wire.envelope(sender=host, to=wire.CONTROL, verb=verb, body=body, **fields)
    return wire.seal(wire.private_key(KEYS[host]), message)


@contextmanager
def committed() -> Iterator[None]:
    """Run what the block left for after its commit, also inside a test's own transaction."""
    yield
    after_commit()


def after_commit() -> None:
    """Run what was left for after a commit that a test's own transaction keeps from happening."""
    waiting = transaction.get_connection().run_on_commit
    while waiting:
        _, function, _ = waiting.pop(0)
        function()
