"""The heartbeat's two ends: a daemon that asks all hosts, and the handler of what they report."""

from __future__ import annotations

import itertools
import logging
import threading

from django.db import Error, connection

from agents.contracts import Inventory
from apps.core.context import system
from apps.hosts import services
from apps.hosts.states import HEARTBEAT_S, LOST_EVERY
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
