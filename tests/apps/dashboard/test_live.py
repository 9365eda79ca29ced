"""The live process, driven through its ASGI face: who hears what, and who may join which console."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from apps.core import live
from apps.dashboard.live import ticket
from apps.dashboard.live.application import Live
from apps.dashboard.live.consoles import Session
from apps.dashboard.live.events import Events, Page

SECRET = "secret"
ORIGIN = "http://cloud.example"


def application() -> Live:
    found = settings.DATABASES["default"]
    dsn = {
        "host": found["HOST"],
        "port": found["PORT"],
        "dbname": connection.settings_dict["NAME"],
        "user": found["USER"],
        "password": found["PASSWORD"],
    }
    return Live(dsn, SECRET, ORIGIN)


class Client:
    """One request as a server would put it to the application."""

    def __init__(self, app: Any, scope: dict[str, Any]) -> None:
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task = asyncio.ensure_future(app(scope, self.inbox.get, self.outbox.put))

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.outbox.get(), 60)

    async def line(self) -> str:
        while True:
            message = await self.next()
            if message.get("body"):
                return message["body"].decode()

    async def leave(self) -> None:
        await self.inbox.put({"type": "http.disconnect"})
        await asyncio.wait_for(self.task, 60)


def stream(text: str) -> dict[str, Any]:
    return {"type": "http", "path": "/live", "method": "GET", "query_string": f"ticket={text}".encode(), "headers": []}


def socket(path: str, query: str = "", **headers: str) -> dict[str, Any]:
    found = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "websocket", "path": path, "query_string": query.encode(), "headers": found, "subprotocols": []}


def run(body: Callable[[Live], Awaitable[None]]) -> None:
    async def whole() -> None:
        app = application()
        try:
            await body(app)
        finally:
            if app.listening:
                app.listening.cancel()

    asyncio.run(whole())


# --- tickets ---------------------------------------------------------------------------------------


def test_a_ticket_says_what_was_put_into_it() -> None:
    found = ticket.read(SECRET, ticket.issue(SECRET, project_id="p1", everything=False))
    assert found is not None
    assert (found.project_id, found.everything) == ("p1", False)


@pytest.mark.parametrize("change", [lambda t: t[:-1] + ("0" if t[-1] != "0" else "1"), lambda t: "x" + t, lambda t: ""])
def test_a_changed_ticket_is_refused(change: Callable[[str], str]) -> None:
    assert ticket.read(SECRET, change(ticket.issue(SECRET, project_id="p1", everything=False))) is None


def test_a_ticket_of_another_key_is_refused() -> None:
    assert ticket.read(SECRET, ticket.issue("other", project_id="p1", everything=False)) is None


def test_an_old_ticket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = ticket.issue(SECRET, project_id="p1", everything=False)
    later = ticket.time.time() + ticket.LIFETIME_S + 1
    monkeypatch.setattr(ticket.time, "time", lambda: later)
    assert ticket.read(SECRET, text) is None


# --- the stream ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_change_is_heard_by_the_pages_of_its_project_alone_unless_it_is_everybodys() -> None:
    async def body(app: Live) -> None:
        pages = [
            Client(app, stream(ticket.issue(SECRET, project_id=project, everything=everything)))
            for project, everything in (("p1", False), ("p2", False), ("p3", True))
        ]
        assert ["event: ready" in await page.line() for page in pages] == [True, True, True]
        # "*" follows once the database is being listened to
        assert ["data: *" in await page.line() for page in pages] == [True, True, True]
        await asyncio.to_thread(live.notify, "p1", "server", "s1")
        await asyncio.to_thread(live.notify, "p2", "server", "s2")
        assert await pages[0].line() == "event: changed\ndata: server:s1\n\n"
        assert await pages[1].line() == "event: changed\ndata: server:s2\n\n"
        heard = await pages[2].line()
        while "s2" not in heard:
            heard += await pages[2].line()
        assert "server:s1" in heard
        await asyncio.to_thread(live.notify, live.EVERYBODY, "flavor", "f1")
        for page in pages:
            assert await page.line() == "event: changed\ndata: flavor:f1\n\n"
        for page in pages:
            await page.leave()
        assert not app.events.pages

    run(body)


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_is_not_heard() -> None:
    from django.db import transaction

    heard: list[str | None] = []

    def change(project: str, fail: bool) -> None:
        try:
            with transaction.atomic():
                live.notify(project, "server", "s")
                if fail:
                    raise RuntimeError
        except RuntimeError:
            pass

    async def body(app: Live) -> None:
        app.listener.hear = heard.append
        app._start()
        while not heard:
            await asyncio.sleep(0)
        await asyncio.to_thread(change, "undone", True)
        await asyncio.to_thread(change, "done", False)
        while len(heard) < 2:
            await asyncio.sleep(0)

    run(body)
    assert [json.loads(h)["project"] for h in heard if h] == ["done"]


def test_without_a_ticket_nothing_is_streamed() -> None:
    async def body(app: Live) -> None:
        app._start = lambda: None  # type: ignore[method-assign]
        client = Client(app, stream("nonsense"))
        assert (await client.next())["status"] == 403
        assert not app.events.pages

    run(body)


def test_many_changes_at_once_are_told_as_everything() -> None:
    page = Page(ticket.Ticket("p1", False, 0))
    for number in range(500):
        page.add(f"server:{number}")
    assert page.take() == "*"
    assert not page.pending


def test_a_message_that_is_not_ours_is_ignored() -> None:
    events = Events()
    page = Page(ticket.Ticket("p1", True, 0))
    events.pages.add(page)
    for text in ("", "[]", "{}", "not json", '{"project": "p1"}'):
        events.hear(text)
    assert not page.pending


# --- consoles --------------------------------------------------------------------------------------


def test_a_page_of_another_site_cannot_open_a_console() -> None:
    async def body(app: Live) -> None:
        app._start = lambda: None  # type: ignore[method-assign]
        client = Client(app, socket("/console/ws", "token=t", origin="http://evil.example", host="cloud.example"))
        await client.inbox.put({"type": "websocket.connect"})
        assert await client.next() == {"type": "websocket.close", "code": 1008}

    run(body)


class FakeStatements:
    """Stands for the database: one token that works once."""

    def __init__(self, row: tuple[Any, ...] | None) -> None:
        self.row = row

    async def one(self, sql: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        row, self.row = self.row, None
        return row


SESSION_ID = "0d1f6a4e-39a6-4c1a-9a3e-6f2a6d2b9c11"


def joined(body: Callable[[Live], Awaitable[None]]) -> None:
    async def prepared(app: Live) -> None:
        app._start = lambda: None  # type: ignore[method-assign]
        app.consoles.statements = FakeStatements((SESSION_ID, "hv-1", "ab1", None))  # type: ignore[assignment]
        await body(app)

    run(prepared)


def test_browser_and_host_are_joined_and_end_together() -> None:
    async def body(app: Live) -> None:
        browser = Client(app, socket("/console/ws", "token=t", origin=ORIGIN, host="cloud.example"))
        await browser.inbox.put({"type": "websocket.connect"})
        assert (await browser.next())["type"] == "websocket.accept"
        host = Client(
            app, socket(f"/internal/host/v1/console/{SESSION_ID}", x_kumo_host="hv-1", x_kumo_host_serial="0AB1")
        )
        await host.inbox.put({"type": "websocket.connect"})
        assert (await host.next())["type"] == "websocket.accept"
        await host.inbox.put({"type": "websocket.receive", "bytes": b"RFB 003.008\n"})
        assert (await browser.next())["bytes"] == b"RFB 003.008\n"
        await browser.inbox.put({"type": "websocket.receive", "bytes": b"hello"})
        assert (await host.next())["bytes"] == b"hello"
        await browser.inbox.put({"type": "websocket.disconnect"})
        assert (await host.next())["type"] == "websocket.close"
        await asyncio.wait_for(asyncio.gather(browser.task, host.task), 60)
        assert not app.consoles.sessions

    joined(body)


def test_a_token_works_once() -> None:
    async def body(app: Live) -> None:
        first = Client(app, socket("/console/ws", "token=t", host="cloud.example"))
        await first.inbox.put({"type": "websocket.connect"})
        assert (await first.next())["type"] == "websocket.accept"
        second = Client(app, socket("/console/ws", "token=t", host="cloud.example"))
        await second.inbox.put({"type": "websocket.connect"})
        assert (await second.next())["type"] == "websocket.close"
        first.task.cancel()

    joined(body)


@pytest.mark.parametrize(
    ("path", "host", "serial"),
    [
        (SESSION_ID, "hv-2", "AB1"),
        (SESSION_ID, "", "AB1"),
        (SESSION_ID, "hv-1", "AA0"),  # a certificate from before the host was enrolled again
        (SESSION_ID, "hv-1", ""),
        ("11111111-2222-3333-4444-555555555555", "hv-1", "AB1"),
        ("../x", "hv-1", "AB1"),
    ],
)
def test_another_host_cannot_take_a_session(path: str, host: str, serial: str) -> None:
    async def body(app: Live) -> None:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        app.consoles.sessions[SESSION_ID] = session = Session("hv-1", "ab1", send)
        client = Client(app, socket(f"/internal/host/v1/console/{path}", x_kumo_host=host, x_kumo_host_serial=serial))
        await client.inbox.put({"type": "websocket.connect"})
        assert (await client.next())["type"] == "websocket.close"
        assert not session.host_end.done()
        assert not sent

    joined(body)


@pytest.mark.django_db(transaction=True)
def test_the_tables_of_compute_and_hosts_answer_a_token_once() -> None:
    """The live process reads these tables without Django's models, so their names must fit."""
    import hashlib
    import uuid
    from datetime import timedelta

    from django.utils import timezone

    from apps.compute.models import ConsoleSession
    from apps.dashboard.live.consoles import CLAIM
    from tests.kit.rows import make_host

    make_host("hv-1")
    session = ConsoleSession.objects.create(
        token_hash=hashlib.sha256(b"t").hexdigest(),
        server_id=uuid.uuid4(),
        project_id="p",
        user_id="u",
        host_name="hv-1",
        kind="vnc",
        expires_at=timezone.now() + timedelta(minutes=1),
    )

    async def body(app: Live) -> None:
        claim = app.consoles.statements.one
        first = await claim(CLAIM, (session.token_hash,))
        assert first is not None
        assert first[:2] == (str(session.pk), "hv-1")
        assert await claim(CLAIM, (session.token_hash,)) is None
        app.consoles.statements.connection.close()  # type: ignore[union-attr]

    run(body)
    session.refresh_from_db()
    assert session.used_at is not None
