"""`/v3/auth/…`: tokens, and what their owner may choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.faults import plain
from apps.core.api.views import ApiView
from apps.core.errors import Forbidden, KumoError, NotFound, Unauthorized
from apps.core.policy import enforce
from apps.identity import selectors, services
from apps.identity.api.base import IDENTITY
from apps.identity.api.documents import token_document
from apps.identity.backends.access_rules import fits
from apps.identity.states import Scope

_REF = {"type": "object", "properties": {"id": {"type": "string"}, "name": {"type": "string"}}}
_OWNED_REF = {"type": "object", "properties": {**_REF["properties"], "domain": _REF}}  # type: ignore[dict-item]
TOKEN_ISSUE: dict[str, Any] = {
    "type": "object",
    "required": ["auth"],
    "properties": {
        "auth": {
            "type": "object",
            "required": ["identity"],
            "properties": {
                "identity": {
                    "type": "object",
                    "required": ["methods"],
                    "properties": {
                        "methods": {"type": "array", "items": {"type": "string"}, "maxItems": 16},
                        "password": {
                            "type": "object",
                            "required": ["user"],
                            "properties": {
                                "user": {
                                    "type": "object",
                                    "properties": {
                                        "id": {"type": "string", "maxLength": 255},
                                        "name": {"type": "string", "maxLength": 255},
                                        "password": {"type": ["string", "null"]},
                                        "domain": _REF,
                                    },
                                }
                            },
                        },
                        "token": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
                        "application_credential": {
                            "type": "object",
                            "required": ["secret"],
                            "properties": {
                                "id": {"type": "string", "maxLength": 64},
                                "name": {"type": "string", "maxLength": 255},
                                "secret": {"type": "string"},
                                "user": {
                                    "type": "object",
                                    "properties": {
                                        "id": {"type": "string", "maxLength": 64},
                                        "name": {"type": "string", "maxLength": 255},
                                        "domain": _REF,
                                    },
                                },
                            },
                        },
                    },
                },
                "scope": {
                    "type": ["object", "string"],
                    "properties": {
                        "project": _OWNED_REF,
                        "domain": _REF,
                        "system": {"type": "object", "properties": {"all": {"type": "boolean"}}},
                        "unscoped": {"type": "object"},
                    },
                },
            },
        }
    },
}


def _shown(token: str, document: bytes, status: int) -> HttpResponse:
    headers = {"X-Subject-Token": token, "Vary": "X-Auth-Token"}
    return HttpResponse(document, status=status, content_type="application/json", headers=headers)


def _may(caller: selectors.Session, request: HttpRequest) -> bool:
    """Access rules of an application credential hold here as everywhere."""
    return caller.calls is None or fits(caller.calls, method=request.method or "", path=request.path)


def _validate(request: HttpRequest) -> HttpResponseBase:
    """Show what a token says; services ask this all day, so it goes without DRF and with one query for both tokens."""
    try:
        caller_token = request.META.get("HTTP_X_AUTH_TOKEN", "")
        token = request.META.get("HTTP_X_SUBJECT_TOKEN", "")
        caller, subject = selectors.sessions_of((caller_token, token))
        if caller is None or not _may(caller, request):
            raise Unauthorized(services.REQUIRED)
        if subject is None:
            raise NotFound("token")
        rule = "identity:check_token" if request.method == "HEAD" else "identity:validate_token"
        enforce(caller.context, rule, {"target": {"token": {"user_id": subject.user.pk}}})
        return _shown(token, token_document(subject, with_catalog="nocatalog" not in request.GET), 200)
    except KumoError as error:
        return plain(request, error)


class TokenIssue(ApiView):
    """`POST /v3/auth/tokens`: the only call of identity that needs no token."""

    api = IDENTITY
    public = True

    def post(self, request: Request) -> HttpResponse:
        auth = self.body(TOKEN_ISSUE)["auth"]
        token, session = services.token_issue(identity=auth["identity"], scope=auth.get("scope"))
        return _shown(token, token_document(session, with_catalog="nocatalog" not in request.query_params), 201)


class TokenRevoke(ApiView):
    """`DELETE /v3/auth/tokens`."""

    api = IDENTITY

    def delete(self, request: Request) -> Response:
        services.token_revoke(self.ctx, token=request.META.get("HTTP_X_SUBJECT_TOKEN", ""))
        return Response(status=204)


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
