"""Steps with names and seconds on the terminal, and the same plain lines where there is no terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

WIDTH = 46
STARTED = float(os.environ.get("KUMO_STARTED") or time.time())


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    started = time.monotonic()
    terminal = sys.stdout.isatty()
    if terminal:
        print(f"  {name:<{WIDTH}} …", end="\r", flush=True)
    try:
        yield
    except BaseException:
        print(f"  {name:<{WIDTH}} failed after {time.monotonic() - started:.1f} s", flush=True)
        raise
    print(f"  {name:<{WIDTH}} {time.monotonic() - started:6.1f} s", flush=True)


def total() -> float:
    """Seconds since the command was given."""
    return time.time() - STARTED


class Background:
    """Work that runs beside other steps; `join` waits for it and raises what it raised."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - handed to whoever joins
            self._error = error

    def join(self) -> None:
        with step(self.name):
            self._thread.join()
            if self._error:
                raise self._error
