"""Interfaces and security groups of servers: ports that compute plugs in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.compute.selectors._common import as_uuid, key, server_for
from apps.compute.services.servers import begin, check_unlocked, touched
from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound
from apps.core.transactions import service
from apps.network import services as network
from apps.network.models import Port

ATTACH = "compute.server.attach_interface"
DETACH = "compute.server.detach_interface"
_INTERFACES = "os_compute_api:os-attach-interfaces"
_GROUPS = "os_compute_api:os-security-groups"


@service(f"{_INTERFACES}:create")
def server_interface_attach(
    ctx: RequestContext,
    *,
    server_id: str,
    port_id: str = "",
    net_id: str = "",
    fixed_ips: Sequence[Mapping[str, Any]] = (),
    tag: str = "",
) -> Port:
    """Plug a port, or a new one on a network, into a server. Raises Invalid, Conflict, NotFound as Nova does."""
    rule = f"{_INTERFACES}:create"
    if port_id and net_id:
        raise Invalid("Only one of net_id and port_id may be given.", field="port_id")
    if fixed_ips and not net_id:
        raise Invalid("Must specify net_id when specifying fixed_ips.", field="fixed_ips")
    operation = begin(ctx, server_id, rule=rule, action="attach_interface", kind=ATTACH)
    request: dict[str, Any] = {"port": port_id} if port_id else {"uuid": net_id}
    if fixed_ips:
        request["fixed_ip"] = fixed_ips[0]["ip_address"]
    requests: Any = [request] if port_id or net_id else "auto"
    (port,) = network.server_ports_create(ctx, server_id=operation.subject_id, server_name="", requests=requests)
    operation.input = {**operation.input, "port_id": str(port.pk)}
    operation.save(update_fields=["input"])
    if tag:
        server = server_for(ctx, server_id, rule)
        touched(server, device_tags={**server.device_tags, str(port.pk): tag})
    return port


@service(f"{_INTERFACES}:delete")
def server_interface_detach(ctx: RequestContext, *, server_id: str, port_id: str) -> None:
    """Unplug a port; one that was made for the server is deleted. Raises NotFound."""
    rule = f"{_INTERFACES}:delete"
    server = server_for(ctx, server_id, rule)
    if not Port.objects.filter(pk=key(port_id), server_id=server.pk).exists():
        raise NotFound("Port", port_id)
    begin(
        ctx,
        server_id,
        rule=rule,
        action="attach_interface",
        kind=DETACH,
        port_id=str(as_uuid(port_id)),
    )


@service(f"{_GROUPS}:add")
def server_group_add(ctx: RequestContext, *, server_id: str, name: str) -> None:
    """Put all ports of a server into a security group. Raises NotFound, Conflict for an ambiguous name."""
    _regroup(ctx, server_id, name, add=True)


@service(f"{_GROUPS}:remove")
def server_group_remove(ctx: RequestContext, *, server_id: str, name: str) -> None:
    """Take all ports of a server out of a security group. Raises NotFound."""
    _regroup(ctx, server_id, name, add=False)


def _regroup(ctx: RequestContext, server_id: str, name: str, *, add: bool) -> None:
    server = server_for(ctx, server_id, f"{_GROUPS}:{'add' if add else 'remove'}")
    check_unlocked(ctx, server)
    if not name.strip():
        raise Invalid("The name of the security group is missing.", field="name")
    network.server_group_change(ctx, server_id=server.pk, name=name, add=add)
    touched(server)
