"""OAuth 1.0a: consumers, and the three steps by which a user lets one act for them."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.utils import timezone

from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound, Unauthorized
from apps.core.policy import enforce
from apps.core.transactions import internal, service
from apps.identity.backends.oauth1 import SignedRequest
from apps.identity.models import AccessToken, Consumer, Project, RequestToken, Role
from apps.identity.selectors.access import row_of
from apps.identity.selectors.oauth import no_delegation
from apps.identity.selectors.roles import effective_roles
from apps.identity.services.epoch import change_epoch
from apps.identity.services.keys import sealed_secret
from apps.identity.services.signed import consumer_signed, required
from apps.identity.states import Scope, new_id


@service("identity:create_consumer")
def consumer_create(
    ctx: RequestContext, *, description: str | None = None, extra: Mapping[str, Any] | None = None
) -> tuple[Consumer, str]:
    """A new consumer and its secret, shown only now."""
    secret = new_id()
    made = Consumer.objects.create(
        description=description or "", sealed_secret=sealed_secret(secret), extra=dict(extra or {})
    )
    return made, secret


@service("identity:update_consumer")
def consumer_update(
    ctx: RequestContext, *, consumer_id: str, description: str | None = None, extra: Mapping[str, Any] | None = None
) -> Consumer:
    """Describe a consumer anew; its secret is fixed. Raises NotFound, Invalid."""
    consumer = row_of(Consumer, consumer_id, "consumer")
    if "secret" in (extra or {}):
        raise Invalid("Cannot change consumer secret.", field="secret")
    consumer.description = description or ""
    consumer.extra = {**consumer.extra, **(extra or {})}
    consumer.save(update_fields=["description", "extra"])
    return consumer


@service("identity:delete_consumer")
def consumer_delete(ctx: RequestContext, *, consumer_id: str) -> None:
    """Remove a consumer with all it was given; its tokens end. Raises NotFound."""
    row_of(Consumer, consumer_id, "consumer").delete()
    change_epoch()


def request_token_issue(*, request: SignedRequest, project_id: str) -> tuple[RequestToken, str]:
    """A consumer asks for roles in a project: the token that a user must authorize, and its secret.

    Raises Invalid for what is no signed request, NotFound for the project, Unauthorized for a bad signature.
    """
    required(request)
    if not project_id:
        raise Invalid("Expecting to find Requested-Project-Id in request.", field="Requested-Project-Id")
    consumer = consumer_signed(request)
    return _request_token(consumer, row_of(Project, project_id, "project"))


@internal("the consumer's signature was the proof")
def _request_token(consumer: Consumer, project: Project) -> tuple[RequestToken, str]:
    secret, hours = new_id(), settings.CONFIG.identity.oauth_request_hours
    RequestToken.objects.filter(expires_at__lte=timezone.now()).delete()
    made = RequestToken.objects.create(
        consumer=consumer,
        sealed_secret=sealed_secret(secret),
        requested_project=project,
        expires_at=timezone.now() + datetime.timedelta(hours=hours or 24 * 365 * 100),
    )
    return made, secret


@service("identity:authorize_request_token", shown=("request_token_id",))
def request_token_authorize(
    ctx: RequestContext, *, request_token_id: str, roles: Sequence[Mapping[str, str]]
) -> RequestToken:
    """The caller lets a consumer have some of their roles. Raises NotFound, Unauthorized for roles they do not have,
    Forbidden for programs."""
    no_delegation(ctx)
    token = RequestToken.objects.select_for_update(no_key=True).filter(pk=request_token_id).first()
    if token is None:
        raise NotFound("request token", request_token_id)
    if token.expires_at <= timezone.now():
        raise Unauthorized("Request token is expired")
    project_id = token.requested_project_id
    held = {r.id: r.name for r in effective_roles(user_id=ctx.user_id, scope=Scope.PROJECT, target_id=project_id)}
    chosen = set()
    for ref in roles:
        match = [i for i, name in held.items() if ref.get("id") == i or (not ref.get("id") and ref.get("name") == name)]
        if not match:
            raise Unauthorized("authorizing user does not have role required")
        chosen.update(match)
    token.authorized_by_id = ctx.user_id
    token.verifier = secrets.token_hex(4)
    token.save(update_fields=["authorized_by", "verifier"])
    token.roles.set(Role.objects.filter(pk__in=chosen))
    return token


def access_token_issue(*, request: SignedRequest) -> tuple[AccessToken, str]:
    """Trade an authorized request token, once, for an access token and its secret. Raises Invalid, Unauthorized."""
    given = required(request, "oauth_token", "oauth_verifier")
    wanted = RequestToken.objects.filter(pk=given["oauth_token"]).first()
    if wanted is None:
        raise NotFound("request token", given["oauth_token"])
    consumer_signed(request, wanted)
    return _access_token(wanted.pk, given["oauth_verifier"])


@internal("the consumer's signature and the user's verifier were the proof")
def _access_token(request_token_id: str, verifier: str) -> tuple[AccessToken, str]:
    token = RequestToken.objects.select_for_update().filter(pk=request_token_id).first()
    if token is None or token.expires_at <= timezone.now():
        raise Unauthorized("Request token is expired")
    if token.authorized_by_id is None:
        raise Unauthorized("Request Token does not have an authorizing user id.")
    if not secrets.compare_digest(token.verifier.encode(), verifier.encode()):
        raise Unauthorized("Provided verifier does not match stored verifier")
    secret, hours = new_id(), settings.CONFIG.identity.oauth_access_hours
    made = AccessToken.objects.create(
        consumer=token.consumer,
        sealed_secret=sealed_secret(secret),
        project=token.requested_project,
        user_id=token.authorized_by_id,
        expires_at=timezone.now() + datetime.timedelta(hours=hours) if hours else None,
    )
    made.roles.set(token.roles.all())
    token.delete()
    return made, secret


@service("anyone", shown=("access_token_id",))
def access_token_delete(ctx: RequestContext, *, user_id: str, access_token_id: str) -> None:
    """Take back what a user authorized; the tokens made from it end. Raises NotFound."""
    enforce(ctx, "identity:delete_access_token", {"user_id": user_id})
    no_delegation(ctx)
    deleted, _ = AccessToken.objects.filter(pk=access_token_id, user_id=user_id).delete()
    if not deleted:
        raise NotFound("access token", access_token_id)
    change_epoch()
