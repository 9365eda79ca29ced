"""The heartbeat's two ends: a daemon that asks all hosts, and the handler of what they report."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator

from django.db import Error, connection

from agents.contracts import Inventory
from apps.core.context import system
from apps.core.doctor import doctor_check
from apps.hosts import selectors, services
from apps.hosts.states import HEARTBEAT_S, LOST_EVERY, HostState
from apps.operations.registry import Report, daemon, on_report

logger = logging.getLogger("kumo.hosts")


def beat(stop: threading.Event) -> None:
    """Ask every host every few seconds, and notice the ones that went silent."""
    for beats in itertools.count():
        if stop.is_set():
            break
        try:
            services.hosts_silent(system())
            services.hosts_ask(system(), also_lost=beats % LOST_EVERY == 0)
        except Error:
            logger.exception("heartbeat missed the database")
            connection.close()
        stop.wait(HEARTBEAT_S)
    connection.close()


daemon("hosts.heartbeat", beat)


@on_report("inventory.report", Inventory)
def reported(report: Report) -> None:
    """A host answered, or spoke on its own when its worker started."""
    services.host_report(system(), host=report.host, boot_id=report.boot_id, inventory=report.message)


@doctor_check("hosts")
def check_hosts(repair: bool) -> Iterator[str]:
    """Figures that are not the sum of their claims, hosts that are silent, clocks and certificates that fail soon."""
    for wrong in selectors.disagreements(system()):
        host = wrong["host"]
        if repair:
            services.host_recount(system(), host_id=host.pk)
        yield f"{host.name}: {wrong['used']} is used, {wrong['claimed']} is claimed{': corrected' if repair else ''}"
    for host in selectors.host_list(system()):
        if host.state == HostState.DOWN:
            yield f"{host.name}: does not answer"
        yield from (f"{host.name}: {note}" for note in selectors.warnings(host))
