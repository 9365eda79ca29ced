"""Signing in by an identity provider: away to it, and back with its word."""

from __future__ import annotations

import msgspec
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views import View

from apps.core.errors import KumoError, Unavailable
from apps.dashboard import sessions
from apps.identity import services as identity

_KEPT = "federation"  # in the session, where only this browser can finish what it began


class Begin(View):
    """Send the browser to its identity provider."""

    def get(self, request: HttpRequest, provider: str, protocol: str) -> HttpResponse:
        back = f"{settings.CONFIG.public.url}{reverse('federated-callback')}"
        try:
            url, attempt = identity.federated_begin(provider_id=provider, protocol_id=protocol, redirect_uri=back)
        except KumoError as error:
            return _refused(request, error)
        request.session[_KEPT] = msgspec.json.encode(attempt).decode()
        return redirect(url)


class Callback(View):
    """The browser is back: a session for whom the provider says it is."""

    def get(self, request: HttpRequest) -> HttpResponse:
        kept = request.session.pop(_KEPT, None)
        if kept is None:
            return _refused(request)
        attempt = msgspec.json.decode(kept, type=identity.FederatedAttempt)
        try:
            user, _protocol = identity.federated_finish(
                attempt=attempt, state=request.GET.get("state", ""), code=request.GET.get("code", "")
            )
        except KumoError as error:
            return _refused(request, error)
        sessions.open_session(request, user)
        return redirect("home")


def _refused(request: HttpRequest, error: KumoError | None = None) -> HttpResponse:
    """Back to the door, with the reason as far as it helps."""
    if isinstance(error, Unavailable):
        messages.warning(request, _("The identity provider does not answer. Try again in a moment."))
    else:
        messages.warning(request, _("The identity provider did not sign you in here. Ask your administrator."))
    return redirect("sign-in")
