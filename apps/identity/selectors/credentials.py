"""Application credentials, access rules and other credentials of users."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from django.db.models import QuerySet

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, NotFound
from apps.core.policy import allowed, enforce
from apps.core.transactions import selector
from apps.identity.models import AccessRule, ApplicationCredential, Credential, User
from apps.identity.selectors.access import row_of
from apps.identity.selectors.keys import opened_secret


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


@selector("anyone")
def credential_list(ctx: RequestContext) -> QuerySet[Credential]:
    """Credentials: all for administrators and readers of the system, else one's own. Raises Forbidden for programs."""
    not_delegated(ctx)
    if allowed(ctx, "identity:get_credential", {}):
        return Credential.objects.all()
    enforce(ctx, "identity:list_credentials", {"target": {"credential": {"user_id": ctx.user_id}}})
    return Credential.objects.filter(user_id=ctx.user_id)


@selector("anyone")
def credential_get(ctx: RequestContext, *, credential_id: str) -> QuerySet[Credential]:
    """One credential. Raises NotFound, Forbidden for programs."""
    rows = Credential.objects.filter(pk=credential_id)
    credential_checked(ctx, "identity:get_credential", rows.first(), credential_id)
    return rows


@selector("anyone")
def ec2_credential_list(ctx: RequestContext, *, user_id: str) -> list[dict[str, Any]]:
    """The access keys of a user, as rows. Raises NotFound."""
    enforce(ctx, "identity:ec2_list_credentials", {"user_id": user_id})
    not_delegated(ctx)
    row_of(User, user_id, "user")
    return [key_row(row) for row in Credential.objects.filter(user_id=user_id, type="ec2").order_by("pk")]


@selector("anyone")
def ec2_credential_get(ctx: RequestContext, *, user_id: str, credential_id: str) -> dict[str, Any]:
    """One access key of a user, by the key itself, as a row. Raises NotFound."""
    return key_row(ec2_row(ctx, "identity:ec2_get_credential", user_id, credential_id))


def ec2_row(ctx: RequestContext, rule: str, user_id: str, access: str) -> Credential:
    """The row of an access key. Raises NotFound before Forbidden, as Keystone does here: who asks has the key."""
    row = Credential.objects.filter(pk=hash_of(access), user_id=user_id, type="ec2").first()
    if row is None:
        raise NotFound("credential", access)
    credential_checked(ctx, rule, row, access)
    return row


def key_row(row: Credential) -> dict[str, Any]:
    """An access key as the API names its parts."""
    blob = json.loads(opened_secret(row.sealed_blob))
    return {
        "id": blob["access"],
        "access": blob["access"],
        "secret": blob["secret"],
        "user_id": row.user_id,
        "tenant_id": row.project_id,
        "trust_id": None,
    }


def hash_of(access: str) -> str:
    """The id of the credential that holds an access key."""
    return hashlib.sha256(access.encode()).hexdigest()


def credential_checked(ctx: RequestContext, rule: str, row: Credential | None, ident: str) -> None:
    """Raise Forbidden unless the rule holds for the row's user, NotFound for a row that is not there."""
    enforce(ctx, rule, {"target": {"credential": {"user_id": row.user_id}}} if row else {})
    not_delegated(ctx)
    if row is None:
        raise NotFound("credential", ident)


def not_delegated(ctx: RequestContext) -> None:
    """Programs that act for somebody must not get at, or make, what outlives them."""
    if ctx.is_delegated or ctx.trust_id:
        raise Forbidden("Delegated tokens cannot access credentials directly.")
