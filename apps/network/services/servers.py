"""What compute asks of the network: ports for a server, bound to its host, and gone or freed with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.contracts import MetadataEndpoint, Nic
from apps.core import live
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound, OverQuota
from apps.core.transactions import internal
from apps.network.models import Change, FloatingIp, Network, Port, PortGroup, SecurityGroup
from apps.network.services.addresses import Exhausted
from apps.network.services.common import OverNetworkQuota, find, identified, mark, mark_ports
from apps.network.services.ports import binding, port_create, remove
from apps.network.states import SERVER_PREFIX, Dirty, Owner, PortStatus

Requests = Sequence[Mapping[str, Any]] | str | None


@internal("compute's server_create, which enforces its own rule")
def server_ports_create(
    ctx: RequestContext,
    *,
    server_id: object,
    server_name: str,
    requests: Requests,
    security_groups: Sequence[str] | None = None,
    zone: str = "nova",
) -> list[Port]:
    """Make or take the ports that nova's `networks` asks for, in its order.

    `requests` is a list of `{"uuid"|"port", "fixed_ip", "tag"}`, "auto", "none" or None (as if by auto, but no
    network at all is fine). `security_groups` are names or ids; they apply to ports made here. Errors are nova's:
    Invalid for an unknown network, port, address or group, Conflict for several possible networks or a port in use,
    Forbidden for an external network, OverQuota.
    """
    wanted = _requests(ctx, requests)
    groups = _groups(ctx, security_groups) if security_groups else None
    start = _ports(server_id).count()
    made: list[Port] = []
    for index, item in enumerate(wanted, start):
        if item.get("port"):
            port = _take(ctx, item["port"], server_id, zone)
        else:
            port = _make(ctx, item, server_id, zone, groups)
        port.nic_index = index
        port.server_id = identified(server_id)
        port.save(update_fields=["nic_index", "server_id"])
        made.append(port)
    return made


def _requests(caller: RequestContext, requests: Requests) -> list[Mapping[str, Any]]:
    if requests == "none":
        return []
    if requests in (None, "auto", []):
        return _only_network(caller, must=requests == "auto")
    assert not isinstance(requests, str)
    assert requests is not None
    return [*requests]


def _only_network(caller: RequestContext, *, must: bool) -> list[Mapping[str, Any]]:
    mine = Network.objects.filter(project_id=caller.project_id, external=False)
    found = list(mine.values_list("pk", flat=True)[:2]) or list(
        Network.objects.filter(shared=True).values_list("pk", flat=True)[:2]
    )
    if len(found) > 1:
        raise Conflict("Multiple possible networks found, use a Network ID to be more specific.")
    if not found and must:
        raise Invalid(
            "Unable to automatically allocate a network for project: it has none.", hint="Create a network first."
        )
    return [{"uuid": str(pk)} for pk in found]


def _groups(caller: RequestContext, names: Sequence[str]) -> list[str]:
    """Names or ids as ids. Raises Invalid for an unknown one, Conflict for a name of several."""
    ids: list[str] = []
    for name in names:
        mine = SecurityGroup.objects.filter(project_id=caller.project_id)
        key = identified(name)
        by_id = mine.filter(pk=key).first() if key else None
        matches = [by_id] if by_id else list(mine.filter(name=name)[:2])
        if not matches and name == "default":
            continue
        if not matches:
            raise Invalid(f"Security group {name} not found for project {caller.project_id}.")
        if len(matches) > 1:
            raise Conflict(f"Multiple security groups found matching '{name}'. Use an ID to be more specific.")
        ids.append(str(matches[0].pk))
    return ids


def _make(
    caller: RequestContext, item: Mapping[str, Any], server_id: object, zone: str, groups: list[str] | None
) -> Port:
    network_id = item.get("uuid") or item.get("network")
    key = identified(network_id)
    network = Network.objects.visible(caller).filter(pk=key).first() if key else None
    if network is None:
        raise Invalid(f"Network {network_id} could not be found.")
    if network.external and not network.shared and network.project_id != caller.project_id and not caller.is_admin:
        raise Forbidden(f"It is not allowed to create an interface on external network {network_id}")
    if not network.subnets.exists():
        raise Invalid(f"Network {network_id} requires a subnet in order to boot instances on.")
    fixed = item.get("fixed_ip")
    chosen: dict[str, Any] = {"fixed_ips": [{"ip_address": fixed}]} if fixed else {}
    try:
        port = port_create(
            caller,
            network_id=str(network.pk),
            device_id=str(server_id),
            device_owner=f"{SERVER_PREFIX}{zone}",
            security_groups=groups or None if network.port_security_enabled else None,
            **chosen,
        )
    except OverNetworkQuota as error:
        raise OverQuota("port", used=error.used, wanted=error.wanted, limit=error.limit) from error
    except Exhausted as error:
        raise Invalid(f"No fixed IP addresses available for network: {network_id}") from error
    except NotFound as error:
        raise Invalid(error.message) from error
    port.made_for_server = True
    port.save(update_fields=["made_for_server"])
    return port


def _take(caller: RequestContext, port_id: str, server_id: object, zone: str) -> Port:
    try:
        port = find(Port.objects.visible(caller), "port", port_id, lock=True)
    except NotFound as error:
        raise Invalid(f"Port id {port_id} could not be found.") from error
    if port.device_id:
        raise Conflict(f"Port {port_id} is still in use.")
    if port.project_id != caller.project_id and not caller.is_admin:
        raise Invalid(f"Port {port_id} not usable for instance {server_id}.")
    if not port.fixed_ips.exists() and port.port_security_enabled:
        raise Invalid(f"Port {port_id} requires a FixedIP in order to be used.")
    port.device_id = str(server_id)
    port.device_owner = f"{SERVER_PREFIX}{zone}"
    port.save(update_fields=["device_id", "device_owner"])
    mark(Dirty.PORT, port.pk)
    return port


def _ports(server_id: object) -> Any:
    return Port.objects.filter(server_id=identified(server_id))


@internal("compute's sagas")
def server_ports_bind(ctx: RequestContext, *, server_id: object, host: str, chassis: str = "") -> None:
    """Bind a server's ports to the host that is to run it."""
    columns = binding(host) | ({"chassis": chassis} if chassis else {})
    _ports(server_id).exclude(host_name=host).update(**columns, status=PortStatus.DOWN)
    _mark(server_id)


@internal("compute's sagas")
def server_ports_unbind(ctx: RequestContext, *, server_id: object) -> None:
    """Bind a server's ports to no host."""
    _ports(server_id).update(host_name="", chassis="", status=PortStatus.DOWN)
    _mark(server_id)


def _mark(server_id: object) -> None:
    ports = _ports(server_id)
    mark_ports(ports)
    routers = FloatingIp.objects.filter(port__in=ports, router__isnull=False).values_list("router_id", flat=True)
    mark(Dirty.ROUTER, *set(routers))


@internal("compute's sagas")
def server_ports_release(ctx: RequestContext, *, server_id: object) -> None:
    """Delete the ports that were made for a server, and free the others. Nothing to do is success."""
    for port in _ports(server_id).select_for_update(no_key=True, of=("self",)):
        if port.made_for_server:
            remove(port)
        else:
            _free(port)


def _free(port: Port) -> None:
    """Let go of a port that its owner made."""
    port.device_id = port.device_owner = port.host_name = port.chassis = ""
    port.server_id = None
    port.status = PortStatus.DOWN
    port.save(update_fields=["device_id", "device_owner", "host_name", "chassis", "server_id", "status"])
    mark(Dirty.PORT, port.pk)
    live.notify(port.project_id or "", "port", port.pk)


@internal("compute's os-interface, which enforces its own rule")
def server_port_release(ctx: RequestContext, *, server_id: object, port_id: object) -> None:
    """The same for one port of a server. Raises NotFound."""
    port = find(_ports(server_id), "port", port_id, lock=True)
    if port.made_for_server:
        remove(port)
    else:
        _free(port)


@internal("compute's security group actions, which enforce their own rule")
def server_group_change(ctx: RequestContext, *, server_id: object, name: str, add: bool) -> None:
    """Put all ports of a server into a group, or take them out. Raises NotFound, Conflict for an ambiguous name."""
    mine = SecurityGroup.objects.filter(project_id=ctx.project_id)
    key = identified(name)
    group = (mine.filter(pk=key).first() if key else None) or mine.filter(name=name).first()
    if group is None:
        raise NotFound("Security group", name)
    if not key and mine.filter(name=name).count() > 1:
        raise Conflict(f"Multiple security groups found matching '{name}'. Use an ID to be more specific.")
    ports = list(_ports(server_id).filter(port_security_enabled=True))
    if add:
        PortGroup.objects.bulk_create(
            [PortGroup(port=port, security_group=group) for port in ports], ignore_conflicts=True
        )
    else:
        gone, _ = PortGroup.objects.filter(port__in=ports, security_group=group).delete()
        if not gone:
            raise NotFound("Security group", name)
    mark(Dirty.PORT, *(port.pk for port in ports))


@internal("compute's sagas")
def server_nics(ctx: RequestContext, *, server_id: object) -> tuple[Nic, ...]:
    """A server's interfaces as its host is told of them."""
    ports = list(_ports(server_id).select_related("network").order_by("nic_index", "created_at", "pk"))
    endpoints = _endpoints({port.network_id for port in ports})
    return tuple(
        Nic(
            port_id=str(port.pk),
            network_id=str(port.network_id),
            mac=port.mac_address,
            mtu=port.network.mtu,
            metadata=endpoints.get(port.network_id),
        )
        for port in ports
    )


def _endpoints(networks: set[Any]) -> dict[Any, MetadataEndpoint]:
    ports = Port.objects.filter(network_id__in=networks, device_owner=Owner.METADATA).prefetch_related(
        "fixed_ips__subnet"
    )
    return {
        port.network_id: MetadataEndpoint(
            port_id=str(port.pk),
            mac=port.mac_address,
            cidrs=tuple(f"{f.address}/{f.subnet.cidr.partition('/')[2]}" for f in port.fixed_ips.all()),
        )
        for port in ports
    }


def projected(*, server_id: object = None, network_id: object = None) -> bool:
    """Is everything of this server's ports (or this network) in OVN as it is here?"""
    idents: set[Any] = set()
    if server_id is not None:
        for port, network in _ports(server_id).values_list("pk", "network_id"):
            idents |= {port, network}
    if network_id is not None:
        idents.add(network_id)
    return not Change.objects.filter(ident__in=idents).exists()
