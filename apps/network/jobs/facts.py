"""What the projection looks at, read from the database in a handful of queries whatever the number of things."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Prefetch, Q

from apps.hosts.models import Host
from apps.hosts.states import HostMode
from apps.network.backends.rows import Scope
from apps.network.models import (
    FixedIp,
    FloatingIp,
    Network,
    Port,
    PortGroup,
    Router,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
)
from apps.network.states import Dirty, Owner

MAX_GATEWAYS = 5  # hosts that stand by for one router


@dataclass(frozen=True, slots=True)
class SubnetFact:
    """A subnet; `metadata` is the metadata port's address in it."""

    id: str
    version: int
    cidr: str
    gateway: str = ""
    dhcp: bool = True
    nameservers: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    ra_mode: str = ""
    address_mode: str = ""
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class NetworkFact:
    """A network with its subnets."""

    id: str
    mtu: int
    name: str = ""
    physical_network: str = ""
    segmentation_id: int | None = None
    dns_domain: str = ""
    external: bool = False
    subnets: tuple[SubnetFact, ...] = ()

    def subnet(self, ident: str) -> SubnetFact:
        return next(s for s in self.subnets if s.id == ident)


@dataclass(frozen=True, slots=True)
class PortFact:
    """A port. `addresses` are pairs of address and subnet id."""

    id: str
    network: NetworkFact
    mac: str
    name: str = ""
    addresses: tuple[tuple[str, str], ...] = ()
    up: bool = True
    secured: bool = True
    pairs: tuple[tuple[str, str], ...] = ()  # MAC and address
    options: tuple[tuple[str, str, int], ...] = ()  # extra DHCP options: name, value, IP version
    owner: str = ""
    router: str = ""
    chassis: str = ""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FloatingFact:
    """A floating IP that leads somewhere."""

    id: str
    outside: str
    inside: str
    port: str
    mac: str  # of the floating IP's own port
    bound: bool = False


@dataclass(frozen=True, slots=True)
class RouterFact:
    """A router with its ports and what they lead to."""

    id: str
    name: str = ""
    up: bool = True
    snat: bool = True
    ports: tuple[PortFact, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    floating: tuple[FloatingFact, ...] = ()
    chassis: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleFact:
    """A rule of a security group."""

    id: str
    direction: str
    ethertype: str
    protocol: str = ""
    least: int | None = None
    most: int | None = None
    prefix: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class GroupFact:
    """A security group with its rules."""

    id: str
    name: str = ""
    stateful: bool = True
    rules: tuple[RuleFact, ...] = ()


@dataclass(slots=True)
class Facts:
    """All that some scopes are computed from."""

    networks: list[NetworkFact] = field(default_factory=list)
    ports: list[PortFact] = field(default_factory=list)
    routers: list[RouterFact] = field(default_factory=list)
    groups: list[GroupFact] = field(default_factory=list)


def read(scopes: Iterable[Scope] | None) -> Facts:
    """The facts of these scopes, or of everything."""
    wanted: dict[str, set[str]] | None = None
    if scopes is not None:
        wanted = defaultdict(set)
        for kind, ident in scopes:
            wanted[kind].add(ident)
    ports = _ports(wanted)
    networks = _networks(wanted, {p.network_id for p in ports})
    facts = Facts()
    facts.networks = [n for pk, n in networks.items() if wanted is None or pk in wanted[Dirty.NETWORK]]
    by_id = {str(p.pk): _port(p, networks[str(p.network_id)]) for p in ports}
    facts.ports = [
        p for pk, p in by_id.items() if p.owner != Owner.FLOATING_IP and (wanted is None or pk in wanted[Dirty.PORT])
    ]
    facts.routers = _routers(wanted, by_id)
    facts.groups = _groups(wanted)
    return facts


def _ports(wanted: Mapping[str, set[str]] | None) -> list[Port]:
    """The ports of the scopes, and those of the routers among them."""
    rows = Port.objects.prefetch_related(
        Prefetch("fixed_ips", FixedIp.objects.order_by("pk")),
        Prefetch("portgroup_set", PortGroup.objects.order_by("security_group_id")),
    ).order_by("created_at", "pk")
    if wanted is None:
        return list(rows)
    if not wanted[Dirty.PORT] and not wanted[Dirty.ROUTER]:
        return []
    return list(rows.filter(Q(pk__in=wanted[Dirty.PORT]) | Q(router__in=wanted[Dirty.ROUTER])))


def _networks(wanted: Mapping[str, set[str]] | None, of_ports: set[Any]) -> dict[str, NetworkFact]:
    metadata = FixedIp.objects.filter(port__device_owner=Owner.METADATA).values_list("subnet_id", "address")
    rows = Network.objects.prefetch_related(Prefetch("subnets", Subnet.objects.order_by("created_at", "pk")))
    if wanted is not None:
        idents: set[Any] = {*wanted[Dirty.NETWORK], *(str(pk) for pk in of_ports)}
        rows = rows.filter(pk__in=idents)
        metadata = metadata.filter(subnet__network__in=idents)
    found = {str(subnet): str(address) for subnet, address in metadata}
    return {str(n.pk): _network(n, found) for n in rows}


def _network(row: Network, metadata: Mapping[str, str]) -> NetworkFact:
    return NetworkFact(
        id=str(row.pk),
        name=row.name,
        mtu=row.mtu,
        physical_network=row.physical_network or "",
        segmentation_id=row.segmentation_id,
        dns_domain=row.dns_domain.rstrip("."),
        external=row.external,
        subnets=tuple(
            SubnetFact(
                id=str(s.pk),
                version=s.ip_version,
                cidr=s.cidr,
                gateway=s.gateway_ip or "",
                dhcp=s.enable_dhcp,
                nameservers=tuple(s.dns_nameservers),
                routes=tuple((r["destination"], r["nexthop"]) for r in s.host_routes),
                ra_mode=s.ipv6_ra_mode or "",
                address_mode=s.ipv6_address_mode or "",
                metadata=metadata.get(str(s.pk), ""),
            )
            for s in row.subnets.all()
        ),
    )


def _port(row: Port, network: NetworkFact) -> PortFact:
    return PortFact(
        id=str(row.pk),
        network=network,
        mac=row.mac_address,
        name=row.name,
        addresses=tuple((str(f.address), str(f.subnet_id)) for f in row.fixed_ips.all()),
        up=row.admin_state_up,
        secured=row.port_security_enabled,
        pairs=tuple((p["mac_address"], p["ip_address"]) for p in row.allowed_address_pairs),
        options=tuple((o["opt_name"], o["opt_value"], o["ip_version"]) for o in row.extra_dhcp_opts),
        owner=row.device_owner,
        router=str(row.router_id) if row.router_id else "",
        chassis=row.chassis,
        groups=tuple(str(g.security_group_id) for g in row.portgroup_set.all()),
    )


def _routers(wanted: Mapping[str, set[str]] | None, ports: Mapping[str, PortFact]) -> list[RouterFact]:
    rows = Router.objects.order_by("pk")
    if wanted is not None:
        if not wanted[Dirty.ROUTER]:
            return []
        rows = rows.filter(pk__in=wanted[Dirty.ROUTER])
    routers = list(rows)
    floating: dict[Any, list[FloatingFact]] = defaultdict(list)
    leading = FloatingIp.objects.filter(router__in=routers).select_related("floating_port", "port").order_by("pk")
    for row in leading:
        floating[row.router_id].append(
            FloatingFact(
                id=str(row.pk),
                outside=row.floating_ip_address,
                inside=row.fixed_ip_address or "",
                port=str(row.port_id),
                mac=row.floating_port.mac_address,
                bound=bool(row.port and row.port.chassis),
            )
        )
    chassis = gateway_chassis()
    by_router: dict[str, list[PortFact]] = defaultdict(list)
    for port in ports.values():
        by_router[port.router].append(port)
    return [
        RouterFact(
            id=str(r.pk),
            name=r.name,
            up=r.admin_state_up,
            snat=r.enable_snat,
            ports=tuple(by_router[str(r.pk)]),
            routes=tuple((e["destination"], e["nexthop"]) for e in r.routes),
            floating=tuple(floating[r.pk]),
            chassis=chassis,
        )
        for r in routers
    ]


def gateway_chassis() -> tuple[str, ...]:
    """OVN's names of the hosts that may hold gateways."""
    rows = Host.objects.exclude(chassis="").exclude(mode=HostMode.DRAINING).order_by("name")
    return tuple(rows.values_list("chassis", flat=True))


def _groups(wanted: Mapping[str, set[str]] | None) -> list[GroupFact]:
    rows = SecurityGroup.objects.prefetch_related(Prefetch("rules", SecurityGroupRule.objects.order_by("pk")))
    if wanted is not None:
        if not wanted[Dirty.GROUP]:
            return []
        rows = rows.filter(pk__in=wanted[Dirty.GROUP])
    return [
        GroupFact(
            id=str(g.pk),
            name=g.name,
            stateful=g.stateful,
            rules=tuple(
                RuleFact(
                    id=str(r.pk),
                    direction=r.direction,
                    ethertype=r.ethertype,
                    protocol=r.protocol or "",
                    least=r.port_range_min,
                    most=r.port_range_max,
                    prefix=r.remote_ip_prefix or "",
                    group=str(r.remote_group_id) if r.remote_group_id else "",
                )
                for r in g.rules.all()
            ),
        )
        for g in rows
    ]
