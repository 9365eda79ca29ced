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
        counts = summary.server_counts(self.ctx)
        return self.render(
            quotas=summary.quotas(self.ctx),
            counts=[(state, *STATES[state], n) for state, n in counts.items()],
            servers=sum(counts.values()),
            recent=summary.recent_servers(self.ctx),
            tasks=summary.running(self.ctx),
            attention=summary.attention(self.ctx),
            steps=summary.next_steps(self.ctx) if not counts else {},
            empty=not counts,
            cloud=summary.cloud(self.ctx) if self.allowed("hosts:list") else None,
        )
