"""The task log, the lists of operations, and the page of one: steps, times, hosts, reasons."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.web import cells, subjects
from apps.core.web.pages import DetailPage, ListPage, Page
from apps.core.web.tables import Action, Column, Empty, Filter, Table
from apps.operations import selectors, services
from apps.operations.models import Operation
from apps.operations.registry import SAGAS
from apps.operations.states import UNFINISHED, Status
from apps.operations.web import words

SHOWN_IN_LOG = 12
UNTOLD = ("console_log",)  # reads that pass through the engine change nothing


def named(rows: Iterable[Operation]) -> list[Operation]:
    """The rows, each knowing as `subject_name` what its subject is called now; empty when that is gone."""
    listed = list(rows)
    found = subjects.names({(row.subject_type, row.subject_id) for row in listed})
    for row in listed:
        row.subject_name = found.get((row.subject_type, row.subject_id), "")  # type: ignore[attr-defined]
    return listed


def subject_link(row: Any, page: Page) -> Any:
    """What it is about, as a link where that has a page."""
    kind = subjects.of_kind(row.subject_type)
    noun = kind.noun if kind else row.subject_type
    if kind is None or not row.subject_name:
        return format_html('<span class="nowrap"><span class="mono">{}</span> {}</span>', row.subject_id[:8], noun)
    url = page.url(kind.url_name, row.subject_id)
    return format_html(
        '<span class="nowrap"><a href="{}">{}</a> <span class="muted">{}</span></span>', url, row.subject_name, noun
    )


def actor(row: Operation) -> Any:
    """Who asked for it."""
    return (row.actor or {}).get("user_name") or (row.actor or {}).get("user_id") or "Kumo"


def _can_cancel(row: Operation) -> bool:
    saga = SAGAS.get(row.kind)
    return (
        row.status in {Status.PENDING, Status.RUNNING} and not row.cancel_requested and bool(saga and saga.cancellable)
    )


TABLE = Table(
    columns=(
        Column(
            key="what",
            label=_("Operation"),
            lead=True,
            cell=lambda row, page: format_html(
                '<a class="name" href="{}">{}</a>', page.url("operations:operation", row.pk), words.title(row)
            ),
        ),
        Column(key="subject", label=_("About"), cell=subject_link),
        Column(key="status", label=_("Status"), cell=lambda row, page: words.badge(row)),
        Column(key="doing", label=_("Progress"), cell=lambda row, page: words.doing(row)),
        Column(key="actor", label=_("By"), minor=True, cell=lambda row, page: actor(row)),
        Column(key="took", label=_("Took"), number=True, minor=True, cell=lambda row, page: words.took(row)),
        Column(key="started", label=_("Began"), sort="created_at", cell=cells.ago("created_at")),
    ),
    sort="-started",
    search=("kind__icontains", "subject_id__startswith", "request_id__icontains"),
    filters=(
        Filter(
            name="status",
            label=_("Any status"),
            choices={
                "running": (_("Unfinished"), {"status__in": UNFINISHED}),
                "failed": (_("Failed"), {"status": Status.FAILED}),
                "stuck": (_("Stuck"), {"status": Status.STUCK}),
                "done": (_("Done"), {"status": Status.DONE}),
            },
        ),
    ),
    actions=(
        Action(
            name="cancel",
            label=_("Cancel"),
            icon="ban",
            rule="operations:cancel",
            done=_("Cancelling"),
            when=_can_cancel,
            call=lambda ctx, row: services.operation_cancel(ctx, operation_id=row.pk),
            question=_("What it has done so far is taken back."),
        ),
        Action(
            name="retry",
            label=_("Try again"),
            icon="rotate-cw",
            rule="operations:retry",
            done=_("Trying again"),
            when=lambda row: row.status == Status.STUCK,
            call=lambda ctx, row: services.operation_retry(ctx, operation_id=row.pk),
        ),
        Action(
            name="abandon",
            label=_("Give up"),
            icon="x",
            rule="operations:abandon",
            done=_("Given up"),
            danger=True,
            when=lambda row: row.status in UNFINISHED,
            call=lambda ctx, row: services.operation_abandon(ctx, operation_id=row.pk),
            question=_("Nothing is taken back; what it left behind stays until somebody removes it."),
        ),
    ),
    live="operation",
    empty=Empty(
        icon="list-checks",
        title=_("Nothing has happened yet"),
        text=_("Every launch, change and deletion shows up here with its steps, while it runs and afterwards."),
    ),
)


class Operations(ListPage):
    """Operations of this project."""

    title = _("Tasks")
    nav = "operations:operations"
    table = TABLE

    def decorate(self, rows: list[Any]) -> list[dict[str, Any]]:
        return super().decorate(named(rows))

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Operation]:
        mine = selectors.operation_list(ctx).filter(project_id=ctx.project_id, parent_id=None)
        return mine.exclude(subject_type__in=UNTOLD)


class AllOperations(Operations):
    """Operations of every project, for operators."""

    title = _("All tasks")
    nav = "operations:all-operations"

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Operation]:
        policy.enforce(ctx, "operations:retry")
        return selectors.operation_list(ctx)


class Tasks(Page):
    """The log at the foot of every page."""

    def get(self, request: HttpRequest) -> HttpResponse:
        mine = Operations.rows(self.ctx)
        rows = named(mine.order_by("-created_at", "-pk")[:SHOWN_IN_LOG])
        return self.render(
            "operations/tasks.html",
            rows=[_line(row, self) for row in rows],
            running=mine.filter(status__in=UNFINISHED).count(),
            newest=_line(rows[0], self) if rows else None,
        )


def _line(row: Operation, page: Page) -> dict[str, Any]:
    return {
        "row": row,
        "title": words.title(row),
        "subject": subject_link(row, page),
        "badge": words.badge(row),
        "word": words.STATES[Status(row.status)][1],
        "doing": words.doing(row),
        "actor": actor(row),
        "took": words.took(row),
        "running": row.status == Status.RUNNING,
        "unfinished": row.status in UNFINISHED,
        "failed": row.status in {Status.FAILED, Status.STUCK},
    }


class OperationPage(DetailPage):
    """One operation with its steps, its parts and its reason."""

    template = "operations/operation.html"
    list_page = Operations
    live = "operation"

    def row(self, ident: Any) -> Operation:
        return named([selectors.operation_get(self.ctx, operation_id=str(ident))])[0]

    def state(self, row: Operation) -> Any:
        return words.badge(row)

    def facts(self, row: Operation) -> list[tuple[Any, Any]]:
        known = [
            (_("About"), subject_link(row, self)),
            (_("Asked for by"), actor(row)),
            (_("Began"), cells.time_ago(row.created_at)),
            (_("Took"), words.took(row)),
            (_("Request"), cells.copied(row.request_id, f"{row.request_id[:12]}…")),
            (_("Id"), cells.copied(row.pk, f"{str(row.pk)[:8]}…")),
            (_("Kind"), format_html("<code>{}</code>", row.kind)),
        ]
        if self.ctx.is_admin:
            known += [
                (_("Project"), cells.copied(row.project_id, f"{row.project_id[:8]}…")),
                (_("Attempts"), row.attempt),
            ]
        return known

    def more(self, row: Operation) -> dict[str, Any]:
        children = named(selectors.operation_list(self.ctx).filter(parent_id=row.pk)[:100])
        return {
            "title": words.title(row),
            "steps": steps_of(row),
            "doing": words.doing(row) if row.status in UNFINISHED else "",
            "reason": words.reason(row.error) if row.error else "",
            "traceback": self._traceback(row),
            "children": [_line(child, self) for child in children],
            "percent": row.percent if row.status == Status.RUNNING else None,
        }

    def _traceback(self, row: Operation) -> str:
        shown = isinstance(row.error, dict) and self.allowed("operations:traceback")
        return str(row.error.get("traceback") or "") if shown and row.error else ""


def steps_of(operation: Operation) -> list[dict[str, Any]]:
    """Every step of the kind in order: those that have begun with their times, the others as still to come."""
    saga = SAGAS.get(operation.kind)
    begun = {step.name: step for step in operation.steps.all()}
    names = [step.name for step in saga.steps] if saga else []
    names += [name for name in begun if name not in names]
    return [_step(operation, name, begun.get(name)) for name in names]


def _step(operation: Operation, name: str, step: Any) -> dict[str, Any]:
    shown: dict[str, Any] = {"title": words.step_title(operation.kind, name), "host": "", "took": "", "error": ""}
    if step is None:
        skipped = operation.status in {Status.FAILED, Status.ABANDONED, Status.DONE}
        return shown | {
            "tone": "",
            "icon": "circle-dot",
            "word": gettext("Not needed") if skipped else gettext("To come"),
        }
    tone, icon, word = words.STEP_STATES.get(step.status, ("", "circle-dot", step.status))
    if step.error:
        tone, icon, word = "bad", "circle-alert", gettext("Failed")
    elif tone == "busy" and operation.status not in UNFINISHED:
        tone, icon, word = "", "circle-dot", gettext("Unfinished")
    began = timezone.localtime(step.started_at).strftime("%H:%M:%S")
    return shown | {
        "tone": tone,
        "icon": icon,
        "word": word,
        "host": step.host,
        "began": began,
        "took": words.took(step),
        "error": words.reason(step.error),
    }
