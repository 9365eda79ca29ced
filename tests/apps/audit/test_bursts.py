"""Refusals that come again and again: the first ones are events, the others one more, and none is forgotten."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest
from django.db import OperationalError, connection

from apps.audit import reconcile, services
from apps.audit.models import Burst, Event
from apps.core import audit
from apps.core.context import Origin, RequestContext, origin, system
from apps.core.errors import Forbidden
from apps.operations.registry import DAEMONS

MOST = 3


@pytest.fixture(autouse=True)
def few(settings: Any) -> None:
    settings.CONFIG = msgspec.structs.replace(
        settings.CONFIG, audit=msgspec.structs.replace(settings.CONFIG.audit, refusals=MOST)
    )


def ask(caller: Any, count: int) -> None:
    for n in range(count):
        assert caller("POST", "/projects", {"project": {"name": f"mine{n}"}}).status_code == 403


def refused(**where: Any) -> list[Event]:
    return list(Event.objects.filter(outcome="failure", **where).order_by("at", "id"))


def told() -> list[Event]:
    return refused(reason__endswith="more like this were refused")


def older(column: str, by: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE audit_burst SET {column} = {column} - %s::interval", [by])


def test_a_client_in_a_loop_leaves_few_events_and_one_that_counts_the_others(demo):
    ask(demo, MOST + 5)
    assert len(refused(action="identity.project.create")) == MOST
    assert services.bursts_end(system()) == 0  # it may go on
    older("last_at", "6 minutes")
    assert services.bursts_end(system()) == 1
    (event,) = told()
    assert event.reason == "5 more like this were refused"
    assert (event.arguments["more"], set(event.arguments)) == (5, {"more", "since", "until"})
    assert (event.action, event.code, event.rule) == ("identity.project.create", 403, "identity:create_project")
    assert (event.user_name, event.scope, event.target_type) == ("demo", "project", "identity.project")
    assert (event.target_id, event.target_name, event.request_id) == ("", "", "")
    assert not Burst.objects.exists()
    assert services.bursts_end(system()) == 0


def test_afterwards_refusals_are_events_again(demo):
    ask(demo, MOST + 1)
    older("last_at", "6 minutes")
    services.bursts_end(system())
    ask(demo, 1)
    assert len(refused(action="identity.project.create")) == MOST + 1 + 1
    assert told()[0].reason == "1 more like this were refused"


def test_what_was_no_loop_leaves_nothing_more(demo):
    ask(demo, MOST)
    older("last_at", "6 minutes")
    assert services.bursts_end(system()) == 0
    assert len(refused()) == MOST
    assert not Burst.objects.exists()


def test_what_never_ends_is_told_each_hour(demo, monkeypatch):
    ask(demo, MOST + 2)
    # the event that it began with has the same age: what is moved is the bound
    monkeypatch.setattr(services, "BURST", "-1 second")
    assert services.bursts_end(system()) == 1
    assert told()[0].arguments["more"] == 2


def test_kinds_and_callers_are_counted_apart_and_successes_never(admin, demo):
    ask(demo, MOST + 1)
    assert demo("POST", "/users", {"user": {"name": "x"}}).status_code == 403
    assert [e.action for e in refused()].count("identity.user.create") == 1
    for n in range(MOST + 2):
        assert admin("POST", "/projects", {"project": {"name": f"p{n}"}}).status_code == 201
    assert admin("POST", "/projects", {"project": {"name": "p1"}}).status_code == 409
    assert [e.code for e in refused(user_name="admin")] == [409]
    assert Event.objects.filter(action="identity.project.create", outcome="success").count() == MOST + 2


@pytest.mark.parametrize(
    ("addresses", "events"),
    [
        (["192.0.2.1"] * 6, MOST),
        (["192.0.2.1", "192.0.2.2"] * 3, 6),
        ([f"2001:db8::{n}" for n in range(1, 7)], MOST),
        ([""] * 6, MOST),
    ],
)
def test_who_has_no_name_is_known_by_the_network(db, addresses, events):
    for address in addresses:
        token = origin.set(Origin(address=address))
        audit.note(RequestContext(user_name="any"), "identity.session.create", audit.Target(type="identity.session"),
                   error=Forbidden("no"))  # fmt: skip
        origin.reset(token)
    assert len(refused()) == events


def test_the_duty_survives_a_database_that_is_away_and_ends_when_told(monkeypatch):
    stop, calls = threading.Event(), []

    def end(ctx: RequestContext) -> int:
        calls.append(ctx.is_system)
        if len(calls) == 1:
            raise OperationalError("away")
        stop.set()
        return 0

    monkeypatch.setattr(reconcile, "CLOSE_S", 0.0)
    monkeypatch.setattr(services, "bursts_end", end)
    monkeypatch.setattr(connection, "close", lambda: None)
    DAEMONS["audit.bursts"](stop)
    assert calls == [True, True]
