"""`/v3/credentials`, access keys of users, and tokens for requests that were signed with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api import types as t
from apps.core.api.resource import SHOW
from apps.core.api.service import Page
from apps.core.api.views import ApiView, Crud
from apps.core.errors import Unauthorized
from apps.identity import resources, selectors, services
from apps.identity.api.auth import token_answer
from apps.identity.api.base import IDENTITY, IdentityView


class Credentials(IdentityView):
    resource = resources.CREDENTIAL
    calls = Crud.of("credential", selectors, services)

    def wrap(self, member: Mapping[str, Any]) -> Any:
        return super().wrap(_opened(member))

    def wrap_list(self, members: Sequence[Any], page: Page) -> Any:
        return super().wrap_list([_opened(member) for member in members], page)


def _opened(member: Mapping[str, Any]) -> dict[str, Any]:
    return {**member, "blob": selectors.opened_secret(member["blob"])}


class Ec2Credentials(IdentityView):
    resource = resources.EC2_CREDENTIAL
    calls = Crud.of("ec2_credential", selectors, services, without=("update",))

    def create(self, request: Request, **_: Any) -> Response:
        body = self.body(resources.EC2_CREDENTIAL_CREATE)
        made = services.ec2_credential_create(self.ctx, **self.parents, tenant_id=body["tenant_id"])
        return Response(self._render_one(made, SHOW), status=201)


_SIGNED = t.shape(
    {
        "access": t.text(255),
        "signature": t.text(4096),
        "token": t.text(64 * 1024),
        "host": t.text(4096),
        "verb": t.text(16),
        "path": t.text(64 * 1024),
        "params": t.mapping,
        "headers": t.mapping,
        "body_hash": t.text(255),
    },
    closed=False,
)
# Clients name it in three ways.
_NAMES = ("credentials", "credential", "ec2Credentials")
_BODY = t.shape(dict.fromkeys(_NAMES, _SIGNED), closed=False).schema


class _SignedRequest(ApiView):
    api = IDENTITY

    @property
    def signed(self) -> dict[str, Any]:
        body = self.body(_BODY)
        signed: dict[str, Any] = next((body[name] for name in _NAMES if body.get(name)), {})
        if "access" not in signed:
            raise Unauthorized("EC2 Signature not supplied")
        missing = {"host": "", "verb": "", "path": ""}
        return missing | signed


class Ec2Tokens(_SignedRequest):
    """`POST /v3/ec2tokens`."""

    def post(self, request: Request) -> HttpResponse:
        token, session = services.ec2_token_issue(self.ctx, signed=self.signed)
        return token_answer(token, session, request, status=200)


class S3Tokens(_SignedRequest):
    """`POST /v3/s3tokens`: what the token would say; the token itself is not given."""

    def post(self, request: Request) -> HttpResponse:
        _, session = services.s3_token_issue(self.ctx, signed=self.signed)
        return token_answer("", session, request, status=200)
