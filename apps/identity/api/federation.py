"""`/v3/OS-FEDERATION/…` and the addresses below `/v3/auth/OS-FEDERATION` that browsers go to."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import sealing
from apps.core.api.faults import plain
from apps.core.api.resource import CREATE, SHOW
from apps.core.api.views import ApiView, Crud
from apps.core.errors import Forbidden, Invalid, KumoError, Unauthorized
from apps.identity import resources, selectors, services
from apps.identity.api.auth import token_answer
from apps.identity.api.base import IDENTITY, IdentityView
from apps.identity.api.views import AuthDomains, AuthProjects
from apps.identity.backends.oidc import ATTEMPT_S, Attempt

_COOKIE = "kumo_federation"
_CALLBACK = "/identity/v3/auth/OS-FEDERATION/websso/callback"


class NamedView(IdentityView):
    """A resource whose id the caller chooses: `PUT` of its address makes it."""

    def _handler(self, method: str) -> Any:
        if method == "put" and "ident" in self.kwargs and self.calls.create is not None:
            return self.make
        return None if method == "post" else super()._handler(method)

    def make(self, request: Request, **_: Any) -> Response:
        arguments = self._arguments(CREATE, request.data)
        assert self.calls.create is not None
        self.calls.create(self.ctx, **self.target, **arguments)
        assert self.calls.get is not None
        return Response(self._render_one(self.calls.get(self.ctx, **self.target), SHOW), status=201)

    def update(self, request: Request, **_: Any) -> Response:
        assert self.calls.update is not None
        self.calls.update(self.ctx, **self.target, **self._arguments("update", request.data))
        assert self.calls.get is not None
        return Response(self._render_one(self.calls.get(self.ctx, **self.target), SHOW))


class IdentityProviders(NamedView):
    resource = resources.IDENTITY_PROVIDER
    calls = Crud.of("identity_provider", selectors, services)


class Mappings(NamedView):
    resource = resources.FEDERATION_MAPPING
    calls = Crud.of("mapping", selectors, services)


class Protocols(NamedView):
    resource = resources.FEDERATION_PROTOCOL
    calls = Crud.of("protocol", selectors, services)


class ServiceProviders(NamedView):
    resource = resources.SERVICE_PROVIDER
    calls = Crud.of("service_provider", selectors, services)


class FederatedAuth(ApiView):
    """`…/protocols/{id}/auth`: an access token of the provider for an unscoped token of ours."""

    api = IDENTITY
    public = True

    def get(self, request: Request, provider_id: str, protocol_id: str) -> HttpResponse:
        scheme, _, access_token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not access_token.strip():
            raise Unauthorized(services.REQUIRED)
        token, session = services.federated_token(
            provider_id=provider_id, protocol_id=protocol_id, access_token=access_token.strip()
        )
        return token_answer(token, session, request, status=201)

    post = get


# --- browsers -----------------------------------------------------------------------------------------


def websso(request: HttpRequest, protocol_id: str, provider_id: str = "") -> HttpResponseBase:
    """Send a browser to its identity provider; `origin` is the dashboard that gets the token afterwards."""
    try:
        if request.method != "GET":
            raise Invalid("Browsers come here by GET.")
        origin = _trusted(request.GET.get("origin", ""))
        if not provider_id:
            provider_id = selectors.protocol_of(request.GET.get("remote_id", ""), protocol_id).provider_id
        url, attempt = services.federated_begin(
            provider_id=provider_id,
            protocol_id=protocol_id,
            redirect_uri=f"{settings.CONFIG.public.url}{_CALLBACK}",
            origin=origin,
        )
    except KumoError as error:
        return plain(request, error)
    answer = HttpResponseRedirect(url)
    kept = sealing.seal(msgspec.json.encode(attempt)).decode()
    answer.set_cookie(
        _COOKIE,
        kept,
        max_age=int(ATTEMPT_S),
        path=_CALLBACK,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return _unkept(answer)


def websso_callback(request: HttpRequest) -> HttpResponseBase:
    """Back from the provider: a form that brings the token to the dashboard, as Keystone's page does."""
    try:
        attempt = _attempt(request)
        user, protocol = services.federated_finish(
            attempt=attempt, state=request.GET.get("state", ""), code=request.GET.get("code", "")
        )
        token, _ = services.token_of_federated(user, protocol)
        nonce = secrets.token_urlsafe(16)
        answer: HttpResponseBase = render(
            request, "identity/websso.html", {"origin": _trusted(attempt.origin), "token": token, "nonce": nonce}
        )
        answer["Content-Security-Policy"] = f"default-src 'none'; script-src 'nonce-{nonce}'; frame-ancestors 'none'"
    except KumoError as error:
        answer = plain(request, error)
    answer.delete_cookie(_COOKIE, path=_CALLBACK, samesite="Lax")
    return _unkept(answer)


def _attempt(request: HttpRequest) -> Attempt:
    kept = request.COOKIES.get(_COOKIE, "")
    try:
        return msgspec.json.decode(sealing.unseal(kept.encode()), type=Attempt)
    except (KumoError, msgspec.DecodeError) as error:
        raise Unauthorized("This browser has begun no sign-in here, or too long ago.") from error


def _trusted(origin: str) -> str:
    """Tokens go to dashboards that the configuration names, and to no other place."""
    if origin not in settings.CONFIG.identity.trusted_dashboards:
        raise Forbidden(f"{origin or 'No origin'} is not a trusted dashboard host.")
    return origin


def _unkept(answer: HttpResponseBase) -> HttpResponseBase:
    answer["Cache-Control"] = "no-store"
    answer["Referrer-Policy"] = "no-referrer"
    return answer


def federation_urls() -> list[URLPattern]:
    """Every address."""
    root, auth = "/v3/OS-FEDERATION", "/v3/auth/OS-FEDERATION"
    providers = f"{root}/identity_providers"
    return [
        path(f"{providers}/<str:provider_id>/protocols/<str:protocol_id>/auth", FederatedAuth.as_view()),
        *Protocols.urls(f"{providers}/<str:provider_id>/protocols"),
        *IdentityProviders.urls(providers),
        *Mappings.urls(f"{root}/mappings"),
        *ServiceProviders.urls(f"{root}/service_providers"),
        path(f"{root}/projects", AuthProjects.as_view(list_view="detail")),
        path(f"{root}/domains", AuthDomains.as_view(list_view="detail")),
        path(f"{auth}/websso/callback", websso_callback),
        path(f"{auth}/websso/<str:protocol_id>", websso),
        path(f"{auth}/identity_providers/<str:provider_id>/protocols/<str:protocol_id>/websso", websso),
    ]
