"""Asking a host what it has now, for people who wait for the answer: `reconcile` and `doctor`."""

from __future__ import annotations

import msgspec

from agents.contracts import Inventory
from apps.compute.services.asking import host_answer
from apps.core.clock import database_time
from apps.core.context import RequestContext
from apps.core.errors import NotFound, Unavailable
from apps.core.transactions import streaming
from apps.hosts.models import Host

INSPECT = "compute.host.inspect"


@streaming("os_compute_api:os-services:list")
def inventory_of(ctx: RequestContext, *, host_name: str) -> tuple[Host, Inventory]:
    """A host and its inventory of this moment. Raises NotFound, and Unavailable where the host does not answer."""
    host = Host.objects.filter(name=host_name).first()
    if host is None:
        raise NotFound("host", host_name)
    if not host.is_up:
        raise Unavailable(f"Host {host_name} is {'declared down' if host.forced_down else host.state}.")
    answer = host_answer(
        ctx,
        kind=INSPECT,
        subject=("host", host_name),
        project_id="",
        given={"asked_at": database_time().isoformat()},
        what=f"Host {host_name}",
    )
    return host, msgspec.convert(answer, Inventory)
