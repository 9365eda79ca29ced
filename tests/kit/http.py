"""Callers of the HTTP APIs without tokens: the context is what the test says it is."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from apps.core.context import RequestContext

AUTHENTICATION = "tests.kit.http.ContextAuthentication"
_contexts: dict[str, RequestContext] = {}


class ContextAuthentication(BaseAuthentication):
    """Takes `X-Auth-Token` for the name of a context that a test made. For `settings.KUMO_AUTHENTICATION`."""

    def authenticate(self, request: Request) -> tuple[RequestContext, None] | None:
        found = _contexts.get(request.headers.get("X-Auth-Token", ""))
        return (found, None) if found else None


def context(project: str, role: str = "member", **fields: Any) -> RequestContext:
    """A member (or reader, or admin) of a project, with the implied roles."""
    implied = {"admin": ("admin", "manager", "member", "reader"), "member": ("member", "reader"), "reader": ("reader",)}
    return RequestContext(user_id=f"user-of-{project}", project_id=project, roles=frozenset(implied[role]), **fields)


class Caller:
    """Django's test client in a context, JSON in and out."""

    def __init__(self, ctx: RequestContext | None, prefix: str = "") -> None:
        self.ctx, self.prefix = ctx, prefix
        self.token = ""
        if ctx is not None:
            self.token = f"{ctx.project_id}/{','.join(sorted(ctx.roles))}"
            _contexts[self.token] = ctx
        self.client = Client(raise_request_exception=False)

    def __call__(
        self, method: str, path: str, body: Any = None, *, media: str = "application/json", **headers: str
    ) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent["X-Auth-Token"] = self.token
        sent["Content-Type"] = media
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.client.generic(method, f"{self.prefix}{path}", data=data, content_type=media, headers=sent)
