"""Where a browser and a host meet: each opens a WebSocket to this process, and their bytes are joined.

The browser proves itself with a one-time token, which is used up here. Rows of `compute`'s table of console sessions
say which server and host it is for; a notification makes the control worker ask that host to dial in. The host is
known by its certificate, whose name nginx passes on. Bytes are neither read nor kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from dataclasses import dataclass, field
from typing import Any

import psycopg2

from apps.core.tokens import token_hash
from apps.dashboard.live.events import Receive, Send
from apps.dashboard.live.postgres import Statements

logger = logging.getLogger("kumo.console")

HOST_DIALS_S = 30.0
LONGEST_S = 12 * 3600.0
CHANNEL = "kumo_console"

CLAIM = """
    WITH claimed AS (
        UPDATE compute_consolesession SET used_at = now()
        WHERE token_hash = %s AND used_at IS NULL AND expires_at > now()
        RETURNING id, host_name)
    SELECT claimed.id::text, host_name, certificate_serial, pg_notify('kumo_console', claimed.id::text)
    FROM claimed JOIN hosts_host ON name = host_name
"""

# Close codes: 1000s are the protocol's, 4000s ours.
GOING = 1001
REFUSED = 4403
NO_HOST = 4504


@dataclass(eq=False)
class Session:
    """A browser that waits, then the two ends."""

    host: str
    serial: str  # of the certificate that the host's last enrolment gave it
    browser: Send
    host_end: asyncio.Future[Send] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Consoles:
    """The sessions of this process."""

    def __init__(self, statements: Statements) -> None:
        self.statements = statements
        self.sessions: dict[str, Session] = {}

    async def browser(self, token: str, subprotocols: list[str], receive: Receive, send: Send) -> None:
        """The browser's end. A token that does not hold is refused before the handshake."""
        await receive()  # websocket.connect
        try:
            claimed = await self.statements.one(CLAIM, (token_hash(token),))
        except psycopg2.Error as error:
            logger.warning("the database does not answer: %s", error)
            claimed = None
        if claimed is None:
            await close(send, REFUSED, "the token is unknown, used up or too old")
            return
        await send({"type": "websocket.accept", "subprotocol": "binary" if "binary" in subprotocols else None})
        ident, host, serial, _ = claimed
        session = self.sessions[ident] = Session(host, serial, send)
        try:
            await self._serve_browser(ident, session, receive, send)
        finally:
            session.over.set()
            del self.sessions[ident]
            logger.info("console ended", extra={"session": ident, "host": host})

    async def _serve_browser(self, ident: str, session: Session, receive: Receive, send: Send) -> None:
        try:
            to_host = await asyncio.wait_for(asyncio.shield(session.host_end), HOST_DIALS_S)
        except TimeoutError:
            await close(send, NO_HOST, "the host did not dial in")
            return
        logger.info("console joined", extra={"session": ident, "host": session.host})
        await pump(receive, to_host, session.over)
        await close(to_host, GOING, "the viewer left")
        await close(send, GOING, "the session is over")

    async def host(self, path: str, host: str, serial: str, receive: Receive, send: Send) -> None:
        """The host's end. Anything but the host that was asked is refused before the handshake."""
        await receive()
        ident = _uuid(path)
        session = self.sessions.get(ident)
        known = session is not None and host and (session.host, session.serial) == (host, serial.lower().lstrip("0"))
        if session is None or not known or session.host_end.done():
            logger.warning("host refused at a console", extra={"session": ident, "host": host})
            await send({"type": "websocket.close", "code": REFUSED})
            return
        await send({"type": "websocket.accept"})
        session.host_end.set_result(send)
        await pump(receive, session.browser, session.over)
        session.over.set()
        await close(session.browser, GOING, "the host ended the session")
        await close(send, GOING, "the session is over")


async def pump(receive: Receive, send: Send, over: asyncio.Event) -> None:
    """Pass on what arrives until either end leaves; a slow reader slows the sender."""
    ending = asyncio.ensure_future(over.wait())
    loop = asyncio.get_running_loop()
    end = loop.time() + LONGEST_S
    try:
        while loop.time() < end:
            reading = asyncio.ensure_future(receive())
            await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED, timeout=end - loop.time())
            if not reading.done():
                reading.cancel()
                return
            message = reading.result()
            if message["type"] != "websocket.receive":
                return
            await send({"type": "websocket.send", **_payload(message)})
    except Exception as error:  # noqa: BLE001 - servers raise their own kinds when the other end has gone
        logger.info("console ended: %s", error)
    finally:
        ending.cancel()
        over.set()


def _payload(message: Any) -> dict[str, Any]:
    if message.get("bytes") is not None:
        return {"bytes": message["bytes"]}
    return {"bytes": (message.get("text") or "").encode()}


async def close(send: Send, code: int, reason: str) -> None:
    """Close, if it is still open."""
    with contextlib.suppress(Exception):
        await send({"type": "websocket.close", "code": code, "reason": reason})


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return ""
