"""Switching hosts on and off for new servers through compute's API."""

from __future__ import annotations

from uuid import UUID

from apps.core.context import RequestContext
from apps.core.transactions import service
from apps.hosts import services as hosts


@service("os_compute_api:os-services:update")
def service_enable(ctx: RequestContext, *, host_id: UUID) -> None:
    """Let a host take new servers."""
    hosts.host_enable(ctx, host_id=host_id)


@service("os_compute_api:os-services:update")
def service_disable(ctx: RequestContext, *, host_id: UUID, reason: str = "") -> None:
    """Keep new servers from a host; those there run on."""
    hosts.host_disable(ctx, host_id=host_id, reason=reason)


@service("os_compute_api:os-services:update")
def service_force_down(ctx: RequestContext, *, host_id: UUID, forced: bool) -> None:
    """Declare a host down, or take that back."""
    hosts.host_force_down(ctx, host_id=host_id, forced=forced)


@service("os_compute_api:os-services:delete")
def service_forget(ctx: RequestContext, *, host_id: UUID) -> None:
    """Forget a host that has no servers any more."""
    hosts.host_remove(ctx, host_id=host_id)
