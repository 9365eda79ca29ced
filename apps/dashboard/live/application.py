"""Routes of the live process: `/live`, `/console/ws` and `/internal/host/v1/console/<session>`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from apps.core.live import CHANNEL
from apps.dashboard.live import ticket
from apps.dashboard.live.consoles import Consoles
from apps.dashboard.live.events import Events, Receive, Scope, Send, plain
from apps.dashboard.live.postgres import Listener, Statements

HOST_CONSOLE = "/internal/host/v1/console/"


class Live:
    """The ASGI application. `secret` is the key that tickets are signed with, `origin` the public URL."""

    def __init__(self, dsn: Mapping[str, Any], secret: str, origin: str) -> None:
        self.secret = secret
        self.origin = origin.rstrip("/")
        self.events = Events()
        self.consoles = Consoles(Statements(dsn))
        self.listener = Listener(dsn, CHANNEL, self.events.hear)
        self.listening: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        self._start()
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    def _start(self) -> None:
        if self.listening is None or self.listening.done():
            self.listening = asyncio.ensure_future(self.listener.run())

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if self.listening:
                    self.listening.cancel()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/live" or scope["method"] != "GET":
            await plain(send, 404, "nothing is here")
            return
        found = ticket.read(self.secret, _query(scope, "ticket"))
        if found is None:
            await plain(send, 403, "the ticket is not valid, or no longer")
            return
        await self.events.stream(found, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, headers = scope["path"], _headers(scope)
        if path.startswith(HOST_CONSOLE):
            who = headers.get("x-kumo-host", ""), headers.get("x-kumo-host-serial", "")
            await self.consoles.host(path.removeprefix(HOST_CONSOLE), *who, receive, send)
        elif path == "/console/ws" and self._same_origin(headers):
            await self.consoles.browser(_query(scope, "token"), scope.get("subprotocols", []), receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})

    def _same_origin(self, headers: Mapping[str, str]) -> bool:
        """A browser names the page's origin; only our own pages may open a console. Other clients name none."""
        origin = headers.get("origin")
        if origin is None:
            return True
        host = headers.get("x-forwarded-host") or headers.get("host", "")
        return origin.rstrip("/") == self.origin or urlsplit(origin).netloc == host


def _query(scope: Scope, name: str) -> str:
    return parse_qs(scope.get("query_string", b"").decode("latin-1")).get(name, [""])[0]


def _headers(scope: Scope) -> dict[str, str]:
    return {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope.get("headers", ())}
