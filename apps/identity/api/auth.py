"""`/v3/auth/…`: tokens, and what their owner may choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api import types as t
from apps.core.api.faults import plain
from apps.core.api.types import parse_flag
from apps.core.api.views import ApiView
from apps.core.errors import Forbidden, Invalid, KumoError, NotFound, Unauthorized
from apps.core.policy import enforce
from apps.identity import selectors, services
from apps.identity.api.base import IDENTITY
from apps.identity.api.documents import receipt_document, token_document
from apps.identity.backends.access_rules import fits
from apps.identity.backends.oauth1 import SignedRequest
from apps.identity.states import Scope

_IDENT = t.text(255)
_REF = t.shape({"id": _IDENT, "name": _IDENT}, closed=False)
_OWNED_REF = t.shape({"id": _IDENT, "name": _IDENT, "domain": _REF}, closed=False)
_SECRET = t.Type({"type": ["string", "null"]})
_BY_NAME = {"id": _IDENT, "name": _IDENT, "domain": _REF}


def _person(**more: t.Type) -> t.Type:
    return t.shape({**_BY_NAME, **more}, closed=False)


_IDENTITY = t.shape(
    {
        "methods": t.array(t.Type({"type": "string"}), most=16),
        "password": t.shape({"user": _person(password=_SECRET)}, required=("user",), closed=False),
        "totp": t.shape(
            {"user": t.shape({**_BY_NAME, "passcode": t.text(255)}, required=("passcode",), closed=False)},
            required=("user",),
            closed=False,
        ),
        "token": t.shape({"id": t.Type({"type": "string"})}, required=("id",), closed=False),
        "application_credential": t.shape(
            {"id": _IDENT, "name": _IDENT, "secret": t.Type({"type": "string"}), "user": _person()},
            required=("secret",),
            closed=False,
        ),
        "oauth1": t.mapping,
    },
    required=("methods",),
    closed=False,
)
_SCOPE = t.shape(
    {
        "project": _OWNED_REF,
        "domain": _REF,
        "system": t.shape({"all": t.flag}, closed=False),
        "OS-TRUST:trust": t.shape({"id": _IDENT}, closed=False),
        "unscoped": t.mapping,
    },
    closed=False,
)
TOKEN_ISSUE = t.shape(
    {
        "auth": t.shape(
            {"identity": _IDENTITY, "scope": t.Type({**_SCOPE.schema, "type": ["object", "string"]})},
            required=("identity",),
            closed=False,
        )
    },
    required=("auth",),
    closed=False,
).schema


def token_answer(
    token: str, session: selectors.Session, request: HttpRequest | Request, *, status: int
) -> HttpResponse:
    """A token's document, with the token in its header unless that is not to be given."""
    document = token_document(session, with_catalog="nocatalog" not in _query(request))
    headers = {"Vary": "X-Auth-Token"} | ({"X-Subject-Token": token} if token else {})
    return HttpResponse(document, status=status, content_type="application/json", headers=headers)


def _may(caller: selectors.Session, request: HttpRequest) -> bool:
    """Access rules of an application credential hold here as everywhere."""
    return caller.calls is None or fits(caller.calls, method=request.method or "", path=request.path)


def _validate(request: HttpRequest) -> HttpResponseBase:
    """Show what a token says; services ask this all day, so it goes without DRF and with one query for both tokens."""
    try:
        caller_token = request.META.get("HTTP_X_AUTH_TOKEN", "")
        token = request.META.get("HTTP_X_SUBJECT_TOKEN", "")
        grace_s = settings.CONFIG.identity.allow_expired_hours * 3600 if _asks_for_expired(request) else 0
        caller, subject = selectors.sessions_of((caller_token, token), grace_s=(0, grace_s))
        if caller is None or not _may(caller, request):
            raise Unauthorized(services.REQUIRED)
        if subject is None:
            raise NotFound("token")
        rule = "identity:check_token" if request.method == "HEAD" else "identity:validate_token"
        enforce(caller.context, rule, {"target": {"token": {"user_id": subject.user.pk}}})
        return token_answer(token, subject, request, status=200)
    except KumoError as error:
        return plain(request, error)


def _query(request: HttpRequest | Request) -> Mapping[str, Any]:
    """The query; an empty one, as nearly all that validate send, is not parsed."""
    return request.GET if request.META.get("QUERY_STRING") else {}


def _asks_for_expired(request: HttpRequest) -> bool:
    """`?allow_expired=1`: a service goes on with what somebody asked for before their token expired."""
    try:
        return parse_flag(_query(request).get("allow_expired", "0") or "0")
    except ValueError as error:
        raise Invalid(str(error), field="allow_expired") from error


def signed_request(request: Request) -> SignedRequest:
    """What an OAuth 1.0a signature covers."""
    return SignedRequest(
        method=request.method or "",
        url=request.build_absolute_uri(),
        authorization=request.META.get("HTTP_AUTHORIZATION", ""),
    )


class TokenIssue(ApiView):
    """`POST /v3/auth/tokens`, which needs no token."""

    api = IDENTITY
    public = True

    def post(self, request: Request) -> HttpResponse:
        auth = self.body(TOKEN_ISSUE)["auth"]
        try:
            token, session = services.token_issue(
                identity=auth["identity"],
                scope=auth.get("scope"),
                receipt=request.META.get("HTTP_OPENSTACK_AUTH_RECEIPT", ""),
                request=signed_request(request),
            )
        except services.MoreFactors as more:
            return Response(receipt_document(more), status=401, headers={"Openstack-Auth-Receipt": more.text})
        return token_answer(token, session, request, status=201)


class TokenRevoke(ApiView):
    """`DELETE /v3/auth/tokens`."""

    api = IDENTITY

    def delete(self, request: Request) -> Response:
        services.token_revoke(self.ctx, token=request.META.get("HTTP_X_SUBJECT_TOKEN", ""))
        return Response(status=204)


class RevokedTokens(ApiView):
    """`GET /v3/auth/tokens/OS-PKI/revoked`: such a list was for tokens that services checked by themselves."""

    api = IDENTITY

    def get(self, request: Request) -> Response:
        enforce(self.ctx, "identity:revocation_list")
        raise Forbidden("There is no list of revoked tokens: ask for each with GET /v3/auth/tokens.")


_revoke = TokenRevoke.as_view()
_TOKENS: dict[str, Callable[[HttpRequest], HttpResponseBase]] = {
    "GET": _validate,
    "HEAD": _validate,
    "POST": TokenIssue.as_view(),
    "DELETE": _revoke,
}


@csrf_exempt
def tokens(request: HttpRequest) -> HttpResponseBase:
    """`/v3/auth/tokens` by method."""
    return _TOKENS.get(request.method or "", _revoke)(request)


class Catalog(ApiView):
    """`GET /v3/auth/catalog`."""

    api = IDENTITY

    def get(self, request: Request) -> Response:
        enforce(self.ctx, "identity:get_auth_catalog")
        if not self.ctx.project_id:
            raise Forbidden("A project-scoped token is required to produce a service catalog.")
        session: selectors.Session = request.auth  # type: ignore[assignment]
        services_ = selectors.catalog(session.epoch, project_id=self.ctx.project_id, user_id=self.ctx.user_id)
        return Response({"catalog": services_, "links": {"self": f"{self.base}/identity/v3/auth/catalog"}})


class System(ApiView):
    """`GET /v3/auth/system`: may the caller choose the system as scope?"""

    api = IDENTITY

    def get(self, request: Request) -> Response:
        enforce(self.ctx, "identity:get_auth_system")
        roles = selectors.effective_roles(user_id=self.ctx.user_id, scope=Scope.SYSTEM)
        links = {"self": f"{self.base}/identity/v3/auth/system"}
        return Response({"system": [{"all": True}] if roles else [], "links": links})
