"""The table of verbs: what a host can be asked, with the types of request and reply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from agents.contracts import Message


class Job(Protocol):
    """What a running verb may use: progress, cancellation, and the host it runs on."""

    host: Any  # agents.host.Host: configuration, drivers, client of the control plane

    def progress(self, percent: int, text: str) -> None:
        """Tell how far it is; travels with the next renewal of the lease."""

    def checkpoint(self) -> None:
        """Raise `Cancelled` if the operation was cancelled. Call between pieces of long work."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb. `resource` names what it works on: one verb at a time holds that name's lock, and fences of
    older attempts on it are refused."""

    name: str
    request: type[Message]
    reply: type[Message]
    run: Callable[[Any, Job], Message]
    resource: Callable[[Any], str]
    long: bool = False  # runs on the queue for copies and migrations
    once: bool = False  # acts anew each time it runs, so a repeat is answered from the journal
    waits: Callable[[Any], bool] | None = None  # may this request spend its time waiting for what a guest does?


VERBS: dict[str, Verb] = {}


def verb(
    name: str,
    request: type[Message],
    reply: type[Message],
    *,
    resource: Callable[[Any], str],
    long: bool = False,
    once: bool = False,
    waits: Callable[[Any], bool] | None = None,
) -> Callable[[Callable[[Any, Job], Message]], Callable[[Any, Job], Message]]:
    """Register a function `(request, job) -> reply` under the verb's name."""

    def decorate(run: Callable[[Any, Job], Message]) -> Callable[[Any, Job], Message]:
        if name in VERBS:
            raise ValueError(f"verb {name} is registered twice")
        VERBS[name] = Verb(name, request, reply, run, resource, long, once, waits)
        return run

    return decorate
