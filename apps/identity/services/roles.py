"""Roles and what they imply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, NotFound
from apps.core.policy import enforce
from apps.core.transactions import service
from apps.identity.models import Domain, ImpliedRole, Role
from apps.identity.selectors.access import row_of, target_of
from apps.identity.services.common import apply, merged_options, mutable, unchangeable
from apps.identity.services.epoch import change_epoch
from apps.identity.states import ADMIN_ROLE


def _rule(verb: str, domain_id: str | None) -> str:
    return f"identity:{verb}_domain_role" if domain_id else f"identity:{verb}_role"


@service("anyone")
def role_create(
    ctx: RequestContext,
    *,
    name: str,
    domain_id: str | None = None,
    description: str | None = None,
    options: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Role:
    """A new role, global or of a domain. Raises NotFound for the domain, Conflict for the name."""
    enforce(ctx, _rule("create", domain_id))
    if domain_id:
        row_of(Domain, domain_id, "domain")
    return Role.objects.create(
        name=name,
        domain_id=domain_id or None,
        description=description or "",
        options=merged_options({}, options),
        extra=dict(extra or {}),
    )


@service("anyone")
def role_update(
    ctx: RequestContext,
    *,
    role_id: str,
    domain_id: str | None = None,
    extra: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Role:
    """Change a role. Raises NotFound, Forbidden for an immutable one, Invalid for the domain, Conflict for the name."""
    role = _locked(ctx, "update", role_id)
    unchangeable(role, domain_id=domain_id)
    mutable(role, "role", options=changes.get("options"))
    apply(role, changes, extra=extra)
    change_epoch()
    return role


@service("anyone")
def role_delete(ctx: RequestContext, *, role_id: str) -> None:
    """Remove a role with every assignment of it. Raises NotFound, Forbidden for an immutable one."""
    role = _locked(ctx, "delete", role_id)
    mutable(role, "role", deleting=True)
    role.delete()
    change_epoch()


def _locked(ctx: RequestContext, verb: str, role_id: str) -> Role:
    role = Role.objects.select_for_update(no_key=True).filter(pk=role_id).first()
    enforce(ctx, _rule(verb, role.domain_id if role else None), target_of(role=role))
    if role is None:
        raise NotFound("role", role_id)
    return role


@service("identity:create_implied_role")
def implied_role_create(ctx: RequestContext, *, prior_role_id: str, implied_role_id: str) -> tuple[Role, Role]:
    """Let whoever has one role have another too. Raises NotFound, Forbidden for `admin` as the implied one."""
    prior, implied = row_of(Role, prior_role_id, "role"), row_of(Role, implied_role_id, "role")
    if implied.name == ADMIN_ROLE and implied.domain_id is None:
        raise Forbidden(f"{implied.pk} cannot be an implied role.")
    if implied.domain_id and prior.domain_id is None:
        raise Forbidden("A global role cannot imply a role of a domain.")
    if prior == implied:
        raise Forbidden(f"{implied.pk} cannot imply itself.")
    ImpliedRole.objects.get_or_create(prior=prior, implied=implied)
    change_epoch()
    return prior, implied


@service("identity:delete_implied_role")
def implied_role_delete(ctx: RequestContext, *, prior_role_id: str, implied_role_id: str) -> None:
    """Take an implication away. Raises NotFound."""
    deleted, _ = ImpliedRole.objects.filter(prior_id=prior_role_id, implied_id=implied_role_id).delete()
    if not deleted:
        raise NotFound("implied role", implied_role_id, hint="The first role does not imply it.")
    change_epoch()
