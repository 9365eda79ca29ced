"""Application credentials and access rules of a user."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.core.context import RequestContext
from apps.core.policy import enforce
from apps.core.transactions import selector
from apps.identity.models import AccessRule, ApplicationCredential


@selector("anyone")
def application_credential_list(ctx: RequestContext, *, user_id: str) -> QuerySet[ApplicationCredential]:
    """The credentials of a user."""
    enforce(ctx, "identity:list_application_credentials", {"user_id": user_id})
    return ApplicationCredential.objects.filter(user_id=user_id)


@selector("anyone")
def application_credential_get(
    ctx: RequestContext, *, user_id: str, application_credential_id: str
) -> QuerySet[ApplicationCredential]:
    """One credential of a user."""
    enforce(ctx, "identity:get_application_credential", {"user_id": user_id})
    return ApplicationCredential.objects.filter(user_id=user_id, pk=application_credential_id)


@selector("anyone")
def access_rule_list(ctx: RequestContext, *, user_id: str) -> QuerySet[AccessRule]:
    """The access rules a user ever used in a credential and did not delete."""
    enforce(ctx, "identity:list_access_rules", {"target": {"user": {"id": user_id}}})
    return AccessRule.objects.filter(user_id=user_id)


@selector("anyone")
def access_rule_get(ctx: RequestContext, *, user_id: str, access_rule_id: str) -> QuerySet[AccessRule]:
    """One access rule of a user."""
    enforce(ctx, "identity:get_access_rule", {"target": {"user": {"id": user_id}}})
    return AccessRule.objects.filter(user_id=user_id, pk=access_rule_id)
