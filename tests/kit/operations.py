"""Operations in process: no broker, no Celery, no sleep.

Rings and messages are collected by `InlineDoorbell`. `settle()` delivers them, playing the control worker, its
jobs and the hosts, until nothing moves any more; time is passed by moving the rows' own times back. Hosts are
plain functions: `HOSTS["hv-1"] = {"compute.ensure_domain": lambda request: reply}`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from django.db import transaction
from django.db.models.functions import Now

from agents import envelope as wire
from agents.errors import VerbError
from apps.core import context
from apps.operations import answers, doorbell, engine, jobs, messages, services
from apps.operations.models import Operation
from apps.operations.states import ACTIVE, WaitsFor

Verbs = dict[str, Callable[[dict[str, Any]], Any]]

HOSTS: dict[str, Verbs] = {}
KEYS: dict[str, str] = {}
BOOT = "boot-1"


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


def enrol(host: str, verbs: Verbs | None = None) -> None:
    """Make a host known to the engine, up, with the verbs it can do."""
    HOSTS[host] = verbs if verbs is not None else HOSTS.get(host, {})
    KEYS.setdefault(host, wire.new_private_key())
    ctx = context.system()
    public = wire.public_pem(wire.private_key(KEYS[host]))
    services.executor_register(ctx, host=host, public_key=public)
    services.host_seen(ctx, host=host, boot_id=BOOT)


def reset() -> None:
    """Forget hosts and messages; call between tests."""
    HOSTS.clear()
    bell().clear()


def settle(rounds: int = 500) -> None:
    """Deliver everything until all operations have ended, are stuck or wait for something that does not come."""
    for _ in range(rounds):
        if not step():
            return
    raise AssertionError("operations do not come to rest")


def step() -> bool:
    """Deliver one message, job or ring; with none left, look at what is ready. False when nothing moved."""
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
    """Play the sweeper: ring what is ready, and let back-offs end."""
    ready = Operation.objects.filter(status__in=ACTIVE, waits_for=WaitsFor.NOTHING)
    resting = Operation.objects.filter(status__in=ACTIVE, waits_for=WaitsFor.BACKOFF)
    ids = [*ready.values_list("pk", flat=True), *resting.values_list("pk", flat=True)]
    resting.update(due_at=Now(), wake_at=Now())
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
    """What a host would answer to a message; nothing for a cancel or for what belongs to no operation."""
    message = opened(text)
    if message.verb == wire.CANCEL or not message.operation:
        return None
    try:
        reply = HOSTS[message.to][message.verb](message.body)
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
    sealed = wire.envelope(sender=message.to, to=wire.CONTROL, verb=wire.ANSWER, body=body, **fields)
    return wire.seal(wire.private_key(KEYS[message.to]), sealed)


@contextmanager
def committed() -> Iterator[None]:
    """Run what the block left for after its commit, also inside a test's own transaction."""
    connection = transaction.get_connection()
    before = len(connection.run_on_commit)
    yield
    while len(connection.run_on_commit) > before:
        _, function, _ = connection.run_on_commit.pop(before)
        function()
