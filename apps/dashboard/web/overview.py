"""The first page of a project: what it has, what it does, what needs somebody, and the first step when it is empty."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from apps.core.web.pages import Page
from apps.dashboard import summary

STATES = {
    "building": ("busy", _("Building")),
    "active": ("ok", _("Active")),
    "paused": ("idle", _("Paused")),
    "suspended": ("idle", _("Suspended")),
    "shutoff": ("off", _("Shut off")),
    "error": ("bad", _("Error")),
}


class Overview(Page):
    template = "dashboard/overview.html"
    title = _("Overview")
    nav = "dashboard:overview"

    def get(self, request: HttpRequest) -> HttpResponse:
        states, has = summary.server_counts(self.ctx), summary.counts(self.ctx)
        attention, latest = summary.tasks(self.ctx)
        return self.render(
            quotas=summary.quotas(self.ctx, has),
            counts=[(state, *STATES[state], n) for state, n in states.items()],
            recent=summary.recent_servers(self.ctx) if states else [],
            tasks=latest,
            attention=attention,
            steps={"key": not has["key_pair"], "network": not has["network"]},
            empty=not states,
            cloud=has if "hosts" in has else None,
        )
