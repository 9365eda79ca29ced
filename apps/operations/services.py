"""What other apps do with operations: start them, wake them, supersede them; and tell the engine of hosts."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from agents import envelope
from agents.contracts import Message
from agents.envelope import queue_of
from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound, Unavailable
from apps.core.transactions import internal, selector, service
from apps.operations import doorbell, ending, executors, messages, starting
from apps.operations.models import Executor, Operation
from apps.operations.registry import SAGAS, Lock
from apps.operations.states import ACTIVE, FINISHED, Status
from apps.operations.turn import Source
from apps.operations.view import actor_of

QUEUE_ENDINGS = (".long", ".control")
POLL_S = (0.005, 0.25)  # first and longest pause of operation_wait


# --- starting --------------------------------------------------------------------------------------


@internal("Services of other apps start operations after their own rule was checked.")
def operation_start(
    ctx: RequestContext,
    *,
    kind: str,
    subject_type: str,
    subject_id: object,
    project_id: str,
    input: dict[str, Any] | None = None,
    locks: Iterable[Lock] | None = None,
) -> Operation:
    """Store an operation in the caller's transaction and ring once that is committed.

    Raises Conflict when its locks are held and the kind refuses to wait. Lock order: call this before locking
    the subject's row.
    """
    return starting.start(
        actor=actor_of(ctx),
        request_id=ctx.request_id,
        kind=kind,
        subject_type=subject_type,
        subject_id=str(subject_id),
        project_id=project_id,
        input=input or {},
        keys=locks,
    )


@internal("Services that delete call this after their own rule was checked.")
def operation_supersede(
    ctx: RequestContext,
    *,
    kind: str,
    subject_type: str,
    subject_id: object,
    project_id: str,
    input: dict[str, Any] | None = None,
    locks: Iterable[Lock] | None = None,
) -> Operation:
    """Start an operation that wins over whatever holds its locks: a delete.

    Operations in the way are abandoned; the new one removes what their steps made before its own steps run.
    An unfinished operation of the same kind on the same subject is returned instead, tried again if stuck.
    """
    return starting.supersede(
        actor=actor_of(ctx),
        request_id=ctx.request_id,
        kind=kind,
        subject_type=subject_type,
        subject_id=str(subject_id),
        project_id=project_id,
        input=input or {},
        keys=locks,
    )


# --- people and rows that move operations ----------------------------------------------------------


@internal("Called by services of other apps that change what a Wait looks at.")
def operation_wake(
    ctx: RequestContext,
    *,
    operation_id: object = None,
    subject_type: str = "",
    subject_id: object = "",
) -> None:
    """Have the Waits of an operation, or of all active ones of a subject, looked at after the caller's commit."""
    transaction.on_commit(partial(_wake, operation_id, subject_type, str(subject_id)))


def _wake(operation_id: object, subject_type: str, subject_id: str) -> None:
    rows = Operation.objects.filter(status__in=ACTIVE)
    if operation_id is not None:
        rows = rows.filter(pk=str(operation_id))
    else:
        rows = rows.filter(subject_type=subject_type, subject_id=subject_id)
    for ident in rows.values_list("pk", flat=True):
        doorbell.ring(ident)


@service("operations:cancel")
def operation_cancel(ctx: RequestContext, *, operation_id: object) -> Operation:
    """Ask an operation to stop and undo. Raises NotFound, or Conflict when it cannot be cancelled any more."""
    row = _visible(ctx, operation_id, "operations:cancel")
    saga = SAGAS.get(row.kind)
    if row.status in FINISHED or row.status == Status.UNDOING:
        raise Conflict(f"Operation {row.pk} is {row.status}.")
    if saga is None or not saga.cancellable or saga.forward_only:
        raise Conflict(f"Operations of kind {row.kind} cannot be cancelled.")
    if Source(row).is_committed:
        raise Conflict(f"Operation {row.pk} has passed the point from which it only goes forward.")
    if row.status == Status.STUCK:
        raise Conflict(f"Operation {row.pk} is stuck.", hint="An administrator may retry or abandon it.")
    Operation.objects.filter(pk=row.pk).update(cancel_requested=True, wake_at=Now(), updated_at=Now())
    starting.ring_on_commit(row.pk)
    row.cancel_requested = True
    return row


@service("operations:retry")
def operation_retry(ctx: RequestContext, *, operation_id: object) -> Operation:
    """Set a stuck operation going again. Raises NotFound, or Conflict when it is not stuck."""
    row = _visible(ctx, operation_id, "operations:retry")
    if row.status != Status.STUCK:
        raise Conflict(f"Operation {row.pk} is {row.status}, not stuck.")
    starting.resume(row)
    row.refresh_from_db()
    return row


@service("operations:abandon")
def operation_abandon(ctx: RequestContext, *, operation_id: object) -> Operation:
    """Give an unfinished operation up as it is: nothing is undone, its locks are freed, its subject gets the fault.

    Raises NotFound, or Conflict when it has ended.
    """
    row = _visible(ctx, operation_id, "operations:abandon")
    if row.status in FINISHED:
        raise Conflict(f"Operation {row.pk} is {row.status}.")
    ending.abandon(row, "abandoned by an administrator", call_back=True)
    row.refresh_from_db()
    return row


@selector("operations:list")
def operation_wait(ctx: RequestContext, *, operation_id: object, timeout_s: float) -> Operation:
    """Wait outside any transaction until an operation has ended or is stuck, and return it.

    For the few calls that must answer at once with what a host says. Raises Unavailable after `timeout_s`.
    """
    give_up = time.monotonic() + timeout_s
    pause, longest = POLL_S
    while True:
        row = Operation.objects.filter(pk=str(operation_id)).first()
        if row is None:
            raise NotFound("Operation", operation_id)
        if row.status not in ACTIVE:
            return row
        if time.monotonic() + pause > give_up:
            raise Unavailable("The host did not answer in time.", hint="Try again.")
        time.sleep(pause)
        pause = min(pause * 1.5, longest)


@internal("Callers of operation_wait whose answer must not be kept, such as a console's log.")
def operation_forget(ctx: RequestContext, *, operation_id: object) -> None:
    """Drop an operation that has ended, with its steps and what they answered. One that goes on stays."""
    Operation.objects.filter(pk=str(operation_id), status__in=FINISHED).delete()


def _visible(ctx: RequestContext, operation_id: object, rule: str) -> Operation:
    try:
        ident = uuid.UUID(str(operation_id))
    except ValueError:
        raise NotFound("Operation", operation_id) from None
    row = Operation.objects.select_for_update(no_key=True).filter(pk=ident).first()
    if row is None or not policy.allowed(ctx, "operations:get", {"project_id": row.project_id}):
        raise NotFound("Operation", operation_id)
    policy.enforce(ctx, rule, {"project_id": row.project_id})
    return row


# --- hosts -----------------------------------------------------------------------------------------


@internal("apps.hosts enrols hosts under its own rule.")
def executor_register(ctx: RequestContext, *, host: str, public_key: str) -> Executor:
    """Take a host's signing key (Ed25519, PEM); it counts as down until it is seen. Raises Invalid."""
    if host.endswith(QUEUE_ENDINGS):
        raise Invalid(f"A host cannot be named {host}: that is the name of another host's queue.", field="name")
    try:
        envelope.public_key(public_key)
    except ValueError as error:
        raise Invalid(f"The signing key of host {host} cannot be used: {error}", field="signing_public_key") from error
    executor, _ = Executor.objects.update_or_create(host=host, defaults={"public_key": public_key})
    return executor


@internal("apps.hosts removes hosts under its own rule.")
def executor_remove(ctx: RequestContext, *, host: str) -> None:
    """Forget a host: its answers are no longer believed, and steps that name it fail."""
    Executor.objects.filter(host=host).delete()


@internal("apps.hosts calls this with each inventory, the engine when a worker greets.")
def host_seen(ctx: RequestContext, *, host: str, boot_id: str) -> None:
    """A host answered. If it was down or has started anew, what waits for it is sent (again) at once."""
    executors.seen(host, boot_id)


@internal("apps.hosts decides that a host is down.")
def host_down(ctx: RequestContext, *, host: str) -> None:
    """Park what waits for a host until it is seen again."""
    executors.down(host)


@internal("Fire and forget; whoever calls has checked its own rule.")
def host_send(ctx: RequestContext, *, host: str, verb: str, message: Message) -> None:
    """Ask a host for something that belongs to no operation, after commit, over its control queue.

    The reply arrives at the handler that `registry.on_report(verb, …)` registered.
    """
    text = messages.sealed(host, verb, message)
    transaction.on_commit(partial(doorbell.send, queue_of(host, "control"), text))


@internal("Enrolment hands it to hosts.")
def control_public_key(ctx: RequestContext) -> str:
    """The key (Ed25519, PEM) that hosts must believe."""
    return messages.control_public_key()
