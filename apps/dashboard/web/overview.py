"""The first page of a project."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from apps.core.web.pages import Page


class Overview(Page):
    """What the project has, and what needs somebody."""

    template = "core/frame.html"
    title = _("Overview")
    nav = "dashboard:overview"

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.render()
