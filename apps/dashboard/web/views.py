"""Where a visit begins, and what every page has around it: projects, palette, the ticket of the live stream."""

from __future__ import annotations

from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views import View

from apps.core.web import palette
from apps.core.web.pages import Page
from apps.dashboard import sessions
from apps.dashboard.live import ticket


class Home(View):
    """`/` leads to the project that was used last, or to the first one."""

    def get(self, request: HttpRequest) -> HttpResponse:
        user = sessions.person(request)
        if user is None:
            return redirect("sign-in")
        projects = sessions.projects_of(user)
        if not projects:
            return render(request, "dashboard/no_project.html", {"user": user}, status=403)
        last = request.session.get("project")
        chosen = next((p for p in projects if p["id"] == last), None)
        chosen = chosen or next((p for p in projects if p["id"] == user.default_project_id), projects[0])
        return redirect("dashboard:overview", chosen["slug"])


class Projects(Page):
    """The switcher's list. The same page in the other project, where that makes sense, else its overview."""

    def get(self, request: HttpRequest) -> HttpResponse:
        user = sessions.person(request)
        projects = sessions.projects_of(user) if user else []
        shown = [p | {"current": p["id"] == self.ctx.project_id} for p in projects]
        return render(request, "dashboard/projects.html", {"projects": shown})


class Palette(Page):
    """What fits the words typed into the palette."""

    def get(self, request: HttpRequest) -> HttpResponse:
        groups = palette.find(self.ctx, self.project, request.GET.get("q", "")[:200])
        return render(request, "dashboard/palette.html", {"groups": groups})


class LiveTicket(Page):
    """The address of this project's live stream, good for one minute."""

    def get(self, request: HttpRequest) -> HttpResponse:
        text = ticket.issue(settings.SECRET_KEY, project_id=self.ctx.project_id, everything=self.ctx.is_admin)
        response = JsonResponse({"url": f"/live?ticket={quote(text)}"})
        response["Cache-Control"] = "no-store"
        return response
