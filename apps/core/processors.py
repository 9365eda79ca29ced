"""On which processors a thread may run.

Of an interpreter's threads one runs at a time. Spread over processors, each turn wakes another one, which has to get
the interpreter's memory into its caches first; that is a third of the work of small requests. Threads that do most of
theirs outside the interpreter, with large bodies, are better spread.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Mapping
from threading import local
from typing import Any

SMALL_BYTES = 256 * 1024  # of a body
_ALL = frozenset(os.sched_getaffinity(0))
_ONE = frozenset({random.choice(sorted(_ALL))})  # noqa: S311 - each process has its own
_of_thread = local()


def choose(environ: Mapping[str, Any]) -> None:
    """Let the thread of a WSGI request run where that is best served."""
    together() if is_small(environ) else apart()


def is_small(environ: Mapping[str, Any]) -> bool:
    """Whether few bytes come with a request, and few go with its answer."""
    size = environ.get("CONTENT_LENGTH") or "0"
    has_size = size.isdecimal() and "HTTP_TRANSFER_ENCODING" not in environ
    return environ["REQUEST_METHOD"] != "GET" and has_size and int(size) <= SMALL_BYTES


def together() -> None:
    """From now on this thread takes turns with others on one processor."""
    _keep_to(_ONE)


def apart() -> None:
    """From now on this thread runs wherever the process may."""
    _keep_to(_ALL)


def _keep_to(processors: frozenset[int]) -> None:
    if getattr(_of_thread, "processors", None) is not processors:
        _of_thread.processors = processors
        with contextlib.suppress(OSError):  # the administrator has changed what the process may use meanwhile
            os.sched_setaffinity(0, processors)
