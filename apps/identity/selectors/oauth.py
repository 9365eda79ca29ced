"""OAuth 1.0a consumers, and what users authorized."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, NotFound
from apps.core.transactions import selector
from apps.identity.models import AccessToken, Consumer, Role


@selector("identity:list_consumers")
def consumer_list(ctx: RequestContext) -> QuerySet[Consumer]:
    """All consumers."""
    return Consumer.objects.all()


@selector("identity:get_consumer")
def consumer_get(ctx: RequestContext, *, consumer_id: str) -> QuerySet[Consumer]:
    """One consumer."""
    return Consumer.objects.filter(pk=consumer_id)


@selector("identity:list_access_tokens")
def access_token_list(ctx: RequestContext, *, user_id: str) -> QuerySet[AccessToken]:
    """What a user authorized."""
    no_delegation(ctx)
    return AccessToken.objects.filter(user_id=user_id)


@selector("identity:get_access_token")
def access_token_get(ctx: RequestContext, *, user_id: str, access_token_id: str) -> QuerySet[AccessToken]:
    """One of them."""
    no_delegation(ctx)
    return AccessToken.objects.filter(user_id=user_id, pk=access_token_id)


@selector("identity:list_access_token_roles")
def access_token_roles(ctx: RequestContext, *, user_id: str, access_token_id: str) -> QuerySet[Role]:
    """The roles that an access token carries. Raises NotFound."""
    return _token(user_id, access_token_id).roles.all()


@selector("identity:get_access_token_role")
def access_token_role(ctx: RequestContext, *, user_id: str, access_token_id: str, role_id: str) -> QuerySet[Role]:
    """One of them. Raises NotFound."""
    return _token(user_id, access_token_id).roles.filter(pk=role_id)


def _token(user_id: str, access_token_id: str) -> AccessToken:
    found = AccessToken.objects.filter(user_id=user_id, pk=access_token_id).first()
    if found is None:
        raise NotFound("access token", access_token_id)
    return found


def no_delegation(ctx: RequestContext) -> None:
    """Raise Forbidden for who acts by a delegation: it must not lead to another."""
    if ctx.is_delegated or ctx.trust_id:
        raise Forbidden("Cannot use a token issued via delegation for this.")
