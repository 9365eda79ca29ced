"""`/v3/OS-OAUTH1/…` (OAuth 1.0a) and `/v3/OS-OAUTH2/token` (RFC 6749, client credentials)."""

from __future__ import annotations

import base64
import binascii
import datetime
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import unquote_plus, urlencode

from django.conf import settings
from django.http import HttpResponse
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.resource import CREATE, SHOW
from apps.core.api.views import ApiView, Crud
from apps.core.errors import Invalid, KumoError
from apps.identity import resources, selectors, services
from apps.identity.api.auth import signed_request
from apps.identity.api.base import IDENTITY, IdentityView
from apps.identity.api.documents import moment


class Consumers(IdentityView):
    resource = resources.CONSUMER
    calls = Crud.of("consumer", selectors, services)

    def create(self, request: Request, **_: Any) -> Response:
        made, secret = services.consumer_create(self.ctx, **self._arguments(CREATE, request.data))
        answer = self._written(made, SHOW)
        answer[self.resource.member]["secret"] = secret
        return Response(answer, status=201)


class _Signed(ApiView):
    """The consumer's signature stands for a token."""

    api = IDENTITY
    public = True

    def form(self, token: Any, secret: str, hours: int) -> HttpResponse:
        fields = {"oauth_token": token.pk, "oauth_token_secret": secret}
        expires: datetime.datetime | None = token.expires_at
        if hours:
            fields["oauth_expires_at"] = str(moment(expires))
        content = urlencode(fields, safe=":")
        return HttpResponse(content, status=201, content_type="application/x-www-form-urlencoded")


class RequestTokens(_Signed):
    """`POST /v3/OS-OAUTH1/request_token`."""

    def post(self, request: Request) -> HttpResponse:
        project_id = request.META.get("HTTP_REQUESTED_PROJECT_ID", "")
        made, secret = services.request_token_issue(request=signed_request(request), project_id=project_id)
        return self.form(made, secret, settings.CONFIG.identity.oauth_request_hours)


class AccessTokenIssue(_Signed):
    """`POST /v3/OS-OAUTH1/access_token`."""

    def post(self, request: Request) -> HttpResponse:
        made, secret = services.access_token_issue(request=signed_request(request))
        return self.form(made, secret, settings.CONFIG.identity.oauth_access_hours)


class Authorize(ApiView):
    """`PUT /v3/OS-OAUTH1/authorize/{request token}`."""

    api = IDENTITY

    def put(self, request: Request, request_token_id: str) -> Response:
        roles = self.body(resources.AUTHORIZE)["roles"]
        token = services.request_token_authorize(self.ctx, request_token_id=request_token_id, roles=roles)
        return Response({"token": {"oauth_verifier": token.verifier}})


class AccessTokens(IdentityView):
    resource = resources.ACCESS_TOKEN
    calls = Crud.of("access_token", selectors, services, without=("create", "update"))


class AccessTokenRoles(IdentityView):
    resource = resources.ROLE
    calls = Crud(list=selectors.access_token_roles, get=selectors.access_token_role)


class BearerToken(ApiView):
    """`POST /v3/OS-OAUTH2/token`: an application credential is the client."""

    api = IDENTITY
    public = True
    parser_classes = [FormParser]

    def post(self, request: Request) -> Response:
        form = _form(request)
        try:
            kind = form.get("grant_type")
            if kind is None:
                return _refused(400, "invalid_request", "The parameter grant_type is required.")
            if kind != "client_credentials":
                return _refused(400, "unsupported_grant_type", f"The grant_type {kind[:64]} is not supported.")
            ident, secret = _client(request)
            identity = {
                "methods": ["application_credential"],
                "application_credential": {"id": ident, "secret": secret},
            }
            token, session = services.token_issue(identity=identity, scope=None)
        except Invalid as error:
            return _refused(400, "invalid_request", str(error))
        except KumoError:
            return _refused(401, "invalid_client", "Client authentication failed.")
        seconds = session.claims.expires_at - session.claims.issued_at // 1_000_000
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": seconds}
        return Response(answer, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


def _form(request: Request) -> Mapping[str, str]:
    return cast(Mapping[str, str], request.data)  # the only parser is that of forms


def _client(request: Request) -> tuple[str, str]:
    """Id and secret: HTTP Basic, or in the form."""
    scheme, _, coded = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "basic":
        form = _form(request)
        return form.get("client_id", "")[:64], form.get("client_secret", "")
    try:
        ident, _, secret = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Invalid("The Authorization header cannot be read.", field="Authorization") from error
    return unquote_plus(ident)[:64], unquote_plus(secret)


def _refused(status: int, error: str, about: str) -> Response:
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="identity"'
    return Response({"error": error, "error_description": about}, status=status, headers=headers)
