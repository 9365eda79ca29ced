"""Threads that exactly one control worker runs at a time, under advisory locks of a connection of their own.

When that connection is lost the locks are free for another worker, so the threads here must end; if one does
not, the process does.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg2
from django.db import connection, connections

from apps.operations.registry import DAEMONS

log = logging.getLogger(__name__)

LOOK_S = 1.0
RESTART_S = 2.0
END_S = 10.0
EXIT_ZOMBIE = 70

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('kumo.daemon.' || %s, 0))"


class Leader(threading.Thread):
    """Runs the daemons whose locks it gets, and looks after them."""

    def __init__(self) -> None:
        super().__init__(name="leader", daemon=True)
        self.stop = threading.Event()
        self.looks = 0  # how often it looked after the daemons
        self._held: set[str] = set()
        self._threads: dict[str, threading.Thread] = {}
        self._stops: dict[str, threading.Event] = {}
        self._not_before: dict[str, float] = {}

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self._lead()
            except Exception as error:  # noqa: BLE001 - the database went away, or anything else
                log.warning("daemons lost their locks", extra={"reason": repr(error)})
            finally:
                self._end_all()
            self.stop.wait(LOOK_S)

    def _lead(self) -> None:
        direct = _direct_connection()
        try:
            with direct.cursor() as cursor:
                while not self.stop.wait(LOOK_S):
                    cursor.execute("SELECT 1")
                    for name, run in DAEMONS.items():
                        self._look_after(cursor, name, run)
                    self.looks += 1
        finally:
            self._end_all()  # before the locks are given up
            direct.close()

    def _look_after(self, cursor: Any, name: str, run: Callable[[threading.Event], None]) -> None:
        if name not in self._held:
            cursor.execute(_LOCK, [name])
            if not cursor.fetchone()[0]:
                return
            self._held.add(name)
            log.info("daemon is ours", extra={"daemon": name})
        thread = self._threads.get(name)
        if (thread is None or not thread.is_alive()) and time.monotonic() >= self._not_before.get(name, 0):
            self._begin(name, run)

    def _begin(self, name: str, run: Callable[[threading.Event], None]) -> None:
        stop = threading.Event()
        thread = threading.Thread(target=_logged, args=(name, run, stop), name=f"daemon-{name}", daemon=True)
        self._stops[name], self._threads[name] = stop, thread
        self._not_before[name] = time.monotonic() + RESTART_S
        thread.start()

    def _end_all(self) -> None:
        for stop in self._stops.values():
            stop.set()
        give_up = time.monotonic() + END_S
        for name, thread in self._threads.items():
            thread.join(max(0.0, give_up - time.monotonic()))
            if thread.is_alive():
                log.critical("daemon does not end; the process exits", extra={"daemon": name})
                os._exit(EXIT_ZOMBIE)
        self._threads.clear()
        self._stops.clear()
        self._held.clear()


def _logged(name: str, run: Callable[[threading.Event], None], stop: threading.Event) -> None:
    try:
        run(stop)
    except Exception:
        log.exception("daemon failed and will be started again", extra={"daemon": name})
    finally:
        connections.close_all()


def _direct_connection() -> Any:
    direct = psycopg2.connect(**_parameters())
    direct.autocommit = True
    return direct


def _parameters() -> dict[str, Any]:
    parameters = dict(connection.get_connection_params())
    for name in ("cursor_factory", "context"):
        parameters.pop(name, None)
    return parameters
