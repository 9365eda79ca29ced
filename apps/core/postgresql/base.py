"""The engine: a kept connection is looked at before its first use in a request, without a question to the server.

Django asks `SELECT 1`, one more round trip and statement for each request. A server that ended closes its side, and
so does one that was told to end a session; either makes the socket readable, as an idle one never is.
"""

from __future__ import annotations

import select

import psycopg2
from django.db.backends.postgresql import base
from psycopg2.extensions import TRANSACTION_STATUS_INERROR, TRANSACTION_STATUS_UNKNOWN

_BROKEN = {TRANSACTION_STATUS_INERROR, TRANSACTION_STATUS_UNKNOWN}


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's, but for how it looks at a connection."""

    def is_usable(self) -> bool:
        """Whether the server would run a statement. What it sent unasked, even a notice, counts as its end."""
        if self.connection is None or self.connection.get_transaction_status() in _BROKEN:
            return False
        try:
            look = select.poll()
            look.register(self.connection.fileno(), select.POLLIN)
        except psycopg2.Error:
            return False
        return not look.poll(0)
