"""A connection to the database that ends with its thread, and memory that goes back to the system then.

The API's threads come and go with the load. Django keeps a connection for each; one whose thread has ended would
stay open until a full garbage collection happens to find it, and a quiet process hardly ever has one. Nor does the C
library give back what pieces of large bodies were in, unless it is asked.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from typing import Any

import psycopg2
from django.db.backends.signals import connection_created

_of_thread = threading.local()
_libc = ctypes.CDLL(None)


class _Held:
    """What a thread holds; nothing refers back to it, so that it goes at once with the thread."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def __del__(self) -> None:
        with contextlib.suppress(psycopg2.Error):
            self.connection.close()
        _libc.malloc_trim(0)


def end_with_threads() -> None:
    """From now on close each new connection of this process when its thread ends, or has another one."""
    connection_created.connect(_hold, dispatch_uid="kumo.connections")


def stay_after_threads() -> None:
    """Take `end_with_threads` back."""
    connection_created.disconnect(dispatch_uid="kumo.connections")


def _hold(connection: Any, **_: Any) -> None:
    _of_thread.held = _Held(connection.connection)
