"""The stream of changes: one Server-Sent Events answer per open page."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from apps.core.live import EVERYBODY
from apps.dashboard.live.ticket import Ticket

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PAUSE_S = 0.25  # at most four messages a second to each page
BEAT_S = 15.0  # a comment, so that proxies keep the connection and dead ones are noticed
STREAM_S = 900.0  # then the page fetches a new ticket, and with it what it may hear now
MANY = 100  # more changes than this are told as "everything"
MOST_LISTENERS = 5000


@dataclass(eq=False)
class Page:
    """One open page and what it has yet to be told."""

    ticket: Ticket
    pending: set[str] = field(default_factory=set)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, what: str) -> None:
        self.pending.add(what)
        self.news.set()

    def take(self) -> str:
        """What is pending as one line: `kind:id kind:id`, or `*` for everything."""
        found = "*" if "*" in self.pending or len(self.pending) > MANY else " ".join(sorted(self.pending))
        self.pending.clear()
        self.news.clear()
        return found


class Events:
    """All open pages; hears of changes and tells those concerned."""

    def __init__(self) -> None:
        self.pages: set[Page] = set()

    def hear(self, payload: str | None) -> None:
        """A notification of the database, or None when some may have been missed."""
        if payload is None:
            for page in self.pages:
                page.add("*")
            return
        try:
            change = json.loads(payload)
            project, what = str(change["project"]), f"{change['kind']}:{change['id']}"
        except (ValueError, KeyError, TypeError):
            return
        for page in self.pages:
            if page.ticket.everything or project in {EVERYBODY, page.ticket.project_id}:
                page.add(what)

    async def stream(self, ticket: Ticket, receive: Receive, send: Send) -> None:
        """Answer one request until it ends on either side."""
        if len(self.pages) >= MOST_LISTENERS:
            await plain(send, 503, "too many pages are listening")
            return
        page = Page(ticket)
        self.pages.add(page)
        telling = asyncio.ensure_future(self._tell(page, send))
        leaving = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.pages.discard(page)
            for task in (telling, leaving):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task

    async def _tell(self, page: Page, send: Send) -> None:
        headers = [
            (b"content-type", b"text/event-stream"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await _write(send, "retry: 3000\nevent: ready\ndata: 1\n\n")
        loop = asyncio.get_running_loop()
        end = loop.time() + STREAM_S
        while loop.time() < end:
            try:
                await asyncio.wait_for(page.news.wait(), BEAT_S)
            except TimeoutError:
                await _write(send, ": beat\n\n")
                continue
            await asyncio.sleep(PAUSE_S)
            await _write(send, f"event: changed\ndata: {page.take()}\n\n")
        await _write(send, "event: renew\ndata: 1\n\n")
        await send({"type": "http.response.body", "body": b""})


async def _write(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def plain(send: Send, status: int, text: str) -> None:
    """A whole short answer."""
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode() + b"\n"})
