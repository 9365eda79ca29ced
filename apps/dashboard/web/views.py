"""The door, and what every page has around it: projects, palette, the ticket of the live stream."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views import View

from apps.core.errors import KumoError
from apps.core.web import palette
from apps.core.web.pages import Page
from apps.dashboard import sessions
from apps.dashboard.live import ticket
from apps.dashboard.web.forms import SignInForm
from apps.identity import services as identity


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


class SignIn(View):
    """Name and password for a session. A session that existed before is thrown away, its id with it."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if sessions.person(request) is not None:
            return redirect(_inside(request, request.GET.get("next", "")))
        return self._show(request, SignInForm(initial={"domain": "Default"}))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = SignInForm(request.POST)
        if form.is_valid():
            given = form.cleaned_data
            who = {"name": given["name"], "domain_name": given["domain"]}
            try:
                with identity.sign_in_event(methods=("session", "password"), **who) as event:
                    user = event.user = identity.sign_in(password=given["password"], **who)
            except KumoError:
                form.add_error(None, _("No user with this name and password. Check both, and the domain."))
            else:
                sessions.open_session(request, user)
                return redirect(_inside(request, request.GET.get("next", "")))
        return self._show(request, form, 401)

    def _show(self, request: HttpRequest, form: SignInForm, status: int = 200) -> HttpResponse:
        site = urlsplit(settings.CONFIG.public.url).netloc
        return render(request, "dashboard/sign_in.html", {"form": form, "site": site}, status=status)


def _inside(request: HttpRequest, address: str) -> str:
    """Where to go after signing in: only addresses of this site."""
    own = url_has_allowed_host_and_scheme(address, allowed_hosts=None) and address.startswith("/p/")
    return address if own else "/"


class SignOut(View):
    """Ends the session."""

    def post(self, request: HttpRequest) -> HttpResponse:
        user = sessions.person(request)
        if user is not None:
            identity.sign_out_event(user)
        request.session.flush()
        return redirect("sign-in")


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
