"""Consoles: the host dials out one WebSocket per session and joins it to a guest's screen or serial line.

The host listens on nothing. A session belongs to one single-use id which the control plane gave out; it ends
when either side hangs up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from typing import TYPE_CHECKING

from agents.control import ControlPlane
from agents.errors import Refused, Transient
from agents.loop import BackgroundLoop

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

log = logging.getLogger(__name__)

SESSIONS = 32
PIECE = 64 * 1024
CONNECT_TIMEOUT_S = 10


class Consoles:
    """The sessions that run."""

    def __init__(self, loop: BackgroundLoop, control: ControlPlane) -> None:
        self._loop = loop
        self._control = control
        self._running: set[asyncio.Task[None]] = set()

    def open(self, session_id: str, stream: socket.socket) -> None:
        """Join `stream` to the waiting session and return when connected; the stream is ours from now on.

        Raises Transient where the control plane cannot be reached, Refused where it does not know the session
        or too many run.
        """
        try:
            self._loop.run(self._open(session_id, stream), CONNECT_TIMEOUT_S + 5)
        except BaseException:
            stream.close()
            raise

    async def _open(self, session_id: str, stream: socket.socket) -> None:
        if len(self._running) >= SESSIONS:
            raise Refused(f"this host has {SESSIONS} consoles open, which is as many as it allows")
        stream.setblocking(False)
        connection = await self._connect(session_id)
        task = asyncio.create_task(_relay(connection, stream), name=f"console-{session_id}")
        self._running.add(task)
        task.add_done_callback(lambda ended: self._ended(ended, connection, stream))

    def _ended(self, task: asyncio.Task[None], connection: ClientConnection, stream: socket.socket) -> None:
        """However a session ended, even before its first step, both sides are hung up on."""
        self._running.discard(task)
        connection.transport.abort()
        stream.close()

    async def _connect(self, session_id: str) -> ClientConnection:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidStatus, WebSocketException

        try:
            return await connect(
                f"{self._control.websocket_url}/console/{session_id}",
                ssl=self._control.context,
                open_timeout=CONNECT_TIMEOUT_S,
                compression=None,
                max_size=2**20,
                proxy=None,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            kind = Transient if status >= 500 else Refused
            raise kind(f"the control plane answered {status} to console session {session_id}") from error
        except (OSError, TimeoutError, WebSocketException) as error:
            raise Transient(f"the console's way to the control plane cannot be opened: {error}") from error


async def _relay(connection: ClientConnection, stream: socket.socket) -> None:
    """Copy both ways until one side ends."""
    reader, writer = await asyncio.open_connection(sock=stream)
    ways = {
        asyncio.create_task(_to_control(reader, connection)),
        asyncio.create_task(_to_guest(connection, writer)),
    }
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        writer.transport.abort()
        with contextlib.suppress(Exception):
            await connection.close()


async def _to_control(reader: asyncio.StreamReader, connection: ClientConnection) -> None:
    while data := await reader.read(PIECE):
        await connection.send(data)


async def _to_guest(connection: ClientConnection, writer: asyncio.StreamWriter) -> None:
    async for message in connection:
        writer.write(message if isinstance(message, bytes) else message.encode())
        await writer.drain()
