"""The audit log as a list with filters, and one event with what it changed."""

from __future__ import annotations

import datetime
import json
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from apps.audit import selectors
from apps.audit.models import Event
from apps.audit.resources import EVENT
from apps.audit.states import Outcome
from apps.core.api.resource import FIRST, SHOW, Env
from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.web import cells, subjects
from apps.core.web.pages import DetailPage, ListPage, Page
from apps.core.web.tables import Column, Empty, Filter, Table

MOST_COUNTED = 10_000  # counting all events of years would take longer than anybody waits
OUTCOMES = {Outcome.SUCCESS: ("ok", _("Done")), Outcome.FAILURE: ("bad", _("Refused"))}
DEFAULT_SPAN = datetime.timedelta(days=30)
RANGES: dict[str, tuple[str | Promise, datetime.timedelta | None]] = {
    "hour": (_("Last hour"), datetime.timedelta(hours=1)),
    "day": (_("Last 24 hours"), datetime.timedelta(days=1)),
    "week": (_("Last 7 days"), datetime.timedelta(days=7)),
    "all": (_("All that is kept"), None),
}
SERVICES: dict[str, str | Promise] = {
    "identity": _("Identity"),
    "compute": _("Compute"),
    "network": _("Network"),
    "image": _("Images"),
    "objectstore": _("Objects"),
    "hosts": _("Hosts"),
    "operations": _("Tasks"),
}


def outcome(row: Event, page: Page) -> Any:
    """Done, or refused with its status."""
    tone, word = OUTCOMES[Outcome(row.outcome)]
    return cells.badge(tone, f"{word} · {row.code}" if row.code else word)


def who(row: Event, page: Page) -> Any:
    """The user's name, or what stands in its place."""
    return row.user_name or row.user_id or cells.NOTHING


def _noun(row: Event) -> str:
    return row.target_type.split(".", 1)[-1].replace("_", " ")


def target(row: Event, page: Page) -> Any:
    """What it was about. No link: in a list each would cost a query."""
    return format_html('{} <span class="muted">{}</span>', row.target_name or row.target_id[:8], _noun(row))


def linked_target(row: Event, page: Page) -> Any:
    """The same as a link, where the thing still has a page."""
    kind = subjects.of_kind(row.target_type.split(".", 1)[-1].replace("_", ""))
    if kind is None or not row.target_id or not kind.names([row.target_id]):
        return target(row, page)
    url = page.url(kind.url_name, row.target_id)
    name = row.target_name or row.target_id[:8]
    return format_html('<a href="{}">{}</a> <span class="muted">{}</span>', url, name, kind.noun)


TABLE = Table(
    columns=(
        Column(
            key="action",
            label=_("Action"),
            lead=True,
            cell=lambda row, page: format_html(
                '<a class="name mono" href="{}">{}</a>', page.url("audit:event", row.id), row.action
            ),
        ),
        Column(key="outcome", label=_("Outcome"), cell=outcome),
        Column(key="target", label=_("About"), cell=target),
        Column(key="user", label=_("By"), cell=who),
        Column(key="address", label=_("From"), minor=True, cell=cells.text("address")),
        Column(key="at", label=_("When"), sort="at", cell=cells.ago("at")),
    ),
    sort="-at",
    search=(
        "action__icontains", "user_name__icontains", "target_name__icontains", "target_id__startswith",
        "request_id__startswith", "address__startswith",
    ),
    filters=(
        Filter(
            name="outcome",
            label=_("Any outcome"),
            choices={o.value: (OUTCOMES[o][1], {"outcome": o.value}) for o in Outcome},
        ),
        Filter(
            name="service",
            label=_("Any service"),
            choices={name: (word, {"action__startswith": f"{name}."}) for name, word in SERVICES.items()},
        ),
        Filter(name="range", label=_("Last 30 days"), choices={name: (pair[0], {}) for name, pair in RANGES.items()}),
    ),
    empty=Empty(
        icon="scroll-text",
        title=_("Nothing happened yet"),
        text=_("What you change, and what is refused to you, is written here for good."),
    ),
    key="id",
)  # fmt: skip


class Events(ListPage):
    title = _("Audit log")
    nav = "audit:events"
    table = TABLE

    @staticmethod
    def rows(ctx: RequestContext) -> QuerySet[Event]:
        return selectors.event_list(ctx)

    def queryset(self) -> QuerySet[Event]:
        _word, span = RANGES.get(self.request.GET.get("range", ""), ("", DEFAULT_SPAN))
        rows = self.rows(self.ctx)
        return rows.filter(at__gte=timezone.now() - span) if span else rows

    def total(self, rows: QuerySet[Any]) -> Any:
        found = rows[: MOST_COUNTED + 1].count()
        return f"{MOST_COUNTED:,}+" if found > MOST_COUNTED else found


class EventPage(DetailPage):
    """One event: who, from where, on what, and what it was before and after."""

    template = "audit/event.html"
    list_page = Events

    def row(self, ident: Any) -> Event:
        found = selectors.event_get(self.ctx, event_id=ident).first()
        if found is None:
            raise NotFound(gettext("event"), ident)
        return found

    def state(self, row: Event) -> Any:
        return outcome(row, self)

    def head(self, row: Event, ident: Any) -> dict[str, Any]:
        return super().head(row, ident) | {"title": row.action}

    def facts(self, row: Event) -> list[tuple[Any, Any]]:
        return [
            (_("When"), format_html("{} ({})", f"{row.at:%Y-%m-%d %H:%M:%S} UTC", cells.time_ago(row.at))),
            (_("By"), who(row, self)),
            (_("Roles"), cells.tags(row.roles)),
            (_("Scope"), f"{row.scope} {row.scope_id}".strip()),
            (_("Signed in by"), row.credential),
            (_("From"), cells.copied(row.address)),
            (_("Client"), row.agent),
            (_("About"), linked_target(row, self)),
            (_("Its id"), cells.copied(row.target_id)),
            (_("Rule"), cells.copied(row.rule)),
            (_("Reason"), row.reason),
            (_("Request"), cells.copied(row.request_id)),
            (_("Caller's request"), cells.copied(row.global_request_id)),
        ]

    def more(self, row: Event) -> dict[str, Any]:
        env = Env(self.ctx, FIRST, "")
        rendered = EVENT.renderer(EVENT.visible(SHOW, FIRST, self.ctx))(vars(row), env)
        before, after = row.before or {}, row.after or {}
        names = sorted({*before, *after})
        return {
            "changes": [(name, _shown(before.get(name)), _shown(after.get(name))) for name in names],
            "made": not before,
            "gone": not after,
            "arguments": [(name, _shown(value)) for name, value in sorted(row.arguments.items())],
            "raw": json.dumps(rendered, indent=2, ensure_ascii=False, default=str),
        }


def _shown(value: Any) -> str:
    """A value as text; JSON where it has parts."""
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
