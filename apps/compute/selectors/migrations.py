"""Who may ask for moves of servers between hosts, of which there are none yet."""

from __future__ import annotations

from typing import Literal

from apps.compute.selectors._common import enforce_on, server_for
from apps.core.context import RequestContext
from apps.core.transactions import selector

_RULES = "os_compute_api:servers:migrations"


@selector("os_compute_api:os-migrations:index")
def migration_check(ctx: RequestContext) -> None:
    """May the caller list migrations?"""


@selector("os_compute_api:servers:show")
def server_migration_check(
    ctx: RequestContext, *, server_id: str, verb: Literal["index", "show", "force_complete", "delete"]
) -> None:
    """May the caller do this with a server's migrations? Raises NotFound for no such server."""
    enforce_on(ctx, f"{_RULES}:{verb}", server_for(ctx, server_id, "os_compute_api:servers:show"))
