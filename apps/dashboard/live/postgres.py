"""The live process's two connections to PostgreSQL: one that listens, one for the rare statement.

Direct connections, never through a pooler in transaction mode, since LISTEN belongs to a session.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import psycopg2
import psycopg2.extensions

logger = logging.getLogger("kumo.live")
RETRY_S = 2.0

Hear = Callable[[str | None], None]


def connect(dsn: Mapping[str, Any]) -> psycopg2.extensions.connection:
    """An autocommit connection that notices a dead server within half a minute."""
    found = psycopg2.connect(**dsn, connect_timeout=3, keepalives_idle=10, keepalives_interval=5, keepalives_count=3)
    found.autocommit = True
    return found


class Listener:
    """Calls `hear` with each payload of a channel, and with None whenever some may have been missed."""

    def __init__(self, dsn: Mapping[str, Any], channel: str, hear: Hear) -> None:
        self.dsn, self.channel, self.hear = dsn, channel, hear

    async def run(self) -> None:
        """Listen for ever, connecting again when the server goes away."""
        while True:
            try:
                await self._listen()
            except (psycopg2.Error, OSError) as error:
                logger.warning("the database does not answer: %s", error)
                await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        connection = await loop.run_in_executor(None, connect, self.dsn)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"LISTEN {self.channel}")
            self.hear(None)
            readable = asyncio.Event()
            loop.add_reader(connection.fileno(), readable.set)
            try:
                while True:
                    await readable.wait()
                    readable.clear()
                    connection.poll()
                    while connection.notifies:
                        self.hear(connection.notifies.pop(0).payload)
            finally:
                loop.remove_reader(connection.fileno()) if not connection.closed else None
        finally:
            connection.close()


class Statements:
    """Runs single statements in a thread, one at a time, over a connection that is made when first needed."""

    def __init__(self, dsn: Mapping[str, Any]) -> None:
        self.dsn = dsn
        self.connection: psycopg2.extensions.connection | None = None
        self.turn = asyncio.Lock()

    async def one(self, sql: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """The first row, or None. Raises psycopg2.Error when the database does not answer."""
        async with self.turn:
            return await asyncio.get_running_loop().run_in_executor(None, self._one, sql, values)

    def _one(self, sql: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        for last in (False, True):
            try:
                if self.connection is None or self.connection.closed:
                    self.connection = connect(self.dsn)
                with self.connection.cursor() as cursor:
                    cursor.execute(sql, values)
                    return cursor.fetchone() if cursor.description else None
            except psycopg2.OperationalError:
                self.connection = None
                if last:
                    raise
        return None
