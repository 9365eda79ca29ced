"""Writes of routers: gateways, interfaces and routes."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from apps.core import live
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound
from apps.core.transactions import service
from apps.network.models import FixedIp, FloatingIp, Network, Port, PortGroup, Router, Subnet
from apps.network.services.common import (
    change,
    check_revision,
    claim,
    find,
    guard,
    guard_attributes,
    identified,
    in_use,
    mark,
    parse_routes,
    project_for,
    target,
    touch,
)
from apps.network.services.ports import plug, remove
from apps.network.states import Dirty, Owner, new_mac

DEFAULT: Any = object()  # "not given", where null means something else
_MAX_ROUTES = 30


@service("create_router")
def router_create(
    ctx: RequestContext,
    *,
    name: str = "",
    description: str = "",
    project_id: str | None = None,
    admin_state_up: bool = True,
    external_gateway_info: Mapping[str, Any] | None = None,
    distributed: bool | None = None,
    ha: bool | None = None,
    availability_zone_hints: list[str] | None = None,
) -> Router:
    """Make a router, with a gateway if asked. Raises NotFound, Forbidden, Invalid, Conflict, OverQuota."""
    owner = project_for(ctx, project_id)
    guard_attributes(ctx, "create_router", {"distributed": distributed, "ha": ha}, {}, {"project_id": owner})
    _check_kind(distributed, ha)
    claim(ctx, project_id=owner, resource="router")
    router = Router.objects.create(project_id=owner, name=name, description=description, admin_state_up=admin_state_up)
    if external_gateway_info:
        _set_gateway(ctx, router, external_gateway_info, "create_router")
    mark(Dirty.ROUTER, router.pk)
    live.notify(owner, "router", router.pk)
    return router


def _check_kind(distributed: bool | None, ha: bool | None) -> None:
    """Routers here are as OVN has them: routing on every host, the gateway failing over by itself."""
    if distributed is False:
        raise Invalid("Centralized routers are not supported: every host routes.", field="distributed")
    if ha is False:
        raise Invalid("Gateways are always highly available where there is more than one host.", field="ha")


@service("update_router")
def router_update(ctx: RequestContext, *, router_id: str, if_revision: int | None = None, **values: Any) -> Router:
    """Change a router. Raises NotFound, Forbidden, Invalid, Conflict."""
    router = find(Router.objects.visible(ctx), "router", router_id, lock=True)
    guard(ctx, "update_router", router)
    check_revision(router, if_revision)
    kind: dict[str, Any] = {k: values.pop(k) for k in ("distributed", "ha") if k in values}
    guard_attributes(ctx, "update_router", kind, {}, target(router))
    _check_kind(kind.get("distributed"), kind.get("ha"))
    gateway = values.pop("external_gateway_info", DEFAULT)
    if gateway is not DEFAULT:
        if gateway:
            _set_gateway(ctx, router, gateway, "update_router")
        else:
            _clear_gateway(router)
    if "routes" in values:
        values["routes"] = _routes(router, values["routes"])
    change(router, **values)
    mark(Dirty.ROUTER, router.pk)
    live.notify(router.project_id, "router", router.pk)
    return router


def _set_gateway(ctx: RequestContext, router: Router, info: Mapping[str, Any], verb: str) -> None:
    """Join the router to an external network."""
    if not isinstance(info, Mapping) or not info.get("network_id"):
        raise Invalid("external_gateway_info needs network_id.", field="external_gateway_info")
    unknown = set(info) - {"network_id", "enable_snat", "external_fixed_ips", "qos_policy_id"}
    if unknown:
        raise Invalid(f"Invalid input for external_gateway_info. Reason: unexpected keys {sorted(unknown)}.")
    given = {
        "external_gateway_info:enable_snat": info.get("enable_snat"),
        "external_gateway_info:external_fixed_ips": info.get("external_fixed_ips"),
    }
    guard_attributes(ctx, verb, given, {"external_gateway_info:enable_snat": True}, target(router))
    network = find(Network.objects.visible(ctx), "network", info["network_id"])
    if not network.external:
        raise Invalid(f"Bad router request: Network {network.pk} is not an external network.", code="BadRequest")
    port = router.ports.filter(device_owner=Owner.ROUTER_GATEWAY).first()
    moved = port is not None and port.network_id != network.pk
    readdressed = port is not None and bool(info.get("external_fixed_ips")) and not _same_addresses(port, info)
    if moved or readdressed:
        _clear_gateway(router)
        port = None
    if port is None:
        _check_gateway_ranges(router, network)
        port = Port(
            network=network,
            router=router,
            mac_address=new_mac(),
            device_id=str(router.pk),
            device_owner=Owner.ROUTER_GATEWAY,
            port_security_enabled=False,
        )
        fixed = info.get("external_fixed_ips")
        plug(port, [dict(f) for f in fixed] if fixed else None)
        if not port.fixed_ips.exists():
            raise Invalid(f"Bad router request: No IPs available for external network {network.pk}.", code="BadRequest")
        mark(Dirty.PORT, port.pk)
    router.gateway_network = network
    router.enable_snat = bool(info.get("enable_snat", router.enable_snat))
    router.save(update_fields=["gateway_network", "enable_snat"])


def _same_addresses(port: Port, info: Mapping[str, Any]) -> bool:
    """Does the gateway already have the addresses that are asked for?"""
    held = [(str(f.subnet_id), f.address) for f in port.fixed_ips.all()]
    wanted = info["external_fixed_ips"]
    return len(wanted) == len(held) and all(
        any(
            item.get("subnet_id") in (None, subnet) and item.get("ip_address") in (None, address)
            for subnet, address in held
        )
        for item in wanted
    )


def _check_gateway_ranges(router: Router, network: Network) -> None:
    for outside in network.subnets.values_list("cidr", flat=True):
        _check_no_overlap(router, ipaddress.ip_network(outside), "")


def _clear_gateway(router: Router) -> None:
    port = router.ports.filter(device_owner=Owner.ROUTER_GATEWAY).first()
    if port is None:
        return
    if FloatingIp.objects.filter(router=router).exists():
        raise in_use(
            f"Gateway cannot be updated for router {router.pk}, since a gateway to external network "
            f"{port.network_id} is required by one or more floating IPs.",
            "RouterExternalGatewayInUseByFloatingIp",
        )
    router.gateway_network = None
    router.enable_snat = True
    router.save(update_fields=["gateway_network", "enable_snat"])
    remove(port)


def _routes(router: Router, items: Sequence[Mapping[str, Any]] | None) -> list[dict[str, str]]:
    """Extra routes; each next hop must be reachable by one of the router's interfaces. Raises Invalid."""
    routes = parse_routes(items, "routes")
    if len(routes) > _MAX_ROUTES:
        raise Invalid(f"Unable to complete operation for {router.pk}. The number of routes exceeds the maximum quota.",
                      code="RoutesExhausted")  # fmt: skip
    own = FixedIp.objects.filter(port__router=router).values_list("subnet__cidr", "address")
    ranges = [(ipaddress.ip_network(cidr), address) for cidr, address in own]
    for route in routes:
        hop = ipaddress.ip_address(route["nexthop"])
        if not any(hop in cidr for cidr, _ in ranges):
            raise Invalid(
                f"Invalid format for routes: {routes}, the nexthop is not connected with router", code="InvalidRoutes"
            )
        if any(route["nexthop"] == address for _, address in ranges):
            raise Invalid(f"Invalid format for routes: {routes}, the nexthop is used by router", code="InvalidRoutes")
    return routes


@service("add_extraroutes")
def router_add_routes(ctx: RequestContext, *, router_id: str, routes: Sequence[Mapping[str, Any]]) -> Router:
    """Add routes to those there are; one that is there already stays."""
    router = find(Router.objects.visible(ctx), "router", router_id, lock=True)
    guard(ctx, "add_extraroutes", router)
    added = [r for r in parse_routes(routes, "routes") if r not in router.routes]
    change(router, routes=_routes(router, [*router.routes, *added]))
    mark(Dirty.ROUTER, router.pk)
    return router


@service("remove_extraroutes")
def router_remove_routes(ctx: RequestContext, *, router_id: str, routes: Sequence[Mapping[str, Any]]) -> Router:
    """Take routes away; one that is not there is no error."""
    router = find(Router.objects.visible(ctx), "router", router_id, lock=True)
    guard(ctx, "remove_extraroutes", router)
    gone = parse_routes(routes, "routes")
    change(router, routes=[r for r in router.routes if r not in gone])
    mark(Dirty.ROUTER, router.pk)
    return router


@service("delete_router")
def router_delete(ctx: RequestContext, *, router_id: str, if_revision: int | None = None) -> None:
    """Delete a router. Raises NotFound, Conflict (RouterInUse) while networks are joined to it."""
    router = find(Router.objects.visible(ctx), "router", router_id, lock=True)
    guard(ctx, "delete_router", router)
    check_revision(router, if_revision)
    if router.ports.filter(device_owner=Owner.ROUTER_INTERFACE).exists():
        raise in_use(f"Router {router.pk} still has ports", "RouterInUse")
    _clear_gateway(router)
    project_id, pk = router.project_id, router.pk
    router.delete()
    mark(Dirty.ROUTER, pk)
    live.notify(project_id, "router", pk)


@service("add_router_interface")
def router_add_interface(
    ctx: RequestContext, *, router_id: str, subnet_id: str | None = None, port_id: str | None = None
) -> dict[str, Any]:
    """Join a subnet to a router, at its gateway's address or by a port there is.

    Returns Neutron's description of the interface. Raises NotFound, Forbidden, Invalid, Conflict.
    """
    router = find(Router.objects.visible(ctx), "router", router_id, lock=True)
    guard(ctx, "add_router_interface", router)
    if bool(subnet_id) == bool(port_id):
        raise Invalid(
            "Bad router request: Either subnet_id or port_id must be specified, and not both.", code="BadRequest"
        )
    port = _interface_of_subnet(ctx, router, subnet_id) if subnet_id else _interface_of_port(ctx, router, port_id)
    mark(Dirty.PORT, port.pk)
    mark(Dirty.ROUTER, router.pk)
    touch(Router.objects.filter(pk=router.pk))
    live.notify(router.project_id, "router", router.pk)
    return _interface(router, port)


def _interface(router: Router, port: Port) -> dict[str, Any]:
    subnets = [str(pk) for pk in port.fixed_ips.order_by("pk").values_list("subnet_id", flat=True)]
    return {
        "id": str(router.pk),
        "project_id": router.project_id,
        "tenant_id": router.project_id,
        "port_id": str(port.pk),
        "network_id": str(port.network_id),
        "subnet_id": subnets[0] if subnets else None,
        "subnet_ids": subnets,
    }


def _interface_of_subnet(ctx: RequestContext, router: Router, subnet_id: str | None) -> Port:
    subnet = find(Subnet.objects.visible(ctx).select_related("network"), "subnet", subnet_id)
    if not ctx.is_admin and subnet.network.project_id != ctx.project_id and not subnet.network.shared:
        raise Forbidden("The network is not the caller's.")
    if not subnet.gateway_ip:
        raise Invalid("Bad router request: Subnet for router interface must have a gateway IP.", code="BadRequest")
    _check_no_overlap(router, ipaddress.ip_network(subnet.cidr), str(subnet.pk))
    port = Port(
        network=subnet.network,
        project_id=router.project_id,
        router=router,
        mac_address=new_mac(),
        device_id=str(router.pk),
        device_owner=Owner.ROUTER_INTERFACE,
        port_security_enabled=False,
    )
    plug(port, [{"subnet_id": str(subnet.pk), "ip_address": subnet.gateway_ip}])
    return port


def _interface_of_port(ctx: RequestContext, router: Router, port_id: str | None) -> Port:
    port = find(Port.objects.visible(ctx), "port", port_id, lock=True)
    if port.device_id or port.router_id:
        raise in_use(
            f"Unable to complete operation on port {port.pk} for network {port.network_id}. Port already has an "
            f"attached device {port.device_id}.",
            "PortInUse",
        )
    fixed = list(port.fixed_ips.select_related("subnet"))
    if not fixed:
        raise Invalid("Bad router request: Router port must have at least one fixed IP", code="BadRequest")
    for one in fixed:
        _check_no_overlap(router, ipaddress.ip_network(one.subnet.cidr), str(one.subnet_id))
    PortGroup.objects.filter(port=port).delete()
    change(
        port,
        router=router,
        device_id=str(router.pk),
        device_owner=Owner.ROUTER_INTERFACE,
        port_security_enabled=False,
        allowed_address_pairs=[],
    )
    return port


def _check_no_overlap(router: Router, wanted: Any, subnet_id: str) -> None:
    own = FixedIp.objects.filter(port__router=router).values_list("subnet_id", "subnet__cidr")
    for other, cidr in own:
        if subnet_id and str(other) == subnet_id:
            raise Invalid(f"Bad router request: Router already has a port on subnet {subnet_id}.", code="BadRequest")
        if wanted.overlaps(ipaddress.ip_network(cidr)):
            raise Invalid(
                f"Bad router request: Cidr {wanted} of subnet {subnet_id} overlaps with cidr {cidr} of subnet {other}.",
                code="BadRequest",
            )


@service("remove_router_interface")
def router_remove_interface(
    ctx: RequestContext, *, router_id: str, subnet_id: str | None = None, port_id: str | None = None
) -> dict[str, Any]:
    """Part a subnet from a router; the port goes. Raises NotFound, Forbidden, Invalid, Conflict."""
    router = find(Router.objects.visible(ctx), "router", router_id, lock=True)
    guard(ctx, "remove_router_interface", router)
    if not subnet_id and not port_id:
        raise Invalid("Bad router request: Either subnet_id or port_id must be specified.", code="BadRequest")
    port = _held(router, subnet_id, port_id)
    _check_interface_unused(router, port)
    described = _interface(router, port)
    if subnet_id:
        described["subnet_id"] = str(subnet_id)
    remove(port)
    mark(Dirty.ROUTER, router.pk)
    touch(Router.objects.filter(pk=router.pk))
    live.notify(router.project_id, "router", router.pk)
    return described


def _held(router: Router, subnet_id: str | None, port_id: str | None) -> Port:
    """The interface that is meant. Raises NotFound, Conflict."""
    mine = router.ports.filter(device_owner=Owner.ROUTER_INTERFACE)
    if port_id:
        key = identified(port_id)
        port = mine.filter(pk=key).first() if key else None
        if port is None:
            raise NotFound(
                f"Router {router.pk} does not have an interface with id", port_id, code="RouterInterfaceNotFound"
            )
        if subnet_id and not port.fixed_ips.filter(subnet_id=subnet_id).exists():
            raise Conflict(
                f"Subnet ID {subnet_id} does not match any subnet of port {port_id}.", code="SubnetMismatchForPort"
            )
        return port
    subnet = find(Subnet.objects.all(), "subnet", subnet_id)
    port = mine.filter(fixed_ips__subnet=subnet).first()
    if port is None:
        raise NotFound(
            f"Router {router.pk} has no interface on subnet", subnet_id, code="RouterInterfaceNotFoundForSubnet"
        )
    return port


def _check_interface_unused(router: Router, port: Port) -> None:
    subnets = list(port.fixed_ips.values_list("subnet_id", "subnet__cidr"))
    floating = FloatingIp.objects.filter(router=router, port__fixed_ips__subnet_id__in=[s for s, _ in subnets])
    if floating.exists():
        raise in_use(
            f"Router interface for subnet {subnets[0][0]} on router {router.pk} cannot be deleted, as it is required "
            "by "
            "one or more floating IPs.",
            "RouterInterfaceInUseByFloatingIP",
        )
    for route in router.routes:
        if any(ipaddress.ip_address(route["nexthop"]) in ipaddress.ip_network(cidr) for _, cidr in subnets):
            raise in_use(
                f"Router interface for subnet {subnets[0][0]} on router {router.pk} cannot be deleted, as it is "
                "required by one or more routes.",
                "RouterInterfaceInUseByRoute",
            )
