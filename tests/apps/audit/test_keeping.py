"""Partitions: there before they are needed, dropped when their time is over; and the command."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from apps.audit import reconcile, services
from apps.audit.management.commands.audit import moment
from apps.audit.models import Event
from apps.core.context import operator, system
from apps.identity import services as identity
from apps.operations.registry import DAEMONS


def sql(text: str, *given: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(text, given)
        return list(cursor.fetchall()) if cursor.description else []


def partitions() -> set[str]:
    return {
        row[0]
        for row in sql("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_event'::regclass")
    }


def event_of(moment: str) -> None:
    sql(
        "INSERT INTO audit_event (at, id, action, outcome, code, reason, rule, user_id, user_name, user_domain_id,"
        " scope, scope_id, roles, credential, token_id, agent, request_id, global_request_id, project_id, target_type,"
        " target_id, target_name, arguments) VALUES (%s, gen_random_uuid(), 'test.thing.create', 'success', 0,"
        " '', '', '', '', '', '', '', '{}', '', '', '', '', '', '', '', '', '', '{}')",
        moment,
    )


@pytest.fixture
def months(db):
    """The partitions of today: a month may have begun since the tables were made."""
    services.partitions_maintain(system())


def test_the_tables_come_with_partitions_of_this_month_and_three_more(db):
    assert len(partitions() - {"audit_event_default"}) >= 4


def test_months_that_have_partitions_are_left_alone(months):
    assert services.partitions_maintain(system()) == ([], [])
    assert list(reconcile.check_partitions(False)) == []


def test_months_out_of_keeping_are_dropped_with_their_events(months):
    sql("SELECT audit_partition_of('2001-02-01Z')")
    event_of("2001-02-03Z")
    event_of("2001-02-04Z")
    assert Event.objects.filter(at__year=2001).count() == 2
    _made, dropped = services.partitions_maintain(system())
    assert dropped == ["audit_event_2001_02"]
    assert not Event.objects.filter(at__year=2001).exists()


def test_events_of_a_month_without_partition_are_kept_and_move_when_it_is_made(months):
    event_of("2131-05-06Z")
    event_of("2131-07-06Z")
    assert list(reconcile.check_partitions(False)) == ["events lie in no month's partition"]
    made, _dropped = services.partitions_maintain(system())
    assert made == ["audit_event_2131_05", "audit_event_2131_07"]
    assert Event.objects.filter(at__year=2131).count() == 2
    assert sql("SELECT count(*) FROM audit_event_default") == [(0,)]
    assert list(reconcile.check_partitions(False)) == []
    with pytest.raises(Exception, match="append-only"):
        sql("DELETE FROM audit_event_2131_05")


def test_the_doctor_makes_a_missing_month(months):
    (name,) = sql("SELECT 'audit_event_' || to_char(now() + interval '1 month', 'YYYY_MM')")[0]
    sql(f"DROP TABLE {name}")
    assert list(reconcile.check_partitions(True)) == ["next month has no partition: mended"]
    assert name in partitions()


def test_the_duty_begins_at_once_survives_a_database_that_is_away_and_ends_when_told(monkeypatch):
    stop, calls = threading.Event(), []

    def maintain(ctx: Any) -> tuple[list[str], list[str]]:
        calls.append(ctx.is_system)
        if len(calls) == 1:
            raise OperationalError("away")
        stop.set()
        return ["audit_event_2131_01"], []

    monkeypatch.setattr(reconcile.services, "partitions_maintain", maintain)
    monkeypatch.setattr(reconcile, "DUTY_S", 0.0)
    monkeypatch.setattr(reconcile.connection, "close", lambda: None)
    reconcile.look_after(stop)
    assert calls == [True, True]
    assert DAEMONS["audit.partitions"] is reconcile.look_after


# --- the command ------------------------------------------------------------------------------------


@pytest.fixture
def happened(cloud):
    identity.project_create(operator(), name="p\x1b[31m1", domain_id="default")
    project = identity.project_create(operator(), name="p2", domain_id="default")
    identity.project_update(operator(), project_id=project.pk, description="new")


def told(capsys, *args: str) -> list[str]:
    call_command("audit", *args)
    return capsys.readouterr().out.splitlines()


def test_the_command_shows_lines_oldest_first_without_control_characters(happened, capsys):
    head, first, second, third = told(capsys)
    assert head.startswith("TIME (UTC)")
    assert "\x1b" not in first
    assert "identity.project.create" in first
    assert "p2" in second
    assert "description:  → new" in third


def test_the_command_filters_and_writes_json(happened, capsys):
    (line,) = told(capsys, "--action", "identity.project.u", "--target", "p2", "--json", "--since", "1h")
    event = json.loads(line)
    assert event["after"] == {"description": "new"}
    (line,) = told(capsys, "--action", "identity.project.update", "--cadf")
    assert json.loads(line)["action"] == "update"
    assert told(capsys, "--outcome", "failure", "--json") == []
    assert len(told(capsys, "--limit", "1", "--json")) == 1


@pytest.mark.parametrize("args", [("--since", "yesterday"), ("--limit", "0"), ("--outcome", "maybe")])
def test_the_command_says_what_is_wrong(db, args):
    with pytest.raises(CommandError):
        call_command("audit", *args)


def test_spans_of_time_are_understood():
    assert moment("2h") > moment("1d")
    assert moment("2026-01-31T12:00:00").tzinfo is not None


def test_following_tells_each_event_once(happened, capsys, monkeypatch):
    rounds = iter(range(3))

    def instead_of_waiting(seconds: float) -> None:
        if next(rounds) == 2:
            raise KeyboardInterrupt
        identity.project_create(operator(), name=f"later-{len(Event.objects.all())}", domain_id="default")

    monkeypatch.setattr("apps.audit.management.commands.audit.time.sleep", instead_of_waiting)
    lines = told(capsys, "--follow", "--json", "--action", "identity.project.create")
    names = [json.loads(line)["target"]["name"] for line in lines]
    assert len(names) == len(set(names)) == 4
