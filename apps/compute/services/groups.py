"""Writing server groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.compute.models import Server, ServerGroup
from apps.compute.selectors._common import enforce_on
from apps.compute.selectors.groups import server_group_get
from apps.compute.services.quotas import server_group_claim
from apps.compute.states import GroupPolicy
from apps.core.context import RequestContext
from apps.core.errors import Invalid
from apps.core.transactions import service


@service("os_compute_api:os-server-groups:create")
def server_group_create(
    ctx: RequestContext,
    *,
    name: str,
    policy: str = "",
    policies: list[str] | None = None,
    rules: Mapping[str, Any] | None = None,
) -> ServerGroup:
    """Make a group with one policy. Raises Invalid for rules that the policy has not, OverQuota."""
    chosen = policy or (policies or [""])[0]
    if rules and chosen != GroupPolicy.ANTI_AFFINITY:
        raise Invalid("Only anti-affinity policy supports rules.", field="rules")
    kept = {key: int(value) for key, value in (rules or {}).items()}
    server_group_claim(ctx)
    return ServerGroup.objects.create(
        project_id=ctx.project_id, user_id=ctx.user_id, name=name, policy=chosen, rules=kept
    )


@service("os_compute_api:os-server-groups:delete")
def server_group_delete(ctx: RequestContext, *, server_group_id: str) -> None:
    """Delete a group; its servers stay where they are. Raises NotFound."""
    group = server_group_get(ctx, server_group_id=server_group_id)
    enforce_on(ctx, "os_compute_api:os-server-groups:delete", group)
    Server.objects.filter(group_id=group.pk).update(group_id=None)
    group.delete()
