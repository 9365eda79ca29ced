"""Writes of subnets, and the rules about prefixes, gateways and pools."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from apps.core import live
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid
from apps.core.transactions import service
from apps.network.models import AllocationPool, FixedIp, Network, Port, Router, Subnet
from apps.network.services import addresses, pools
from apps.network.services.common import (
    Address,
    Prefix,
    change,
    check_revision,
    claim,
    find,
    guard,
    guard_attributes,
    in_use,
    mark,
    mark_ports,
    missing,
    parse_address,
    parse_prefix,
    parse_routes,
    project_for,
    target,
    touch,
)
from apps.network.states import AUTO_MODES, Dirty, Ipv6Mode, Owner, new_mac

DEFAULT: Any = object()  # "not given", where null means something else
_MAX_NAMESERVERS, _MAX_ROUTES = 5, 20

Range = tuple[Address, Address]


@service("create_subnet")
def subnet_create(
    ctx: RequestContext,
    *,
    network_id: str,
    ip_version: int | None = None,
    cidr: str | None = None,
    prefixlen: int | None = None,
    subnetpool_id: str | None = None,
    use_default_subnetpool: bool = False,
    name: str = "",
    description: str = "",
    project_id: str | None = None,
    gateway_ip: Any = DEFAULT,
    allocation_pools: Any = DEFAULT,
    enable_dhcp: bool = True,
    dns_nameservers: Sequence[str] | None = None,
    host_routes: Sequence[Mapping[str, Any]] | None = None,
    ipv6_ra_mode: str | None = None,
    ipv6_address_mode: str | None = None,
    dns_publish_fixed_ip: bool = False,
    service_types: Sequence[str] | None = None,
) -> Subnet:
    """Make a subnet on one's own network. Raises NotFound, Forbidden, Invalid, OverQuota."""
    network = find(Network.objects.visible(ctx), "network", network_id, lock=True)
    owner = project_for(ctx, project_id)
    if network.project_id != owner and not ctx.is_admin:
        raise missing("network", network_id)
    guard_attributes(
        ctx, "create_subnet", {"service_types": list(service_types or ())}, {"service_types": []}, target(network)
    )
    pool = pools.pool_for(ctx, subnetpool_id, use_default_subnetpool, ip_version)
    prefix = pools.cut(pool, cidr, prefixlen, owner) if pool else _prefix(cidr, ip_version)
    _check_modes(prefix, enable_dhcp, ipv6_ra_mode, ipv6_address_mode)
    _check_overlap(network, prefix)
    gateway = _gateway(prefix, gateway_ip)
    ranges = _ranges(prefix, allocation_pools, gateway)
    claim(ctx, project_id=owner, resource="subnet")
    subnet = Subnet.objects.create(
        network=network,
        subnetpool=pool,
        name=name,
        description=description,
        project_id=owner,
        ip_version=prefix.version,
        cidr=str(prefix),
        gateway_ip=str(gateway) if gateway else None,
        enable_dhcp=enable_dhcp,
        dns_nameservers=_nameservers(dns_nameservers),
        host_routes=_routes(host_routes),
        ipv6_ra_mode=ipv6_ra_mode,
        ipv6_address_mode=ipv6_address_mode,
        dns_publish_fixed_ip=dns_publish_fixed_ip,
        service_types=list(service_types or ()),
    )
    _write_pools(subnet, ranges)
    _address_metadata(network, subnet)
    if addresses.is_auto(subnet):
        _address_existing(subnet)
    _mark(network)
    touch(Network.objects.filter(pk=network.pk))
    live.notify(owner, "subnet", subnet.pk)
    return subnet


def _prefix(cidr: str | None, ip_version: int | None) -> Prefix:
    if not cidr:
        raise Invalid("A subnet needs a cidr, or a subnet pool to take one from.", field="cidr")
    prefix = parse_prefix(cidr, "cidr")
    if ip_version is not None and prefix.version != ip_version:
        raise Invalid(
            f"Invalid input for operation: Invalid CIDR {cidr} for subnet with IP version {ip_version}.",
            field="cidr",
            code="InvalidInput",
        )
    if prefix.prefixlen == 0 or prefix.is_multicast:
        raise Invalid(
            f"Invalid input for operation: {prefix} is not a usable subnet.", field="cidr", code="InvalidInput"
        )
    return prefix


def _check_modes(prefix: Prefix, enable_dhcp: bool, ra_mode: str | None, address_mode: str | None) -> None:
    if not ra_mode and not address_mode:
        return
    if prefix.version == 4:
        raise Invalid(
            "Invalid input for operation: ipv6_ra_mode and ipv6_address_mode are not valid when ip_version is 4.",
            code="InvalidInput",
        )
    for value in (ra_mode, address_mode):
        if value and value not in set(Ipv6Mode):
            raise Invalid(f"Invalid input for operation: {value} is not an IPv6 mode.", code="InvalidInput")
    if ra_mode and address_mode and ra_mode != address_mode:
        raise Invalid(
            f"Invalid input for operation: ipv6_ra_mode set to '{ra_mode}' with ipv6_address_mode set to "
            f"'{address_mode}' is not valid. If both attributes are set, they must be the same value.",
            code="InvalidInput",
        )
    if not enable_dhcp:
        raise Invalid(
            "Invalid input for operation: ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to "
            "False.",
            code="InvalidInput",
        )
    if {ra_mode, address_mode} & set(AUTO_MODES) and prefix.prefixlen != 64:
        raise Invalid(
            f"Invalid input for operation: Invalid CIDR {prefix} for IPv6 address mode. OpenStack uses the EUI-64 "
            "address format, which requires the prefix to be /64.",
            code="InvalidInput",
        )


def _check_overlap(network: Network, prefix: Prefix) -> None:
    """The network's row is locked, so that two subnets cannot be made past each other."""
    for other, cidr in network.subnets.values_list("pk", "cidr"):
        taken = ipaddress.ip_network(cidr)
        if taken.version == prefix.version and taken.overlaps(prefix):
            raise Invalid(
                f"Invalid input for operation: Requested subnet with cidr: {prefix} for network: {network.pk} overlaps "
                f"with another subnet ({other}, {cidr}).",
                field="cidr",
                code="InvalidInput",
            )


def _gateway(prefix: Prefix, wanted: Any) -> Address | None:
    """The first address unless the body says otherwise; null means none."""
    if wanted is None:
        return None
    if wanted is DEFAULT or wanted == "":
        return prefix[0] if prefix.prefixlen >= prefix.max_prefixlen - (prefix.version == 4) else prefix[1]
    address = parse_address(wanted, "gateway_ip")
    if address.version != prefix.version:
        raise Invalid(
            f"Invalid input for operation: gateway_ip {wanted} is not of the subnet's IP version.", code="InvalidInput"
        )
    wide = prefix.prefixlen < prefix.max_prefixlen - 1
    edge = wide and (address == prefix.network_address or (prefix.version == 4 and address == prefix.broadcast_address))
    if (address not in prefix and not address.is_link_local) or edge:
        raise Invalid(
            f"Invalid input for operation: Gateway {wanted} is not valid on subnet {prefix}.",
            field="gateway_ip",
            code="InvalidInput",
        )
    return address


def _ranges(prefix: Prefix, wanted: Any, gateway: Address | None) -> list[Range]:
    """The allocation pools, as asked for or all there is besides the gateway. Raises Invalid, Conflict."""
    if wanted is DEFAULT or wanted is None:
        return _default_ranges(prefix, gateway)
    ranges: list[Range] = []
    for item in wanted:
        if not isinstance(item, Mapping) or set(item) != {"start", "end"}:
            raise Invalid(
                f"Invalid input for allocation_pools. Reason: '{item}' needs start and end.", field="allocation_pools"
            )
        first, last = parse_address(item["start"], "allocation_pools"), parse_address(item["end"], "allocation_pools")
        if first.version != prefix.version or last.version != prefix.version or int(last) < int(first):
            raise Invalid(f"The allocation pool {first}-{last} is not valid.", code="InvalidAllocationPool")
        if first not in prefix or last not in prefix:
            raise Invalid(
                f"The allocation pool {first}-{last} spans beyond the subnet cidr {prefix}.",
                code="OutOfBoundsAllocationPool",
            )
        if gateway is not None and int(first) <= int(gateway) <= int(last):
            raise Conflict(
                f"Gateway ip {gateway} conflicts with allocation pool {first}-{last}.",
                code="GatewayConflictWithAllocationPools",
            )
        ranges.append((first, last))
    ranges.sort(key=lambda r: int(r[0]))
    for (_, end), (start, _) in itertools.pairwise(ranges):
        if int(start) <= int(end):
            raise Conflict(f"Found overlapping allocation pools in {prefix}.", code="OverlappingAllocationPools")
    return ranges


def _default_ranges(prefix: Prefix, gateway: Address | None) -> list[Range]:
    if prefix.prefixlen >= prefix.max_prefixlen - 1:
        first, last = int(prefix.network_address), int(prefix.broadcast_address)
    else:
        first = int(prefix.network_address) + 1
        last = int(prefix.broadcast_address) - (1 if prefix.version == 4 else 0)
    make = ipaddress.IPv4Address if prefix.version == 4 else ipaddress.IPv6Address
    if gateway is None or not first <= int(gateway) <= last:
        return [(make(first), make(last))]
    at = int(gateway)
    halves = [(first, at - 1), (at + 1, last)]
    return [(make(a), make(b)) for a, b in halves if a <= b]


def _write_pools(subnet: Subnet, ranges: Sequence[Range]) -> None:
    AllocationPool.objects.bulk_create(
        AllocationPool(subnet=subnet, first=str(first), last=str(last)) for first, last in ranges
    )


def _nameservers(items: Sequence[str] | None) -> list[str]:
    servers = [str(parse_address(item, "dns_nameservers")) for item in items or ()]
    if len(servers) > _MAX_NAMESERVERS:
        raise Invalid("Unable to complete operation: too many DNS nameservers.", code="DNSNameServersExhausted")
    if len(set(servers)) != len(servers):
        raise Invalid("Invalid input for dns_nameservers. Reason: Duplicate nameserver.", field="dns_nameservers")
    return servers


def _routes(items: Sequence[Mapping[str, Any]] | None) -> list[dict[str, str]]:
    routes = parse_routes(items, "host_routes")
    if len(routes) > _MAX_ROUTES:
        raise Invalid("Unable to complete operation: too many host routes.", code="HostRoutesExhausted")
    return routes


def _address_metadata(network: Network, subnet: Subnet) -> None:
    """Guests of a network find the metadata service at an address of each of its IPv4 subnets with DHCP."""
    if subnet.ip_version != 4 or not subnet.enable_dhcp or network.external:
        return
    port = network.ports.filter(device_owner=Owner.METADATA).first()
    if port is None:
        port = Port.objects.create(
            network=network,
            project_id=network.project_id,
            mac_address=new_mac(),
            device_owner=Owner.METADATA,
            device_id=f"ovnmeta-{network.pk}",
            port_security_enabled=False,
        )
    try:
        addresses.give(port, addresses.Wish(subnet))
    except addresses.Exhausted:
        return  # a pool too small for it: guests there have the configuration drive
    mark(Dirty.PORT, port.pk)


def _address_existing(subnet: Subnet) -> None:
    """Ports already there get an address in a new self-addressing subnet, because their guests take one."""
    for port in subnet.network.ports.exclude(device_owner__startswith="network:"):
        addresses.give(port, addresses.Wish(subnet))


def _mark(network: Network) -> None:
    """A subnet's options reach its ports and the routers on them."""
    mark(Dirty.NETWORK, network.pk)
    mark_ports(network.ports.all())
    if network.external:
        mark(Dirty.ROUTER, *Router.objects.filter(gateway_network=network).values_list("pk", flat=True))


@service("update_subnet")
def subnet_update(ctx: RequestContext, *, subnet_id: str, if_revision: int | None = None, **values: Any) -> Subnet:
    """Change a subnet. Raises NotFound, Forbidden, Invalid, Conflict (GatewayIpInUse)."""
    subnet = find(Subnet.objects.visible(ctx), "subnet", subnet_id, lock=True)
    guard(ctx, "update_subnet", subnet, subnet.network)
    check_revision(subnet, if_revision)
    prefix = ipaddress.ip_network(subnet.cidr)
    gateway: Address | None = ipaddress.ip_address(subnet.gateway_ip) if subnet.gateway_ip else None
    wanted_pools = values.pop("allocation_pools", DEFAULT)
    if "gateway_ip" in values:
        moved = _gateway(prefix, values["gateway_ip"])
        if moved != gateway:
            _check_gateway_free(subnet)
        gateway = moved
        values["gateway_ip"] = str(gateway) if gateway else None
        if wanted_pools is DEFAULT:
            current = [{"start": p.first, "end": p.last} for p in subnet.pools.all()]
            _ranges(prefix, current, gateway)
    if wanted_pools is not DEFAULT and wanted_pools is not None:
        ranges = _ranges(prefix, wanted_pools, gateway)
        subnet.pools.all().delete()
        _write_pools(subnet, ranges)
    if "dns_nameservers" in values:
        values["dns_nameservers"] = _nameservers(values["dns_nameservers"])
    if "host_routes" in values:
        values["host_routes"] = _routes(values["host_routes"])
    if values.get("enable_dhcp") is False and (subnet.ipv6_ra_mode or subnet.ipv6_address_mode):
        _check_modes(prefix, False, subnet.ipv6_ra_mode, subnet.ipv6_address_mode)
    had_dhcp = subnet.enable_dhcp
    change(subnet, **values)
    if values.get("enable_dhcp") and not had_dhcp:
        _address_metadata(subnet.network, subnet)
    if values.get("enable_dhcp") is False and had_dhcp:
        FixedIp.objects.filter(subnet=subnet, port__device_owner=Owner.METADATA).delete()
    _mark(subnet.network)
    live.notify(subnet.project_id, "subnet", subnet.pk)
    return subnet


def _check_gateway_free(subnet: Subnet) -> None:
    """A router that sits at the gateway's address keeps it from moving."""
    used = (
        FixedIp.objects.filter(
            subnet=subnet, address=subnet.gateway_ip, port__device_owner=Owner.ROUTER_INTERFACE
        ).first()
        if subnet.gateway_ip
        else None
    )
    if used:
        raise in_use(
            f"Current gateway ip {subnet.gateway_ip} already in use by port {used.port_id}. Unable to update.",
            "GatewayIpInUse",
        )


@service("delete_subnet")
def subnet_delete(ctx: RequestContext, *, subnet_id: str, if_revision: int | None = None) -> None:
    """Delete a subnet. Raises NotFound, Forbidden, Conflict (SubnetInUse) while ports have addresses of it."""
    subnet = find(Subnet.objects.visible(ctx), "subnet", subnet_id, lock=True)
    guard(ctx, "delete_subnet", subnet, subnet.network)
    check_revision(subnet, if_revision)
    used = FixedIp.objects.filter(subnet=subnet).exclude(port__device_owner=Owner.METADATA)
    if addresses.is_auto(subnet):
        used = used.filter(port__router__isnull=False)
    if used.exists():
        raise in_use(
            f"Unable to complete operation on subnet {subnet.pk}: One or more ports have an IP allocation from this "
            "subnet.",
            "SubnetInUse",
        )
    network = subnet.network
    FixedIp.objects.filter(subnet=subnet).delete()
    emptied = network.ports.filter(device_owner=Owner.METADATA, fixed_ips__isnull=True)
    mark(Dirty.PORT, *emptied.values_list("pk", flat=True))
    emptied.delete()
    project_id, pk = subnet.project_id, subnet.pk
    subnet.delete()
    _mark(network)
    touch(Network.objects.filter(pk=network.pk))
    live.notify(project_id, "subnet", pk)
