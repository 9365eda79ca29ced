"""Limits of projects, as this API shows and sets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.transactions import selector, service
from apps.identity.models import Limit
from apps.identity.services import limit_set, limits_of, limits_reset
from apps.network.services.common import QUOTA_DEFAULTS, usage


@selector("get_quota")
def quota_get(ctx: RequestContext, *, project_id: str) -> dict[str, int]:
    """The limits in force for a project."""
    policy.enforce(ctx, "get_quota", {"project_id": project_id})
    return limits_of(ctx, project_id=project_id, service="network")


@selector("get_quota")
def quota_defaults(ctx: RequestContext, *, project_id: str) -> dict[str, int]:
    """The limits of a project that has none of its own."""
    return limits_of(ctx, project_id=None, service="network")


@selector("get_quota")
def quota_details(ctx: RequestContext, *, project_id: str) -> dict[str, dict[str, int]]:
    """Limit and use by resource; nothing is ever reserved."""
    limits = quota_get(ctx, project_id=project_id)
    return {
        resource: {"limit": limit, "used": usage(resource, project_id), "reserved": 0}
        for resource, limit in limits.items()
    }


@selector("list_quotas")
def quota_list(ctx: RequestContext) -> list[dict[str, Any]]:
    """The limits of every project that has some of its own."""
    projects = (
        Limit.objects.filter(service__type="network", project__isnull=False)
        .order_by("project_id")
        .values_list("project_id", flat=True)
        .distinct()
    )
    return [{"project_id": p, "tenant_id": p} | limits_of(ctx, project_id=p, service="network") for p in projects]


@service("update_quota")
def quota_update(ctx: RequestContext, *, project_id: str, limits: Mapping[str, int]) -> dict[str, int]:
    """Set some limits of a project. Raises Invalid for an unknown resource or value."""
    for resource, value in limits.items():
        limit_set(ctx, project_id=project_id, service="network", resource=resource, value=value)
    return limits_of(ctx, project_id=project_id, service="network")


@service("delete_quota")
def quota_reset(ctx: RequestContext, *, project_id: str) -> None:
    """Let a project have the defaults again."""
    limits_reset(ctx, project_id=project_id, service="network")


__all__ = [
    "QUOTA_DEFAULTS",
    "quota_defaults",
    "quota_details",
    "quota_get",
    "quota_list",
    "quota_reset",
    "quota_update",
]
