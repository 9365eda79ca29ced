"""Application credentials: what programs sign in with instead of a person's password."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils import timezone

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound
from apps.core.policy import enforce
from apps.core.transactions import on_violation, service
from apps.identity.backends.passwords import MAX_PASSWORD_LENGTH, hash_password
from apps.identity.models import AccessRule, ApplicationCredential, Role
from apps.identity.selectors.roles import effective_roles
from apps.identity.services.epoch import change_epoch
from apps.identity.states import Scope, new_id

on_violation(
    "identity_application_credential_name",
    lambda detail: Conflict(f"Conflict occurred attempting to store application credential - {detail}"),
)


@service("anyone")
def application_credential_create(
    ctx: RequestContext,
    *,
    user_id: str,
    name: str,
    restricted: bool = False,
    description: str | None = None,
    secret: str | None = None,
    expires_at: datetime.datetime | None = None,
    roles: Sequence[Mapping[str, str]] | None = None,
    unrestricted: bool | None = None,
    access_rules: Sequence[Mapping[str, str]] | None = None,
) -> tuple[ApplicationCredential, str]:
    """A credential for the caller's project with some (or all) of the caller's roles, and its secret, shown only now.

    `restricted` says that the caller itself signed in by a credential that may not make others. Raises Forbidden
    for another user or a restricted caller, Invalid for roles the caller does not have, Conflict for the name.
    """
    enforce(ctx, "identity:create_application_credential", {"user_id": user_id})
    _not_restricted(ctx, restricted)
    if not ctx.project_id:
        raise Forbidden("An application credential needs a token for a project.")
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid("The 'expires_at' must not be before now.", field="expires_at")
    secret = secret or secrets.token_urlsafe(64)
    if len(secret) > MAX_PASSWORD_LENGTH:
        raise Invalid(f"A secret has at most {MAX_PASSWORD_LENGTH} characters.", field="secret")
    made = ApplicationCredential.objects.create(
        user_id=user_id,
        project_id=ctx.project_id,
        name=name,
        description=description or "",
        secret_hash=hash_password(secret),
        expires_at=expires_at,
        unrestricted=bool(unrestricted),
        has_access_rules=access_rules is not None,
    )
    made.roles.set(_roles(ctx, roles))
    made.access_rules.set([_access_rule(user_id, rule) for rule in access_rules or ()])
    return made, secret


@service("anyone")
def application_credential_delete(
    ctx: RequestContext, *, user_id: str, application_credential_id: str, restricted: bool = False
) -> None:
    """Remove a credential; tokens made with it end. Raises NotFound, Forbidden."""
    enforce(ctx, "identity:delete_application_credential", {"user_id": user_id})
    _not_restricted(ctx, restricted)
    deleted, _ = ApplicationCredential.objects.filter(pk=application_credential_id, user_id=user_id).delete()
    if not deleted:
        raise NotFound("application credential", application_credential_id)
    change_epoch()


@service("anyone")
def access_rule_delete(ctx: RequestContext, *, user_id: str, access_rule_id: str) -> None:
    """Remove an access rule. Raises NotFound, Forbidden while a credential has it."""
    enforce(ctx, "identity:delete_access_rule", {"target": {"user": {"id": user_id}}})
    rule = AccessRule.objects.filter(pk=access_rule_id, user_id=user_id).first()
    if rule is None:
        raise NotFound("access rule", access_rule_id)
    if rule.credentials.exists():
        raise Forbidden("The access rule is in use by an application credential.")
    rule.delete()


def _not_restricted(ctx: RequestContext, restricted: bool) -> None:
    """What acts by a delegation makes no credential that would outlive it, unless just that was allowed."""
    if restricted:
        raise Forbidden("This application credential may not manage application credentials; it is not unrestricted.")
    by_credential = ctx.credential.startswith("application_credential:")
    if ctx.trust_id or (ctx.is_delegated and not by_credential):
        raise Forbidden("Delegated tokens cannot manage application credentials.")


def _roles(ctx: RequestContext, wanted: Sequence[Mapping[str, str]] | None) -> list[Role]:
    """The roles asked for with those they imply, all of which the caller must have here."""
    held = {r.id for r in effective_roles(user_id=ctx.user_id, scope=Scope.PROJECT, target_id=ctx.project_id)}
    mine = list(Role.objects.filter(pk__in=held))
    mine = [role for role in mine if ctx.has_role(role.name)]
    if not wanted:
        return mine
    chosen = set()
    for ref in wanted:
        match = [r for r in mine if r.pk == ref.get("id") or r.name == ref.get("name")]
        if not match:
            raise Invalid(
                "Invalid application credential: Cannot create an application credential with unassigned role.",
                field="roles",
            )
        chosen.add(match[0])
    while implied := {r for role in chosen for r in role.implies.filter(pk__in=held)} - chosen:
        chosen |= implied
    return list(chosen)


def _access_rule(user_id: str, rule: Mapping[str, Any]) -> AccessRule:
    if "id" in rule:
        known = AccessRule.objects.filter(pk=rule["id"], user_id=user_id).first()
        if known is None:
            raise Invalid(f"There is no access rule {rule['id']}.", field="access_rules")
        return known
    missing = [part for part in ("service", "method", "path") if part not in rule]
    if missing:
        raise Invalid(f"An access rule needs {', '.join(missing)} or an id.", field="access_rules")
    made, _ = AccessRule.objects.get_or_create(
        user_id=user_id,
        service=rule["service"],
        method=rule["method"],
        path=rule["path"],
        defaults={"pk": new_id()},
    )
    return made
