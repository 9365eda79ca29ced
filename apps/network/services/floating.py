"""Writes of floating IPs."""

from __future__ import annotations

import ipaddress
from typing import Any

from apps.core import live, policy
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound
from apps.core.transactions import on_violation, service
from apps.network.models import FixedIp, FloatingIp, Network, Port, Router
from apps.network.services.common import (
    change,
    check_revision,
    claim,
    find,
    guard,
    in_use,
    mark,
    project_for,
)
from apps.network.services.ports import plug
from apps.network.states import Dirty, Owner, new_mac

DEFAULT: Any = object()  # "not given", where null means something else

on_violation(
    "network_floating_once",
    lambda detail: Conflict(
        "Cannot associate floating IP with port: that fixed IP already has a floating IP on this external network.",
        code="FloatingIPPortAlreadyAssociated",
    ),
)


@service("create_floatingip")
def floatingip_create(
    ctx: RequestContext,
    *,
    floating_network_id: str,
    port_id: str | None = None,
    fixed_ip_address: str | None = None,
    floating_ip_address: str | None = None,
    subnet_id: str | None = None,
    description: str = "",
    project_id: str | None = None,
) -> FloatingIp:
    """Take an address of an external network, and lead it to a port if asked.

    Raises NotFound, Forbidden, Invalid, Conflict, OverQuota.
    """
    owner = project_for(ctx, project_id)
    network = find(Network.objects.visible(ctx), "network", floating_network_id)
    if not network.external:
        raise Invalid(
            f"Bad floatingip request: Network {network.pk} is not a valid external network.", code="BadRequest"
        )
    if floating_ip_address:
        policy.enforce(ctx, "create_floatingip:floating_ip_address", {"project_id": owner})
    claim(ctx, project_id=owner, resource="floatingip")
    port = Port(network=network, mac_address=new_mac(), device_owner=Owner.FLOATING_IP, port_security_enabled=False)
    plug(port, _wish(network, floating_ip_address, subnet_id))
    address = _own_address(port)
    floating = FloatingIp(
        project_id=owner,
        description=description,
        floating_network=network,
        floating_port=port,
        floating_ip_address=address,
    )
    port.device_id = str(floating.pk)
    port.save(update_fields=["device_id"])
    if port_id:
        _lead(ctx, floating, port_id, fixed_ip_address)
    elif fixed_ip_address:
        raise Invalid(
            "Bad floatingip request: fixed_ip_address cannot be specified without a port_id", code="BadRequest"
        )
    floating.save(force_insert=True)
    if floating.router_id:
        mark(Dirty.ROUTER, floating.router_id)
    live.notify(owner, "floatingip", floating.pk)
    return floating


def _wish(network: Network, address: str | None, subnet_id: str | None) -> list[dict[str, str]] | None:
    """Floating IPs are IPv4: from the subnet or with the address named, or from whichever has one."""
    if address or subnet_id:
        wish = {"subnet_id": subnet_id, "ip_address": address}
        return [{k: v for k, v in wish.items() if v}]
    subnets = list(network.subnets.filter(ip_version=4).values_list("pk", flat=True))
    if not subnets:
        raise Invalid(
            f"Bad floatingip request: Network {network.pk} does not contain any IPv4 subnet", code="BadRequest"
        )
    return None


def _own_address(port: Port) -> str:
    """The IPv4 address; one of another family that came with it is given back."""
    FixedIp.objects.filter(port=port).exclude(subnet__ip_version=4).delete()
    found: str = port.fixed_ips.values_list("address", flat=True).get()
    return found


def _lead(ctx: RequestContext, floating: FloatingIp, port_id: str, fixed_ip_address: str | None) -> None:
    """Set where the address leads; the caller saves. Raises NotFound, Forbidden, Invalid, Conflict."""
    port = find(Port.objects.visible(ctx), "port", port_id, lock=True)
    if port.project_id != floating.project_id and not ctx.is_admin:
        raise Forbidden("The port is of another project.")
    fixed = _fixed(port, fixed_ip_address)
    taken = FloatingIp.objects.filter(
        port=port, fixed_ip_address=fixed.address, floating_network_id=floating.floating_network_id
    ).exclude(pk=floating.pk)
    if other := taken.first():
        raise in_use(
            f"Cannot associate floating IP {floating.floating_ip_address} ({floating.pk}) with port {port.pk} using "
            f"fixed IP {fixed.address}, as that fixed IP already has a floating IP ({other.pk}) on external network "
            f"{floating.floating_network_id}.",
            "FloatingIPPortAlreadyAssociated",
        )
    router = _router_between(fixed, floating)
    floating.port, floating.fixed_ip_address, floating.router = port, fixed.address, router


def _fixed(port: Port, address: str | None) -> FixedIp:
    choices = [f for f in port.fixed_ips.select_related("subnet") if f.subnet.ip_version == 4]
    if address:
        wanted = str(ipaddress.ip_address(address)) if _is_address(address) else address
        found = next((f for f in choices if f.address == wanted), None)
        if found is None:
            raise Invalid(f"Bad floatingip request: Port {port.pk} does not have fixed ip {address}", code="BadRequest")
        return found
    if not choices:
        raise Invalid(
            f"Bad floatingip request: Cannot add floating IP to port {port.pk} that has no fixed IPv4 addresses",
            code="BadRequest",
        )
    if len(choices) > 1:
        raise Invalid(
            f"Bad floatingip request: Port {port.pk} has multiple fixed IPv4 addresses. Must provide a specific IPv4 "
            "address when assigning a floating IP",
            code="BadRequest",
        )
    return choices[0]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _router_between(fixed: FixedIp, floating: FloatingIp) -> Router:
    """The router that joins the port's subnet to the floating IP's network. Raises NotFound."""
    routers = Router.objects.filter(
        gateway_network_id=floating.floating_network_id,
        ports__device_owner=Owner.ROUTER_INTERFACE,
        ports__fixed_ips__subnet=fixed.subnet_id,
    ).order_by("created_at", "pk")
    at_gateway = (
        routers.filter(ports__fixed_ips__address=fixed.subnet.gateway_ip) if fixed.subnet.gateway_ip else routers
    )
    router = at_gateway.first() or routers.first()
    if router is None:
        raise NotFound(
            f"External network {floating.floating_network_id} is not reachable from subnet {fixed.subnet_id}. "
            f"Therefore, port {fixed.port_id} cannot be associated with a Floating IP; a router between them",
            code="ExternalGatewayForFloatingIPNotFound",
        )
    return router


@service("update_floatingip")
def floatingip_update(
    ctx: RequestContext,
    *,
    floatingip_id: str,
    if_revision: int | None = None,
    port_id: Any = DEFAULT,
    fixed_ip_address: str | None = None,
    **values: Any,
) -> FloatingIp:
    """Lead the address elsewhere or, with a null port, nowhere. Raises NotFound, Forbidden, Invalid, Conflict."""
    floating = find(FloatingIp.objects.visible(ctx), "floatingip", floatingip_id, lock=True)
    guard(ctx, "update_floatingip", floating)
    check_revision(floating, if_revision)
    before = floating.router_id
    target_port = port_id
    if port_id is DEFAULT and fixed_ip_address and floating.port_id:
        target_port = str(floating.port_id)
    if target_port is None:
        floating.port = floating.fixed_ip_address = floating.router = None
    elif target_port is not DEFAULT:
        _lead(ctx, floating, str(target_port), fixed_ip_address)
    floating.save(update_fields=["port", "fixed_ip_address", "router"])
    change(floating, **values)
    mark(Dirty.ROUTER, *{r for r in (before, floating.router_id) if r})
    live.notify(floating.project_id, "floatingip", floating.pk)
    return floating


@service("delete_floatingip")
def floatingip_delete(ctx: RequestContext, *, floatingip_id: str, if_revision: int | None = None) -> None:
    """Give the address back. Raises NotFound, Forbidden."""
    floating = find(FloatingIp.objects.visible(ctx), "floatingip", floatingip_id, lock=True)
    guard(ctx, "delete_floatingip", floating)
    check_revision(floating, if_revision)
    router, project_id, pk = floating.router_id, floating.project_id, floating.pk
    port = floating.floating_port
    floating.delete()
    port.delete()
    if router:
        mark(Dirty.ROUTER, router)
    live.notify(project_id, "floatingip", pk)
