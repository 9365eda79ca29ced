"""The authenticator of every API: `X-Auth-Token`, or `Authorization: Bearer` (RFC 6750), to the caller's context."""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.core.context import RequestContext
from apps.identity.backends.access_rules import fits
from apps.identity.selectors.sessions import Session, session_of


class TokenAuthentication(BaseAuthentication):
    """No token: nobody, and the view decides. A token that does not hold: 401, whatever the view."""

    def authenticate(self, request: Request) -> tuple[RequestContext, Session] | None:
        token = request.META.get("HTTP_X_AUTH_TOKEN", "") or _bearer(request)
        if not token:
            return None
        session = session_of(token)
        if session is None:
            raise AuthenticationFailed
        if session.calls is not None and not fits(session.calls, method=request.method or "", path=request.path):
            raise AuthenticationFailed
        return request_context(session, request), session

    def authenticate_header(self, request: Request) -> str:
        return "Keystone"


def _bearer(request: Request) -> str:
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def request_context(session: Session, request: Request) -> RequestContext:
    """The session's context with the ids of this request."""
    return session.context_for(
        request_id=getattr(request, "request_id", ""),
        global_request_id=getattr(request, "global_request_id", ""),
    )
