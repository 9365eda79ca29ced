"""States of operations and steps, and what an operation may be waiting for."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """An operation's way: pending → running → done, or → undoing → failed; stuck waits for a person."""

    PENDING = "pending"
    RUNNING = "running"
    UNDOING = "undoing"
    DONE = "done"
    FAILED = "failed"
    STUCK = "stuck"
    ABANDONED = "abandoned"


ACTIVE = (Status.PENDING, Status.RUNNING, Status.UNDOING)  # the engine moves these
UNFINISHED = (*ACTIVE, Status.STUCK)  # these hold locks or wait for them
FINISHED = (Status.DONE, Status.FAILED, Status.ABANDONED)

TRANSITIONS: dict[Status, tuple[Status, ...]] = {
    Status.PENDING: (Status.RUNNING, Status.FAILED, Status.ABANDONED),
    Status.RUNNING: (Status.DONE, Status.UNDOING, Status.STUCK, Status.ABANDONED),
    Status.UNDOING: (Status.FAILED, Status.STUCK, Status.ABANDONED),
    Status.STUCK: (Status.RUNNING, Status.UNDOING, Status.ABANDONED),
    Status.DONE: (),
    Status.FAILED: (),
    Status.ABANDONED: (),
}


class StepStatus(StrEnum):
    """`started` means that somebody may have begun: only an undo takes it back."""

    STARTED = "started"
    DONE = "done"
    UNDONE = "undone"


class WaitsFor(StrEnum):
    """What an operation that does nothing by itself is waiting for."""

    NOTHING = ""
    LOCKS = "locks"  # another operation holds them and rings when it frees them
    HOST = "host"  # an answer, until the lease ends; parked when no lease runs
    JOB = "job"
    CHILDREN = "children"
    ROWS = "rows"  # a Wait's condition
    BACKOFF = "backoff"


class ExecutorState(StrEnum):
    """Does a host's worker take messages?"""

    UP = "up"
    DOWN = "down"
