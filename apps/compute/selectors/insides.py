"""Reading what a server is inside."""

from __future__ import annotations

from apps.compute.models import ServerPassword
from apps.compute.selectors._common import server_for
from apps.core.context import RequestContext
from apps.core.transactions import selector

PASSWORD_SHOW = "os_compute_api:os-server-password:show"
TOPOLOGY = "compute:server:topology:index"


@selector(PASSWORD_SHOW)
def server_password_get(ctx: RequestContext, *, server_id: str) -> str:
    """The password that the guest made, encrypted; empty where it made none."""
    server = server_for(ctx, server_id, PASSWORD_SHOW)
    return ServerPassword.objects.filter(server=server).values_list("encrypted", flat=True).first() or ""


@selector(TOPOLOGY)
def server_topology_check(ctx: RequestContext, *, server_id: str) -> None:
    """May the caller see a server's NUMA nodes, of which none has any? Raises NotFound for no such server."""
    server_for(ctx, server_id, TOPOLOGY)
