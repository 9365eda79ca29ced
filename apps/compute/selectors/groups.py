"""Reading server groups."""

from __future__ import annotations

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import OuterRef, QuerySet, Subquery

from apps.compute.models import Server, ServerGroup
from apps.compute.selectors._common import enforce_on, key, one, owned
from apps.core import policy
from apps.core.context import RequestContext
from apps.core.transactions import selector

MEMBERS = Subquery(
    Server.objects.filter(group_id=OuterRef("pk"), deleting_at=None)
    .order_by()
    .values("group_id")
    .annotate(ids=ArrayAgg("pk"))
    .values("ids")
)


@selector("os_compute_api:os-server-groups:index")
def server_group_list(ctx: RequestContext, *, all_projects: bool = False) -> QuerySet[ServerGroup]:
    """Server groups of the caller's project, or of all for whom the rule allows it."""
    if all_projects and policy.allowed(ctx, "os_compute_api:os-server-groups:index:all_projects"):
        return ServerGroup.objects.all()
    return ServerGroup.objects.filter(project_id=ctx.project_id)


@selector("os_compute_api:os-server-groups:show")
def server_group_get_query(ctx: RequestContext, *, server_group_id: str) -> QuerySet[ServerGroup]:
    """One of them by id."""
    return owned(ctx, ServerGroup.objects.filter(pk=key(server_group_id)))


@selector("os_compute_api:os-server-groups:show")
def server_group_get(ctx: RequestContext, *, server_group_id: str) -> ServerGroup:
    """The same as an instance. Raises NotFound."""
    found = one(owned(ctx, ServerGroup.objects.filter(pk=key(server_group_id))), "server group", server_group_id)
    enforce_on(ctx, "os_compute_api:os-server-groups:show", found)
    return found
