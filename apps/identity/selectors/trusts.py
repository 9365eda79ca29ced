"""Trusts, for those who lend, those who borrow, and administrators."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, NotFound
from apps.core.policy import enforce
from apps.core.transactions import selector
from apps.identity.models import Role, Trust
from apps.identity.selectors.delegations import trust_in_force


@selector("anyone")
def trust_list(ctx: RequestContext, *, trustor_user_id: str = "", trustee_user_id: str = "") -> QuerySet[Trust]:
    """Trusts that somebody gave, or was given; all of them for administrators."""
    if trustor_user_id:
        target = {"target": {"trust": {"trustor_user_id": trustor_user_id}}}
        enforce(ctx, "identity:list_trusts_for_trustor", target)
    elif trustee_user_id:
        target = {"target": {"trust": {"trustee_user_id": trustee_user_id}}}
        enforce(ctx, "identity:list_trusts_for_trustee", target)
    else:
        enforce(ctx, "identity:list_trusts")
    no_program(ctx)
    named = {"trustor_id": trustor_user_id, "trustee_id": trustee_user_id}
    return Trust.objects.filter(**{column: ident for column, ident in named.items() if ident})


@selector("anyone")
def trust_get(ctx: RequestContext, *, trust_id: str) -> QuerySet[Trust]:
    """One trust that holds. Raises NotFound."""
    trust_checked(ctx, "identity:get_trust", trust_id)
    return Trust.objects.filter(pk=trust_id)


@selector("anyone")
def trust_roles(ctx: RequestContext, *, trust_id: str) -> QuerySet[Role]:
    """The roles that a trust lends. Raises NotFound."""
    return trust_checked(ctx, "identity:list_roles_for_trust", trust_id).roles.all()


@selector("anyone")
def trust_role(ctx: RequestContext, *, trust_id: str, role_id: str) -> QuerySet[Role]:
    """One of the roles that a trust lends. Raises NotFound."""
    return trust_checked(ctx, "identity:get_role_for_trust", trust_id).roles.filter(pk=role_id)


def trust_checked(ctx: RequestContext, rule: str, trust_id: str) -> Trust:
    """The trust, if it holds and the rule allows. Raises NotFound before Forbidden, as Keystone does here."""
    trust = trust_in_force(trust_id)
    if trust is None or trust.remaining_uses == 0:
        raise NotFound("trust", trust_id)
    enforce(ctx, rule, trust_target(trustor=trust.trustor_id, trustee=trust.trustee_id))
    no_program(ctx)
    return trust


def trust_target(*, trustor: str, trustee: str) -> dict[str, Any]:
    """What rules of trusts compare the caller with."""
    return {"target": {"trust": {"trustor_user_id": trustor, "trustee_user_id": trustee}}}


def no_program(ctx: RequestContext) -> None:
    """Raise Forbidden for application credentials, access keys and OAuth: they have less than their user."""
    if ctx.is_delegated:
        raise Forbidden("Delegated tokens cannot manage trusts.")
