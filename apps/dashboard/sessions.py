"""Browser sessions: who is signed in, the context a page runs with, and the projects one may switch to.

Roles are resolved at every request, as for a token, so what is taken away is gone at the next click. A session ends
when the user's tokens end: it carries the generation it was opened at.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from typing import Any, cast

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest
from django.middleware.csrf import rotate_token
from django.utils import timezone

from apps.core.api.middleware import client_address
from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector, service
from apps.dashboard.models import WebSession
from apps.dashboard.store import SessionStore, digest
from apps.identity import selectors as identity
from apps.identity.models import Assignment, Project, User
from apps.identity.states import Scope

_PLAIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
MOST_NAMESAKES = 50
SEEN_EVERY = timedelta(minutes=1)


def open_session(request: HttpRequest, user: User) -> None:
    """Begin a session under a new id; the one that existed before is thrown away, and with it all that ran out.

    It ends half a day later, however busy it is.
    """
    request.session.clear_expired()
    last = request.session.get("project")
    request.session.flush()
    now = timezone.now()
    request.session.update(
        {
            "user_id": user.pk,
            "generation": user.token_generation,
            "project": last,
            "address": client_address(request) or None,
            "browser": request.headers.get("User-Agent", ""),
            "opened_at": now.isoformat(),
        }
    )
    request.session.set_expiry(now + timedelta(seconds=settings.SESSION_COOKIE_AGE))
    rotate_token(request)


def person(request: HttpRequest) -> User | None:
    """The signed-in user, while the session holds."""
    user = cast(SessionStore, request.session).user
    if user is None or not (user.enabled and user.domain.enabled):
        return None
    return user if user.token_generation == request.session.get("generation") else None


def touch(request: HttpRequest) -> None:
    """Note, at most once a minute, that the session is in use and from where."""
    row = cast(SessionStore, request.session).row
    if row is not None and row.seen_at < timezone.now() - SEEN_EVERY:
        request.session["address"] = client_address(request) or None


@selector("anyone")
def web_session_list(ctx: RequestContext) -> QuerySet[WebSession]:
    """The sessions that the caller is signed in by."""
    mine = WebSession.objects.filter(user_id=ctx.user_id, generation=F("user__token_generation"))
    return mine.filter(expire_date__gt=timezone.now())


@service("anyone")
def web_session_end(ctx: RequestContext, *, web_session_id: str = "", all_but: str = "") -> int:
    """End one of the caller's sessions, or all but one; how many that were. Raises NotFound for one that is not."""
    mine = web_session_list(ctx)
    ended = mine.filter(pk=web_session_id) if web_session_id else mine.exclude(pk=all_but)
    count, _by_kind = ended.delete()
    if web_session_id and not count:
        raise NotFound("session", web_session_id)
    return count


def current_key(request: HttpRequest) -> str:
    """How the request's own session is stored."""
    return digest(request.session.session_key or "")


def context_in(user: User, slug: str, request_id: str, last: str = "") -> RequestContext | None:
    """The user's context in the project of that id or, among those they have a role in, that name.

    Of several with the name it is the one whose id is `last`, the project that was used before.
    """
    again = identity.web_context(user.pk, last, request_id) if last else None
    if again is not None and slug in {again.project_id, again.project_name}:
        return again
    named = Project.objects.filter(Q(pk=slug) | Q(name=slug), is_domain=False).values_list("pk", flat=True)
    for ident in sorted(named[:MOST_NAMESAKES], key=lambda pk: pk != slug):
        ctx = identity.web_context(user.pk, ident, request_id)
        if ctx is not None:
            return ctx
    return None


def projects_of(user: User) -> list[dict[str, Any]]:
    """Projects the user has a role in, by name, each with how it stands in addresses: its name where that is clear."""
    found = sorted(_with_role(user), key=lambda p: p.name)
    names = Counter(p.name for p in found)
    return [
        {"id": p.pk, "name": p.name, "slug": p.name if names[p.name] == 1 and _PLAIN.match(p.name) else p.pk}
        for p in found
    ]


def _with_role(user: User) -> list[Project]:
    """Projects with an assignment of the user or their groups, on themselves or inherited from above."""
    own = Q(user=user) | Q(group__users=user)
    direct = Assignment.objects.filter(own, scope=Scope.PROJECT, inherited=False).values("target_id")
    above = Project.objects.filter(pk__in=Assignment.objects.filter(own, inherited=True).values("target_id"))
    domains = {p.domain_id or p.pk for p in above}
    near = Project.objects.filter(Q(pk__in=direct) | Q(domain_id__in=domains), is_domain=False, enabled=True)
    return [p for p in near if identity.web_context(user.pk, p.pk, "") is not None]
