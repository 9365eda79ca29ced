"""The connection to libvirtd and its events: one per worker, kept alive, opened anew when libvirtd restarts.

libvirt's event loop runs in a thread of its own and only ever queues; a second thread takes events off the
queue and may ask libvirt questions about them. Neither survives a fork, so both start in the worker process.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import libvirt

from agents.errors import Transient

log = logging.getLogger(__name__)

KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_COUNT = 3
RETRY_S = 1.0

_loop_lock = threading.Lock()
_loop_running = False


def start_event_loop() -> None:
    """Start libvirt's event loop once per process. Must come before the first connection."""
    global _loop_running
    with _loop_lock:
        if _loop_running:
            return
        libvirt.registerErrorHandler(lambda *_: None, None)  # errors are raised; not printed as well
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_event_loop, name="libvirt-events", daemon=True).start()
        _loop_running = True


def _run_event_loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            log.exception("libvirt's event loop stumbled")


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """A lifecycle event as libvirt numbers it."""

    uuid: str
    event: int
    detail: int


class Connection:
    """Opens on first use; `get` always returns one that is alive, or raises Transient."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._lock = threading.Lock()
        self._open: Any = None
        self._queue: queue.SimpleQueue[Lifecycle | str] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._listening = False
        self._closing = threading.Event()

    def get(self) -> Any:
        """A live `virConnect`."""
        with self._lock:
            if self._open is not None and self._open.isAlive():
                return self._open
            if self._closing.is_set():
                raise Transient("the worker is stopping")
            start_event_loop()
            try:
                self._open = self._connect()
            except libvirt.libvirtError as error:
                self._open = None
                raise Transient(f"libvirtd cannot be reached at {self.uri}: {error}") from error
            return self._open

    def _connect(self) -> Any:
        opened = libvirt.open(self.uri)
        opened.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)
        opened.registerCloseCallback(self._on_closed, None)
        opened.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle, None)
        return opened

    def listen(self, on_lifecycle: Callable[[Lifecycle], None], on_opened: Callable[[], None]) -> None:
        """Deliver events from now on. `on_opened` runs after each (re)connection: some may be missed."""
        if self._listening:
            raise RuntimeError("events are already being delivered")
        self._listening = True
        self._queue.put("closed")  # the first round connects
        threading.Thread(
            target=self._deliver, args=(on_lifecycle, on_opened), name="libvirt-delivery", daemon=True
        ).start()

    def wait_changed(self, timeout_s: float) -> None:
        """Sleep until any guest changed state, at most `timeout_s`."""
        with self._changed:
            self._changed.wait(timeout_s)

    def close(self) -> None:
        """Disconnect and end delivery."""
        self._closing.set()
        self._queue.put("stop")
        with self._lock:
            opened, self._open = self._open, None
        if opened is not None:
            try:
                opened.unregisterCloseCallback()
                opened.close()
            except libvirt.libvirtError as error:
                log.debug("closing the connection to libvirtd: %s", error)

    def _on_lifecycle(self, _conn: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
        with self._changed:
            self._changed.notify_all()
        if self._listening:
            self._queue.put(Lifecycle(domain.UUIDString(), event, detail))

    def _on_closed(self, _conn: Any, reason: int, _opaque: Any) -> None:
        log.warning("the connection to libvirtd was lost (reason %s)", reason)
        if self._listening:
            self._queue.put("closed")

    def _deliver(self, on_lifecycle: Callable[[Lifecycle], None], on_opened: Callable[[], None]) -> None:
        while (item := self._queue.get()) != "stop":
            try:
                if isinstance(item, Lifecycle):
                    on_lifecycle(item)
                elif self._reopened():
                    on_opened()
            except Exception:  # one bad event must not end delivery
                log.exception("event from libvirt")

    def _reopened(self) -> bool:
        told = False
        while not self._closing.is_set():
            try:
                self.get()
            except Transient as error:
                log.log(logging.DEBUG if told else logging.WARNING, "%s; trying again", error)
                told = True
                self._closing.wait(RETRY_S)
            else:
                return True
        return False
