"""Entry points of the broker's messages on control workers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.db import close_old_connections

from apps.operations import answers, engine, jobs

ADVANCE, WORK = "operations.advance", "operations.work"


def _with_fresh_connections(function: Callable[..., None]) -> Callable[..., None]:
    """Threads keep their connection to the database; one that broke is replaced before and after."""

    @functools.wraps(function)
    def wrapped(*arguments: Any) -> None:
        close_old_connections()
        try:
            function(*arguments)
        finally:
            close_old_connections()

    return wrapped


@_with_fresh_connections
def advance(operation_id: str) -> None:
    """A ring."""
    engine.advance(operation_id)


def work(operation_id: str, attempt: int) -> None:
    """A job; it runs in the jobs' own threads."""
    jobs.take(operation_id, attempt, _with_fresh_connections(jobs.run))


@_with_fresh_connections
def receive(text: str) -> None:
    """A message of a host."""
    answers.receive(text)


TASKS: dict[str, Callable[..., None]] = {ADVANCE: advance, WORK: work}
