"""The sweeper: rings for every operation whose time has come, whatever was lost on the way."""

from __future__ import annotations

import logging
import threading
import time
import uuid

from django.db import close_old_connections, connection

from apps.operations import doorbell, executors, locks
from apps.operations.clock import RING_S, from_now
from apps.operations.models import Operation

log = logging.getLogger(__name__)

EVERY_S = 1.0
RELEASE_EVERY_S = 5.0
FORGET_EVERY_S = 3600.0
AT_ONCE = 500
KEPT_DAYS = 400  # of operations that have ended

# The time is moved before the ring, so that one that cannot be moved on does not stand in the others' way.
_DUE = """
UPDATE operation SET wake_at = statement_timestamp() + %s * interval '1 second' FROM (
    SELECT id FROM operation WHERE wake_at <= statement_timestamp() AND status IN ('pending', 'running', 'undoing')
    ORDER BY wake_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED) AS due
WHERE operation.id = due.id RETURNING operation.id
"""


def run(stop: threading.Event) -> None:
    """Sweep until told to stop."""
    next_release = next_forget = 0.0
    while not stop.wait(EVERY_S):
        close_old_connections()
        for ident in due():
            doorbell.ring(ident)
        now = time.monotonic()
        if now >= next_release:
            executors.release()
            for ident in locks.startable(AT_ONCE):
                doorbell.ring(ident)
            next_release = now + RELEASE_EVERY_S
        if now >= next_forget:
            forget()
            next_forget = now + FORGET_EVERY_S


def due() -> list[uuid.UUID]:
    """Claim operations whose time has come."""
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [RING_S, AT_ONCE])
        return [row[0] for row in cursor.fetchall()]


def forget() -> None:
    """Delete the oldest history, with its steps."""
    old = Operation.objects.filter(finished_at__lt=from_now(-KEPT_DAYS * 86400))
    Operation.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:AT_ONCE])).delete()
