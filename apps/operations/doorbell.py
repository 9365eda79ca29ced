"""How the engine reaches workers: one small interface, chosen by the setting `KUMO_DOORBELL`.

Messages only wake somebody up; all that matters is in rows. A message that cannot be sent is logged and
replaced later by the sweeper, never an error of the caller.
"""

from __future__ import annotations

import logging
import uuid
from functools import cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

log = logging.getLogger(__name__)


class Doorbell(Protocol):
    """What carries messages."""

    def ring(self, operation_id: uuid.UUID) -> None:
        """Have `engine.advance` called on a control worker."""

    def work(self, operation_id: uuid.UUID, attempt: int) -> None:
        """Have `jobs.run` called on a control worker."""

    def send(self, queue: str, text: str) -> None:
        """Put a signed message into a host's queue."""


@cache
def doorbell() -> Doorbell:
    """The one in force."""
    made: Doorbell = import_string(settings.KUMO_DOORBELL)()
    return made


def ring(operation_id: uuid.UUID) -> None:
    """Ring, and only log what goes wrong."""
    try:
        doorbell().ring(operation_id)
    except Exception as error:  # noqa: BLE001 - any broker's failure; the sweeper rings later
        log.warning("ring failed", extra={"operation": str(operation_id), "reason": repr(error)})


def work(operation_id: uuid.UUID, attempt: int) -> None:
    """Hand a job out, and only log what goes wrong."""
    try:
        doorbell().work(operation_id, attempt)
    except Exception as error:  # noqa: BLE001 - as above
        log.warning("job was not handed out", extra={"operation": str(operation_id), "reason": repr(error)})


def send(queue: str, text: str) -> None:
    """Send to a host, and only log what goes wrong."""
    try:
        doorbell().send(queue, text)
    except Exception as error:  # noqa: BLE001 - as above; the lease sends again
        log.warning("message was not sent", extra={"queue": queue, "reason": repr(error)})
