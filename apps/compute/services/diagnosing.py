"""What a server's machine has used, read from its host while the caller waits."""

from __future__ import annotations

import msgspec

from agents.contracts import Diagnostics
from apps.compute.models import Server
from apps.compute.selectors._common import server_for
from apps.compute.services.asking import host_answer
from apps.compute.services.servers import check_placed, check_state
from apps.core.context import RequestContext
from apps.core.transactions import streaming

DIAGNOSE = "compute.server.read_diagnostics"


@streaming("os_compute_api:os-server-diagnostics")
def server_diagnostics(ctx: RequestContext, *, server_id: str) -> tuple[Server, Diagnostics]:
    """The server and its counters. Raises Conflict unless it is active, Unavailable where its host does not answer."""
    server = server_for(ctx, server_id, "os_compute_api:os-server-diagnostics")
    check_placed(server, "get_diagnostics")
    check_state(server, "get_diagnostics")
    answer = host_answer(
        ctx,
        kind=DIAGNOSE,
        subject=("diagnostics", str(server.pk)),
        project_id=str(server.project_id),
        given={"host": server.host_name},
        what="The diagnostics cannot be read",
    )
    return server, msgspec.convert(answer, Diagnostics)
