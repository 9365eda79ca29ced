"""The periodic duties of one control worker: partitions ahead, none beyond keeping; refusals that were only counted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

from django.db import Error, connection

from apps.audit import selectors, services
from apps.audit.states import CLOSE_S, DUTY_S
from apps.core.context import system
from apps.core.doctor import doctor_check
from apps.operations.registry import daemon

logger = logging.getLogger("kumo.audit")


def look_after(stop: threading.Event) -> None:
    """Once an hour, from the start of the worker on."""
    while not stop.is_set():
        try:
            made, dropped = services.partitions_maintain(system())
            if made or dropped:
                logger.info("partitions of the audit log", extra={"made": made, "dropped": dropped})
        except Error:
            logger.exception("partitions of the audit log could not be looked after")
        connection.close()
        stop.wait(DUTY_S)


def tell(stop: threading.Event) -> None:
    """Once a minute: what was refused again and again becomes an event when it is over."""
    while not stop.wait(CLOSE_S):
        try:
            services.bursts_end(system())
        except Error:
            logger.exception("refusals that were counted could not be told")
        connection.close()


daemon("audit.partitions", look_after)
daemon("audit.bursts", tell)


@doctor_check("audit")
def check_partitions(repair: bool) -> Iterator[str]:
    """Events outside their month's partition, and a coming month that has none."""
    homeless = selectors.homeless_events(system())
    ahead = selectors.next_month_is_made(system())
    if repair and (homeless or not ahead):
        services.partitions_maintain(system())
    done = ": mended" if repair else ""
    if homeless:
        yield f"events lie in no month's partition{done}"
    if not ahead:
        yield f"next month has no partition{done}"
