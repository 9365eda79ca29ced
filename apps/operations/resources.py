"""What Kumo's own API shows of operations and their steps."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.aggregates import JSONBAgg
from django.db.models import F as Column
from django.db.models import OuterRef, Subquery, Value
from django.db.models.functions import JSONObject

from apps.core.api import types as t
from apps.core.api.resource import SHOW, Env, F, Resource, Row
from apps.operations.models import Step
from apps.operations.registry import SAGAS
from apps.operations.states import Status, WaitsFor

TRACEBACK = "operations:traceback"
_STEP = ("name", "status", "host", "error", "started_at", "finished_at")


def steps() -> Subquery:
    """The steps of an operation, in order, as one JSON column."""
    rows = Step.objects.filter(operation_id=OuterRef("pk")).order_by().annotate(_all=Value(1)).values("_all")
    shown = JSONObject(**{name: Column(name) for name in _STEP})
    return Subquery(rows.annotate(found=JSONBAgg(shown, order_by="id")).values("found"))


def fault(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """A stored failure without its tracebacks."""
    if error is None:
        return None
    shown = {name: value for name, value in error.items() if name != "traceback"}
    return shown | {"undo": fault(error["undo"])} if "undo" in error else shown


def _title(row: Row, env: Env) -> str:
    saga = SAGAS.get(row["kind"])
    return saga.title if saga and saga.title else row["kind"]


def _fault(row: Row, env: Env) -> dict[str, Any] | None:
    return fault(row["error"])


def _traceback(row: Row, env: Env) -> str | None:
    return (row["error"] or {}).get("traceback") or None


def _steps(row: Row, env: Env) -> list[dict[str, Any]]:
    return [step | {"error": fault(step["error"])} for step in row["steps_json"] or ()]


def _user(row: Row, env: Env) -> str | None:
    return row["actor"].get("user_id") or None


OPERATION = Resource(
    "operation",
    "operations",
    (
        F("id", t.uuid, sort="id"),
        F("kind", t.text(64), filter="kind", sort="kind"),
        F("title", t.text(), value=_title, needs=("kind",)),
        F("status", t.enum(Status), filter="status", sort="status"),
        F("step", t.text(64), source="cursor"),
        F("waits_for", t.enum(WaitsFor)),
        F("percent", t.integer(0, 100)),
        F("progress", t.text(200)),
        F("cancel_requested", t.flag),
        F("subject_type", t.text(32), filter="subject_type"),
        F("subject_id", t.text(64), filter="subject_id"),
        F("project_id", t.text(64), filter="project_id"),
        F("user_id", t.text(64, null=True), value=_user, needs=("actor",)),
        F("request_id", t.text(64), filter="request_id"),
        F("parent_id", t.uuid.nullable(), filter="parent_id"),
        F("error", t.anything, value=_fault, needs=("error",)),
        F("traceback", t.text(100_000, null=True), on=(SHOW,), value=_traceback, needs=("error",), rule=TRACEBACK),
        F("steps", t.anything, on=(SHOW,), value=_steps, needs=("steps_json",)),
        F("created_at", t.time, sort="created_at"),
        F("started_at", t.time),
        F("finished_at", t.time, sort="finished_at"),
    ),
    annotations={"steps_json": steps()},
)
