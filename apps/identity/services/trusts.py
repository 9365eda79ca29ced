"""Lending roles to other users."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.utils import timezone

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid, NotFound
from apps.core.policy import enforce
from apps.core.transactions import service
from apps.identity.models import Project, Role, Trust, User
from apps.identity.selectors.access import row_of
from apps.identity.selectors.delegations import origin_of, trust_in_force
from apps.identity.selectors.roles import effective_roles
from apps.identity.selectors.trusts import no_program, trust_checked, trust_target
from apps.identity.services.epoch import change_epoch
from apps.identity.states import Scope


@service("anyone")
def trust_create(
    ctx: RequestContext,
    *,
    trustor_user_id: str,
    trustee_user_id: str,
    impersonation: bool,
    project_id: str | None = None,
    roles: Sequence[Mapping[str, str]] = (),
    expires_at: datetime.datetime | None = None,
    remaining_uses: int | None = None,
    allow_redelegation: bool = False,
    redelegation_count: int | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Trust:
    """Lend some of the caller's roles in a project; by a trust-scoped token, lend on what that trust lent.

    Raises NotFound for users, project and roles that are not there or not the trustor's, Invalid for a time that has
    passed or contradictory bounds, Forbidden for what may not be lent (on).
    """
    enforce(ctx, "identity:create_trust", trust_target(trustor=trustor_user_id, trustee=trustee_user_id))
    no_program(ctx)
    if project_id and not roles:
        raise Forbidden("At least one role should be specified")
    row_of(User, trustee_user_id, "user")
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid("The 'expires_at' must not be before now.", field="expires_at")
    above = _lent_to(ctx)
    trust = Trust(
        trustor_id=trustor_user_id,
        trustee_id=trustee_user_id,
        project=row_of(Project, project_id, "project") if project_id else None,
        impersonation=impersonation,
        expires_at=expires_at,
        remaining_uses=remaining_uses,
        redelegated_trust=above,
        redelegation_count=_depth(allow_redelegation, redelegation_count, remaining_uses, above),
        extra=dict(extra or {}),
    )
    lent = _roles(trust, roles, above)
    if above is not None:
        _fits_above(trust, lent, above)
    trust.save(force_insert=True)
    trust.roles.set(lent)
    return trust


@service("anyone")
def trust_delete(ctx: RequestContext, *, trust_id: str) -> None:
    """End a trust, what was lent on by it, and the tokens of both. Raises NotFound."""
    trust_checked(ctx, "identity:delete_trust", trust_id).delete()
    change_epoch()


def _lent_to(ctx: RequestContext) -> Trust | None:
    """The trust that the caller acts by, which is to be lent on."""
    if not ctx.trust_id:
        return None
    above = trust_in_force(ctx.trust_id)
    if above is None or origin_of(above) is None:
        raise Forbidden("One of the trust agents is disabled or deleted")
    return above


def _depth(allowed: bool, wanted: int | None, remaining_uses: int | None, above: Trust | None) -> int:
    """How often the new trust may be lent on. Raises Invalid, Forbidden."""
    most = settings.CONFIG.identity.max_trust_redelegations
    if not allowed or wanted == 0:
        return 0
    if wanted is not None and wanted > most:
        raise Forbidden(f"Requested redelegation depth of {wanted} is greater than allowed {most}")
    if remaining_uses is not None:
        raise Invalid("remaining_uses must not be set if redelegation is allowed", field="remaining_uses")
    if above is None:
        return wanted or most
    left = above.redelegation_count - 1
    if wanted and wanted != left:
        raise Forbidden(
            'Modifying "redelegation_count" upon redelegation is forbidden. Omitting this parameter is advised.'
        )
    return left


def _roles(trust: Trust, wanted: Sequence[Mapping[str, str]], above: Trust | None) -> list[Role]:
    """The roles by id or name, all of which the first trustor has in the project. Raises NotFound."""
    if trust.project is None:
        return []
    giver = origin_of(above) if above is not None else trust.trustor
    assert giver is not None
    held = {r.id for r in effective_roles(user_id=giver.pk, scope=Scope.PROJECT, target_id=trust.project.pk)}
    found = []
    for ref in wanted:
        key = {"pk": ref["id"]} if ref.get("id") else {"name": ref.get("name", ""), "domain": None}
        role = Role.objects.filter(pk__in=held, **key).first()
        if role is None:
            raise NotFound("role", ref.get("id") or ref.get("name", ""))
        found.append(role)
    return list(dict.fromkeys(found))


def _fits_above(trust: Trust, lent: Sequence[Role], above: Trust) -> None:
    """What is lent on is no more, and for no longer, than what was lent. Raises Forbidden."""
    most = settings.CONFIG.identity.max_trust_redelegations
    link: Trust | None = above
    while link is not None:
        if not 0 < link.redelegation_count <= most:
            raise Forbidden(
                f"Remaining redelegation depth of {link.redelegation_count} out of allowed range of [0..{most}]"
            )
        link = link.redelegated_trust
    if trust.remaining_uses is not None:
        raise Forbidden(
            f'Field "remaining_uses" is set to {trust.remaining_uses} while it must not be set in order to '
            "redelegate a trust"
        )
    if trust.expires_at is None:
        trust.expires_at = above.expires_at
    elif above.expires_at is not None and trust.expires_at > above.expires_at:
        raise Forbidden("Requested expiration time is more than redelegated trust can provide")
    if trust.project_id != above.project_id or not {r.pk for r in lent} <= set(
        above.roles.values_list("pk", flat=True)
    ):
        raise Forbidden("Some of requested roles are not in redelegated trust")
    if trust.impersonation and not above.impersonation:
        raise Forbidden(
            "Impersonation is not allowed because redelegated trust does not specify impersonation. "
            f"Redelegated trust id: {above.pk}"
        )
