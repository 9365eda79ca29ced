from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.operations import engine
from apps.operations.models import Operation
from apps.operations.states import Status
from tests.kit import operations as ops
from tests.kit.demo import make
from tests.kit.http import AUTHENTICATION, Caller, context

MEMBER = context("p1")


@pytest.fixture(autouse=True)
def _authentication(settings: Any) -> None:
    settings.KUMO_AUTHENTICATION = AUTHENTICATION


@pytest.fixture
def failed() -> Operation:
    ops.enrol("hv-1", {})
    with ops.committed():
        operation = make.create("")
    ops.settle()
    operation.refresh_from_db()
    assert operation.status == Status.FAILED
    return operation


@pytest.fixture
def waiting() -> Operation:
    with ops.committed():
        operation = make.create("hv-1", parts=0, network="down")
    ops.settle()
    operation.refresh_from_db()
    return operation


def test_owner_sees_operation_and_steps(waiting: Operation) -> None:
    shown = Caller(MEMBER)("GET", f"/operations/{waiting.pk}").json()["operation"]
    assert shown["status"] == "running"
    assert shown["title"] == "Launch guest"
    assert (shown["step"], shown["waits_for"], shown["percent"]) == ("network", "rows", 33)
    assert [(s["name"], s["status"]) for s in shown["steps"]] == [
        ("place", "done"), ("parts", "done"), ("network", "started")]  # fmt: skip
    assert "traceback" not in shown


def test_failure_is_told_without_its_traceback(failed: Operation) -> None:
    Operation.objects.filter(pk=failed.pk).update(
        error=(failed.error or {}) | {"traceback": "secret", "undo": {"message": "x", "traceback": "secret"}}
    )
    answer = Caller(MEMBER)("GET", f"/operations/{failed.pk}")
    assert answer.json()["operation"]["error"]["message"] == "No valid host was found."
    assert b"secret" not in answer.content
    admin = Caller(context("ops", "admin"))("GET", f"/operations/{failed.pk}").json()["operation"]
    assert admin["traceback"] == "secret"


def test_list_is_scoped_filtered_and_paged(failed: Operation, waiting: Operation) -> None:
    caller = Caller(MEMBER)
    assert len(caller("GET", "/operations").json()["operations"]) == 2
    found = caller("GET", "/operations?status=failed").json()["operations"]
    assert [o["id"] for o in found] == [str(failed.pk)]
    page = caller("GET", "/operations?limit=1").json()
    assert [o["id"] for o in page["operations"]] == [str(waiting.pk)]
    rest = caller("GET", f"/operations?limit=1&marker={waiting.pk}").json()
    assert [o["id"] for o in rest["operations"]] == [str(failed.pk)]
    assert Caller(context("p2"))("GET", "/operations").json()["operations"] == []
    assert len(Caller(context("ops", "admin"))("GET", "/operations").json()["operations"]) == 2


@pytest.mark.parametrize("path", ["", "/cancel", "/retry", "/abandon"])
def test_others_see_and_change_nothing(waiting: Operation, path: str) -> None:
    answer = Caller(context("p2"))("POST" if path else "GET", f"/operations/{waiting.pk}{path}")
    assert answer.status_code in (403, 404)
    assert Caller(None)("POST" if path else "GET", f"/operations/{waiting.pk}{path}").status_code == 401
    before, after = waiting.status, Operation.objects.get(pk=waiting.pk)
    assert (after.status, after.cancel_requested) == (before, False)


def test_cancel(waiting: Operation) -> None:
    answer = Caller(MEMBER)("POST", f"/operations/{waiting.pk}/cancel")
    assert answer.status_code == 202
    assert answer.json()["operation"]["cancel_requested"] is True
    ops.settle()
    waiting.refresh_from_db()
    assert waiting.status == Status.FAILED
    again = Caller(MEMBER)("POST", f"/operations/{waiting.pk}/cancel")
    assert again.status_code == 409
    assert again.json()["error"]["message"] == f"Operation {waiting.pk} is failed."


def test_members_do_not_retry_or_abandon(waiting: Operation) -> None:
    for verb in ("retry", "abandon"):
        assert Caller(MEMBER)("POST", f"/operations/{waiting.pk}/{verb}").status_code == 403
    waiting.refresh_from_db()
    assert waiting.status == Status.RUNNING


def test_administrators_abandon(waiting: Operation) -> None:
    admin = Caller(context("ops", "admin"))
    assert admin("POST", f"/operations/{waiting.pk}/retry").status_code == 409
    answer = admin("POST", f"/operations/{waiting.pk}/abandon")
    assert (answer.status_code, answer.json()["operation"]["status"]) == (202, "abandoned")


@pytest.mark.parametrize("ident", ["nonsense", "5f2d5b67-9c3a-4b8a-8a6e-6d2f6f0a1b11"])
def test_unknown_operation_is_not_found(ident: str) -> None:
    assert Caller(MEMBER)("GET", f"/operations/{ident}").status_code == 404
    assert Caller(MEMBER)("POST", f"/operations/{ident}/cancel").status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
def test_operations_are_not_written(waiting: Operation, method: str) -> None:
    assert Caller(MEMBER)(method, f"/operations/{waiting.pk}", {}).status_code == 405


# --- the operator's command ------------------------------------------------------------------------


def test_command_lists_unfinished_operations(
    failed: Operation, waiting: Operation, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("operation", "list")
    written = capsys.readouterr().out
    assert str(waiting.pk) in written
    assert str(failed.pk) not in written
    call_command("operation", "list", "--all")
    assert "No valid host was found." in capsys.readouterr().out
    call_command("operation", "list", "--stuck")
    assert str(waiting.pk) not in capsys.readouterr().out


def test_command_shows_steps_and_reason(failed: Operation, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("operation", "show", str(failed.pk))
    written = capsys.readouterr().out
    assert "No valid host was found." in written
    assert f"guest {failed.subject_id}" in written


def test_command_abandons_and_says_so(waiting: Operation, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("operation", "abandon", str(waiting.pk))
    assert "nothing was undone" in capsys.readouterr().out
    with pytest.raises(CommandError, match="is abandoned"):
        call_command("operation", "abandon", str(waiting.pk))
    with pytest.raises(CommandError, match="could not be found"):
        call_command("operation", "show", "nonsense")
    engine.advance(waiting.pk)
