"""The projector: marks of the database → rows of OVN, and OVN's `up` → status of ports.

One runs in the whole cloud. A mark is deleted in the transaction that follows OVN's commit, so whatever breaks in
between is projected again; projecting twice changes nothing. After every connect, and now and then besides, everything
is compared, so that a northbound database that was emptied or edited is made right again.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import psycopg2
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections, connection, transaction

from apps.core import context, live
from apps.core.doctor import doctor_check
from apps.network.backends import northbound_at
from apps.network.backends.errors import Unreachable
from apps.network.backends.rows import Scope
from apps.network.jobs import gateway_chassis, project, sync, wake_servers
from apps.network.models import Change, Port, Router
from apps.network.services import CHANNEL, mark
from apps.network.states import Dirty, PortStatus
from apps.operations.registry import daemon
from apps.operations.services import operation_wake

logger = logging.getLogger("kumo.network")

BATCH = 500
RETRY_S = 2.0
TICK_S = 5.0  # how soon a change that rings no bell (a lost connection, a new host) is noticed
FULL_S = 300.0  # how often everything is compared
SETTLE_S = 10.0  # how long the doctor lets the projector finish
DEFER_S = 30.0  # how long a thing that OVN refuses is left alone


def run(stop: threading.Event) -> None:
    """Project until told to stop, whatever breaks meanwhile."""
    while not stop.is_set():
        try:
            with _bell(stop) as bell:
                Projector(bell).serve(stop)
        except (Unreachable, DatabaseError, psycopg2.Error) as error:
            logger.warning("the projector pauses: %s", error)
        except Exception:
            logger.exception("the projector failed and starts again")
        finally:
            with suppress(DatabaseError):
                connection.close()
        stop.wait(RETRY_S)


class Bell:
    """What wakes the projector: notifications of the database, or OVN's thread."""

    def __init__(self, listener: Any) -> None:
        self.listener = listener
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        os.set_blocking(self.write_end, False)

    def ring(self) -> None:
        with suppress(OSError):  # a full pipe is a bell that rings already
            os.write(self.write_end, b"!")

    def wait(self, seconds: float) -> None:
        ready, _, _ = select.select([self.listener, self.read_end], [], [], seconds)
        if self.listener in ready:
            self.listener.poll()
            self.listener.notifies.clear()
        if self.read_end in ready:
            with suppress(BlockingIOError):
                os.read(self.read_end, 65536)


@contextmanager
def _bell(stop: threading.Event) -> Any:
    """A bell on a database connection of its own, since LISTEN does not go through a pooler."""
    direct = connection.copy()
    direct.ensure_connection()
    listener = direct.connection
    listener.autocommit = True
    with listener.cursor() as cursor:
        cursor.execute(f"LISTEN {CHANNEL}")
    bell = Bell(listener)
    finished = threading.Event()

    def ring_at_stop() -> None:
        while not finished.wait(0.2):
            if stop.is_set():
                bell.ring()
                return

    watcher = threading.Thread(target=ring_at_stop, daemon=True)
    watcher.start()
    try:
        yield bell
    finally:
        finished.set()
        watcher.join()
        os.close(bell.read_end)
        os.close(bell.write_end)
        direct.close()


class Projector:
    """One connection's worth of projecting."""

    def __init__(self, bell: Bell) -> None:
        self.bell = bell
        self.northbound = northbound_at(settings.CONFIG.ovn.northbound, wake=bell.ring)
        self.session = -1
        self.chassis: tuple[str, ...] = ()
        self.compared_at = 0.0
        self.deferred: dict[Scope, float] = {}

    def serve(self, stop: threading.Event) -> None:
        """Project whatever is marked, until told to stop."""
        try:
            while not stop.is_set():
                close_old_connections()
                self.step()
                self.bell.wait(TICK_S)
        finally:
            self.northbound.close()

    def step(self) -> None:
        """One round: everything after a connect, else what is marked; then what OVN said."""
        session = self.northbound.session
        if session != self.session or time.monotonic() - self.compared_at > FULL_S:
            lines = sync(self.northbound).lines()
            if lines:
                logger.info("OVN was made to match", extra={"changes": len(lines), "first": lines[:10]})
            self.session, self.compared_at = session, time.monotonic()
            self.chassis = gateway_chassis()
            self.deferred.clear()
        self._notice_hosts()
        while self._batch():
            pass
        record_status(self.northbound.take_ups())

    def _notice_hosts(self) -> None:
        """Hosts that came or went change which of them hold gateways."""
        chassis = gateway_chassis()
        if chassis != self.chassis:
            mark(Dirty.ROUTER, *Router.objects.exclude(gateway_network=None).values_list("pk", flat=True))
            self.chassis = chassis

    def _batch(self) -> bool:
        """Project the oldest marks; True when there may be more."""
        now = time.monotonic()
        waiting = {scope for scope, until in self.deferred.items() if until > now}
        with transaction.atomic():
            marks = list(Change.objects.select_for_update(skip_locked=True).order_by("pk")[:BATCH])
            marks = [m for m in marks if (m.kind, str(m.ident)) not in waiting]
            if not marks:
                return False
            scopes = {(m.kind, str(m.ident)) for m in marks}
            failed = self._project_each(scopes)
            done = [m for m in marks if (m.kind, str(m.ident)) not in failed]
            Change.objects.filter(pk__in=[m.pk for m in done]).delete()
            wake_servers({(m.kind, str(m.ident)) for m in done})
        record_status(self.northbound.ups_of([i for kind, i in scopes - failed if kind == Dirty.PORT]))
        self.deferred = {s: t for s, t in self.deferred.items() if t > now} | dict.fromkeys(failed, now + DEFER_S)
        return len(marks) >= BATCH

    def _project_each(self, scopes: set[Scope]) -> set[Scope]:
        """Project all at once or, where OVN refuses that, one by one; returns what it refuses."""
        try:
            project(self.northbound, scopes)
        except Unreachable:
            raise
        except Exception:
            if len(scopes) == 1:
                logger.exception("OVN refuses %s", next(iter(scopes)))
                return scopes
            return {scope for one in sorted(scopes) for scope in self._project_each({one})}
        return set()


def record_status(ups: Mapping[str, bool]) -> None:
    """Write what OVN says about ports, where it is news."""
    idents = {}
    for name, up in ups.items():
        with suppress(ValueError):
            idents[str(UUID(name))] = up
    if not idents:
        return
    with transaction.atomic():
        ports = Port.objects.filter(pk__in=idents).select_for_update(no_key=True).order_by("pk")
        for port in ports:
            status = PortStatus.ACTIVE if idents[str(port.pk)] else PortStatus.DOWN
            if port.status == status:
                continue
            port.status = status
            port.save(update_fields=["status"])
            live.notify(port.project_id or "", "port", port.pk)
            if port.server_id is not None:
                operation_wake(context.system(), subject_type="server", subject_id=port.server_id)


@doctor_check("network")
def compare(repair: bool) -> Iterable[str]:
    """What differs between the network tables and OVN, once what is marked was projected."""
    try:
        northbound = northbound_at(settings.CONFIG.ovn.northbound)
    except Unreachable as error:
        yield str(error)
        return
    try:
        deadline = time.monotonic() + SETTLE_S
        while Change.objects.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        waiting = Change.objects.count()
        if waiting and not repair:
            yield f"{waiting} changes wait for the projector"
        yield from sync(northbound, dry_run=not repair).lines()
    finally:
        northbound.close()


daemon("network.projector", run)
