"""The tables of the engine: sagas and the five kinds of step, daemons, and handlers of what hosts report.

Each app declares its sagas in `sagas.py`, which is imported at start. Kinds and step names are append-only
within a release, because stored operations name them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from agents.contracts import Message

if TYPE_CHECKING:
    from apps.operations.view import Failure, Op

Lock = tuple[str, str]  # (type, id)


class WhenBusy(StrEnum):
    """What happens to an operation whose locks are held."""

    REFUSE = "refuse"  # Conflict
    QUEUE = "queue"  # waits, and is rung by whoever frees them


REFUSE, QUEUE = WhenBusy.REFUSE, WhenBusy.QUEUE


class JobContext(Protocol):
    """What a running Job may use."""

    fence: int

    def progress(self, percent: int, text: str) -> None:
        """Tell how far it is; stored with the next renewal of the lease."""

    def checkpoint(self) -> None:
        """Raise `agents.errors.Cancelled` if the operation was cancelled."""


@dataclass(frozen=True, slots=True)
class Local:
    """Database only, in the transaction that moves the cursor: exactly once.

    What `do` returns (JSON values) is the step's output. A `KumoError` from it fails the operation at once,
    anything else is tried again.
    """

    name: str
    do: Callable[[Op], Any]
    undo: Callable[[Op], Any] | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """An idempotent verb on a host: at least once, fenced.

    `target` names the host, or None to skip the step; it is asked once, later tries go to the same host.
    `message` is built from the database at each try. `reply` runs in the transaction that records the answer;
    with `returns` it gets that type, else a dict. `commits` marks the step from which the saga only goes
    forward.
    """

    name: str
    verb: str
    undo_verb: str | None = None
    target: Callable[[Op], str | None] = field(kw_only=True)
    message: Callable[[Op], Message] = field(kw_only=True)
    undo_message: Callable[[Op], Message] | None = field(default=None, kw_only=True)
    reply: Callable[[Op, Any], None] | None = field(default=None, kw_only=True)
    returns: type[Message] | None = field(default=None, kw_only=True)
    commits: bool = field(default=False, kw_only=True)
    long: bool = field(default=False, kw_only=True)
    deadline_s: int = field(default=900, kw_only=True)


@dataclass(frozen=True, slots=True)
class Job:
    """Idempotent code on a control worker, never inside a transaction: at least once, fenced."""

    name: str
    do: Callable[[Op, JobContext], Any]
    undo: Callable[[Op, JobContext], Any] | None = None
    commits: bool = field(default=False, kw_only=True)
    deadline_s: int = field(default=3600, kw_only=True)


@dataclass(frozen=True, slots=True)
class ChildInput:
    """One child to start."""

    subject_type: str
    subject_id: str
    project_id: str
    input: dict[str, Any] = field(default_factory=dict)
    locks: tuple[Lock, ...] | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """Other operations of one kind, created once; their failure is the parent's.

    `inverse` is the kind that takes a finished child back (same subject and input); without it a finished
    child stays as it is. The output is `{"ids": [...]}`.
    """

    name: str
    kind: str
    inputs: Callable[[Op], Iterable[ChildInput]]
    inverse: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """A condition over rows, looked at when `operation_wake` rings."""

    name: str
    predicate: Callable[[Op], bool]
    deadline_s: int = 60


Step = Local | Agent | Job | Child | Wait


@dataclass(frozen=True, slots=True)
class Saga:
    """What an operation of one kind does.

    `locks` maps the operation's input to lock keys; without it and without locks given at start, the subject is
    locked. `on_done` and `on_failed` run in the transaction that ends the operation and frees its locks.
    `task_states` maps step names to the API's word for being busy with it; "" is the word for all others.
    """

    kind: str
    steps: tuple[Step, ...]
    title: str = ""
    locks: Callable[[Mapping[str, Any]], Iterable[Lock]] | None = None
    when_busy: WhenBusy = REFUSE
    on_done: Callable[[Op], None] | None = None
    on_failed: Callable[[Op, Failure], None] | None = None
    cancellable: bool = True
    forward_only: bool = False
    tries: int = 5
    task_states: Mapping[str, str] = field(default_factory=dict)

    def step(self, name: str) -> Step:
        """The step of that name. Raises KeyError."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(f"{self.kind} has no step {name!r}")

    def after(self, name: str) -> str:
        """Name of the step that follows, or empty at the end."""
        names = [step.name for step in self.steps]
        at = names.index(name) + 1
        return names[at] if at < len(names) else ""

    def percent(self, cursor: str) -> int:
        """How much of the saga lies before the step `cursor`; all of it at the end."""
        names = [step.name for step in self.steps]
        return 100 * names.index(cursor) // len(names) if cursor else 100


SAGAS: dict[str, Saga] = {}


def register(*sagas: Saga) -> None:
    """Add sagas to the table; a kind and a step's name within it may exist once."""
    for saga in sagas:
        names = [step.name for step in saga.steps]
        if len(set(names)) != len(names) or any("/" in name or not name for name in names):
            raise ValueError(f"{saga.kind}: step names must be distinct, not empty and without a slash")
        if SAGAS.setdefault(saga.kind, saga) is not saga:
            raise ValueError(f"operation kind {saga.kind} is registered twice")


def saga_of(kind: str) -> Saga:
    """The saga of a kind. Raises KeyError for one that no installed app registered."""
    return SAGAS[kind]


def task_state(kind: str, cursor: str) -> str | None:
    """The API's word for what an active operation is doing, or None where it shows none."""
    saga = SAGAS.get(kind)
    if saga is None:
        return None
    return saga.task_states.get(cursor, saga.task_states.get("")) or None


@dataclass(frozen=True, slots=True)
class Report:
    """What a host sent on its own, or as the reply to a message that belongs to no operation."""

    host: str
    boot_id: str
    message: Any


ReportHandler = Callable[[Report], None]
REPORTS: dict[str, tuple[type[Message], ReportHandler]] = {}


def on_report(verb: str, message: type[Message]) -> Callable[[ReportHandler], ReportHandler]:
    """Register the handler of a verb's reports; it gets the decoded message, outside any transaction."""

    def decorate(handler: ReportHandler) -> ReportHandler:
        if verb in REPORTS:
            raise ValueError(f"reports of {verb} are handled twice")
        REPORTS[verb] = (message, handler)
        return handler

    return decorate


DAEMONS: dict[str, Callable[[threading.Event], None]] = {}


def daemon(name: str, run: Callable[[threading.Event], None]) -> None:
    """Register a thread that exactly one control worker runs at a time; it must return soon after `stop` is set."""
    if DAEMONS.setdefault(name, run) is not run:
        raise ValueError(f"daemon {name} is registered twice")
