"""Puts `ctx` on requests whose address names a project."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from apps.core.errors import NotFound, Unauthorized
from apps.dashboard import sessions


class PersonMiddleware:
    """Everything below `/p/<project>/` is for somebody who has a role there; other pages pass without a context."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if "project" not in kwargs:
            return
        user = sessions.person(request)
        if user is None:
            raise Unauthorized(_("Sign in first."))
        last = request.session.get("project") or ""
        ctx = sessions.context_in(user, kwargs["project"], getattr(request, "request_id", ""), last)
        if ctx is None:
            raise NotFound(_("project"), kwargs["project"], hint=_("It does not exist, or you have no role in it."))
        request.ctx = ctx  # type: ignore[attr-defined]
        if request.session.get("project") != ctx.project_id:
            request.session["project"] = ctx.project_id
        sessions.touch(request)
