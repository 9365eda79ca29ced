"""Pure: facts of the database → northbound rows.

Logical switch per network, router per router, port group per security group and one that drops what no group lets
pass, DHCP options per subnet. See ovn-nb(5) for what the columns mean.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from apps.network.backends.rows import Join, Ref, Row, Scope
from apps.network.jobs.facts import (
    Facts,
    FloatingFact,
    GroupFact,
    NetworkFact,
    PortFact,
    RouterFact,
    RuleFact,
    SubnetFact,
)
from apps.network.services import protocol_number
from apps.network.states import METADATA_ADDRESS, TRUSTED_PREFIX, Dirty, Ipv6Mode, Owner, derived_mac

BASE: Scope = ("base", "drop")  # the rows that belong to no thing
DROP_GROUP = "kumo_drop"
_LEASE_S = 43200
_DROP, _LET = 1001, 1002
_HIGHEST_PRIORITY = 100
_WITH_PORTS = {6: "tcp", 17: "udp", 132: "sctp"}

# Names of dnsmasq, which users of extra DHCP options know, to those of OVN.
_DHCP_NAMES = {
    "bootfile-name": "bootfile_name", "tftp-server": "tftp_server", "tftp-server-address": "tftp_server_address",
    "server-ip-address": "tftp_server_address", "mtu": "mtu", "domain-name": "domain_name", "dns-server": "dns_server",
    "ntp-server": "ntp_server", "router": "router", "netmask": "netmask", "wpad": "wpad", "path-prefix": "path_prefix",
    "default-ttl": "default_ttl", "lease-time": "lease_time", "classless-static-route": "classless_static_route",
    "domain-search": "domain_search_list", "log-server": "log_server", "broadcast-address": "broadcast_address",
}  # fmt: skip
_DHCP_TEXT = {"bootfile_name", "tftp_server", "domain_name", "wpad", "path_prefix", "domain_search_list"}
_DHCP_NUMBERS = {
    "66": "tftp_server",
    "67": "bootfile_name",
    "150": "tftp_server_address",
    "26": "mtu",
    "42": "ntp_server",
}


def rows(facts: Facts, *, with_base: bool, distributed: bool = False) -> list[Row]:
    """All rows of these facts. `distributed`: floating IPs answer at the guest's own host."""
    found = base() if with_base else []
    for network in facts.networks:
        found += network_rows(network)
    for port in facts.ports:
        found += port_rows(port)
    for router in facts.routers:
        found += router_rows(router, distributed=distributed)
    for group in facts.groups:
        found += group_rows(group)
    return found


def base() -> list[Row]:
    """The group of all secured ports: what no security group lets pass is dropped, DHCP's questions are not."""
    group = Row("Port_Group", DROP_GROUP, BASE, {"name": DROP_GROUP})
    rules = (
        ("from-lport", _DROP, f"inport == @{DROP_GROUP} && ip", "drop"),
        ("to-lport", _DROP, f"outport == @{DROP_GROUP} && ip", "drop"),
        ("from-lport", _LET, f"inport == @{DROP_GROUP} && ip4 && udp.src == 68 && udp.dst == 67", "allow"),
        ("from-lport", _LET, f"inport == @{DROP_GROUP} && ip6 && udp.src == 546 && udp.dst == 547", "allow"),
    )
    acls = [
        Row(
            "ACL",
            f"drop-{index}",
            BASE,
            {"direction": direction, "priority": priority, "match": match, "action": action},
            (Join(group.ref, "acls"),),
        )
        for index, (direction, priority, match, action) in enumerate(rules)
    ]
    return [group, *acls]


# --- networks --------------------------------------------------------------------------------------


def switch_ref(network_id: str) -> Ref:
    """The logical switch of a network."""
    return Ref(("Logical_Switch", network_id), (Dirty.NETWORK, network_id))


def dhcp_ref(network_id: str, subnet_id: str) -> Ref:
    """The DHCP options of a subnet."""
    return Ref(("DHCP_Options", subnet_id), (Dirty.NETWORK, network_id))


def network_rows(network: NetworkFact) -> list[Row]:
    """The switch, its way to a physical network, and the DHCP options of its subnets."""
    scope = (str(Dirty.NETWORK), network.id)
    switch = Row(
        "Logical_Switch",
        network.id,
        scope,
        {"name": f"kumo-{network.id}", "other_config": {"mcast_snoop": "false", "vlan-passthru": "false"}},
        label=network.name,
    )
    found = [switch]
    if network.physical_network:
        tag = [network.segmentation_id] if network.segmentation_id else []
        columns = {
            "name": f"provnet-{network.id}",
            "type": "localnet",
            "addresses": ["unknown"],
            "options": {"network_name": network.physical_network},
            "tag": tag,
        }
        found.append(Row("Logical_Switch_Port", f"provnet-{network.id}", scope, columns, (Join(switch.ref, "ports"),)))
    for subnet in network.subnets:
        options = dhcp_options(network, subnet)
        if options is not None:
            found.append(Row("DHCP_Options", subnet.id, scope, {"cidr": subnet.cidr, "options": options}))
    return found


def dhcp_options(network: NetworkFact, subnet: SubnetFact) -> dict[str, str] | None:
    """What DHCP tells guests of a subnet; None where it tells nothing."""
    if not subnet.dhcp:
        return None
    return _dhcpv4(network, subnet) if subnet.version == 4 else _dhcpv6(network, subnet)


def _dhcpv4(network: NetworkFact, subnet: SubnetFact) -> dict[str, str]:
    server = subnet.gateway or subnet.metadata or str(next(iter(ipaddress.ip_network(subnet.cidr).hosts())))
    routes = [f"{METADATA_ADDRESS}/32,{subnet.metadata}"] if subnet.metadata else []
    routes += [f"{destination},{hop}" for destination, hop in subnet.routes]
    if subnet.gateway and routes:  # a guest that honours these ignores the option `router` (RFC 3442)
        routes.append(f"0.0.0.0/0,{subnet.gateway}")
    options = {
        "server_id": server,
        "server_mac": derived_mac(subnet.id),
        "lease_time": str(_LEASE_S),
        "mtu": str(network.mtu),
    }
    if subnet.gateway:
        options["router"] = subnet.gateway
    if subnet.nameservers:
        options["dns_server"] = _set(subnet.nameservers)
    if network.dns_domain:
        options["domain_name"] = f'"{network.dns_domain}"'
    if routes:
        options["classless_static_route"] = "{" + ", ".join(routes) + "}"
    return options


def _dhcpv6(network: NetworkFact, subnet: SubnetFact) -> dict[str, str] | None:
    if subnet.address_mode == Ipv6Mode.SLAAC or (not subnet.address_mode and subnet.ra_mode == Ipv6Mode.SLAAC):
        return None
    options = {"server_id": derived_mac(subnet.id)}
    if subnet.nameservers:
        options["dns_server"] = _set(subnet.nameservers)
    if network.dns_domain:
        options["domain_search"] = f'"{network.dns_domain}"'
    if Ipv6Mode.STATELESS in {subnet.address_mode, subnet.ra_mode}:
        options["dhcpv6_stateless"] = "true"
    return options


def _set(items: Sequence[str]) -> str:
    return "{" + ", ".join(items) + "}"


# --- ports -----------------------------------------------------------------------------------------


def port_ref(port_id: str) -> Ref:
    """The logical switch port of a port."""
    return Ref(("Logical_Switch_Port", port_id), (Dirty.PORT, port_id))


def group_ref(group_id: str) -> Ref:
    """The port group of a security group."""
    return Ref(("Port_Group", group_name(group_id)), (Dirty.GROUP, group_id))


def group_name(group_id: str) -> str:
    """Names of port groups stand in matches, so they are plain words."""
    return f"kumo_sg_{uuid.UUID(group_id).hex}"


def port_rows(port: PortFact) -> list[Row]:
    """The port, a member of its network and its groups, with DHCP options of its own where it has extra ones."""
    scope = (str(Dirty.PORT), port.id)
    on_switch = Join(switch_ref(port.network.id), "ports")
    columns: dict[str, Any]
    if port.router:
        options = {"router-port": f"lrp-{port.id}"}
        if port.owner == Owner.ROUTER_GATEWAY:
            options |= {"nat-addresses": "router", "exclude-lb-vips-from-garp": "true"}
        columns = {"name": port.id, "type": "router", "addresses": ["router"], "enabled": [port.up], "options": options}
        return [Row("Logical_Switch_Port", port.id, scope, columns, (on_switch,), port.name)]
    if port.owner == Owner.METADATA:
        own = " ".join([port.mac, *(address for address, _ in port.addresses)])
        columns = {"name": port.id, "type": "localport", "addresses": [own], "enabled": [True]}
        return [Row("Logical_Switch_Port", port.id, scope, columns, (on_switch,), "metadata")]
    own_options, v4, v6 = _dhcp_of(port)
    secured = port.secured and not port.owner.startswith(TRUSTED_PREFIX)
    mine = " ".join([port.mac, *(address for address, _ in port.addresses)])
    columns = {
        "name": port.id,
        "addresses": [mine] if secured else [mine, "unknown"],
        "port_security": [mine, *(f"{mac} {address}" for mac, address in port.pairs)] if secured else [],
        "enabled": [port.up],
        "options": {"requested-chassis": port.chassis} if port.chassis else {},
        "dhcpv4_options": v4,
        "dhcpv6_options": v6,
    }
    joins = [on_switch]
    if secured:
        joins.append(Join(Ref(("Port_Group", DROP_GROUP), BASE), "ports"))
        joins += [Join(group_ref(group), "ports") for group in port.groups]
    return [*own_options, Row("Logical_Switch_Port", port.id, scope, columns, tuple(joins), port.name)]


def _dhcp_of(port: PortFact) -> tuple[list[Row], list[Ref], list[Ref]]:
    """The port's own rows of DHCP options, and which options it gets for each family."""
    own: list[Row] = []
    chosen: dict[int, list[Ref]] = {4: [], 6: []}
    if port.owner.startswith(TRUSTED_PREFIX):
        return own, [], []
    for _, subnet_id in port.addresses:
        subnet = port.network.subnet(subnet_id)
        options = dhcp_options(port.network, subnet)
        if options is None or chosen[subnet.version]:
            continue
        extra = [(name, value) for name, value, version in port.options if version == subnet.version]
        if not extra:
            chosen[subnet.version] = [dhcp_ref(port.network.id, subnet.id)]
            continue
        columns = {"cidr": subnet.cidr, "options": options | _extra_options(extra)}
        row = Row("DHCP_Options", f"{port.id}-{subnet.version}", (Dirty.PORT, port.id), columns)
        own.append(row)
        chosen[subnet.version] = [row.ref]
    return own, chosen[4], chosen[6]


def _extra_options(extra: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Options that OVN has a name for; it cannot send others."""
    found = {}
    for name, value in extra:
        known = _DHCP_NAMES.get(name) or _DHCP_NUMBERS.get(name)
        if known:
            found[known] = f'"{value}"' if known in _DHCP_TEXT else value
    return found


# --- routers ---------------------------------------------------------------------------------------


def router_rows(router: RouterFact, *, distributed: bool) -> list[Row]:
    """The router with its ports, routes and translations."""
    scope = (str(Dirty.ROUTER), router.id)
    columns = {
        "name": f"kumo-{router.id}",
        "enabled": [router.up],
        "options": {"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"},
    }
    main = Row("Logical_Router", router.id, scope, columns, label=router.name)
    found = [main]
    gateway = next((p for p in router.ports if p.owner == Owner.ROUTER_GATEWAY), None)
    inner = [p for p in router.ports if p.owner != Owner.ROUTER_GATEWAY]
    for port in router.ports:
        found += _router_port(router, main, port, gateway)
    for destination, hop in router.routes:
        found.append(_route(main, f"{router.id}-{destination}-{hop}", destination, hop, ""))
    if gateway is not None:
        found += _outward(router, main, gateway, inner)
        found += [_floating(main, f, distributed=distributed) for f in router.floating]
    return found


def _router_port(router: RouterFact, main: Row, port: PortFact, gateway: PortFact | None) -> list[Row]:
    networks = []
    ra: dict[str, str] = {}
    for address, subnet_id in port.addresses:
        subnet = port.network.subnet(subnet_id)
        networks.append(f"{address}/{subnet.cidr.partition('/')[2]}")
        if subnet.ra_mode and port is not gateway:
            mode = {"slaac": "slaac", "dhcpv6-stateless": "dhcpv6_stateless", "dhcpv6-stateful": "dhcpv6_stateful"}
            ra = {"address_mode": mode[subnet.ra_mode], "send_periodic": "true", "mtu": str(port.network.mtu)}
    options = {}
    if port is not gateway and port.network.physical_network and gateway is not None:
        options["reside-on-redirect-chassis"] = "true"
    columns = {
        "name": f"lrp-{port.id}",
        "mac": port.mac,
        "networks": networks,
        "enabled": [port.up],
        "options": options,
        "ipv6_ra_configs": ra,
    }
    scope = main.scope
    row = Row("Logical_Router_Port", f"lrp-{port.id}", scope, columns, (Join(main.ref, "ports"),), port.name)
    found = [row]
    if port is gateway:
        for index, chassis in enumerate(_standing_by(router)):
            found.append(
                Row(
                    "Gateway_Chassis",
                    f"lrp-{port.id}_{chassis}",
                    scope,
                    {
                        "name": f"lrp-{port.id}_{chassis}",
                        "chassis_name": chassis,
                        "priority": _HIGHEST_PRIORITY - index,
                    },
                    (Join(row.ref, "gateway_chassis"),),
                )
            )
    return found


def _standing_by(router: RouterFact) -> tuple[str, ...]:
    """The hosts for a gateway, in an order that spreads routers over them and stays the same for each."""
    order = sorted(router.chassis, key=lambda name: uuid.uuid5(uuid.UUID(router.id), name))
    return tuple(order[:5])


def _route(main: Row, name: str, destination: str, hop: str, port: str) -> Row:
    columns = {"ip_prefix": destination, "nexthop": hop, "output_port": [port] if port else []}
    return Row("Logical_Router_Static_Route", name, main.scope, columns, (Join(main.ref, "static_routes"),))


def _outward(router: RouterFact, main: Row, gateway: PortFact, inner: Sequence[PortFact]) -> list[Row]:
    """Default routes, and one address for all that go out."""
    found = []
    outside = ""
    for address, subnet_id in gateway.addresses:
        subnet = gateway.network.subnet(subnet_id)
        if subnet.version == 4 and not outside:
            outside = address
        if subnet.gateway:
            destination = "0.0.0.0/0" if subnet.version == 4 else "::/0"
            name = f"{router.id}-default-{subnet.id}"
            found.append(_route(main, name, destination, subnet.gateway, f"lrp-{gateway.id}"))
    if not router.snat or not outside:
        return found
    for port in inner:
        for _, subnet_id in port.addresses:
            subnet = port.network.subnet(subnet_id)
            if subnet.version == 4:
                columns = {"type": "snat", "external_ip": outside, "logical_ip": subnet.cidr}
                found.append(Row("NAT", f"{router.id}-snat-{subnet.id}", main.scope, columns, (Join(main.ref, "nat"),)))
    return found


def _floating(main: Row, floating: FloatingFact, *, distributed: bool) -> Row:
    columns: dict[str, object] = {
        "type": "dnat_and_snat",
        "external_ip": floating.outside,
        "logical_ip": floating.inside,
    }
    if distributed and floating.bound:
        columns |= {"external_mac": [floating.mac], "logical_port": [floating.port]}
    return Row("NAT", floating.id, main.scope, columns, (Join(main.ref, "nat"),))


# --- security groups -------------------------------------------------------------------------------


def group_rows(group: GroupFact) -> list[Row]:
    """The port group, and one access rule for each of its rules."""
    scope = (str(Dirty.GROUP), group.id)
    name = group_name(group.id)
    main = Row("Port_Group", name, scope, {"name": name}, label=group.name)
    action = "allow-related" if group.stateful else "allow-stateless"
    acls = [
        Row(
            "ACL",
            rule.id,
            scope,
            {
                "direction": "from-lport" if rule.direction == "egress" else "to-lport",
                "priority": _LET,
                "match": match(name, rule),
                "action": action,
            },
            (Join(main.ref, "acls"),),
        )
        for rule in group.rules
    ]
    return [main, *acls]


def match(group: str, rule: RuleFact) -> str:
    """A rule as OVN's match expression."""
    family = "ip4" if rule.ethertype == "IPv4" else "ip6"
    ours, theirs = ("inport", "dst") if rule.direction == "egress" else ("outport", "src")
    parts = [f"{ours} == @{group}", family]
    if rule.prefix:
        network = ipaddress.ip_network(rule.prefix, strict=False)
        if network.prefixlen:
            parts.append(f"{family}.{theirs} == {network}")
    if rule.group:
        parts.append(f"{family}.{theirs} == ${group_name(rule.group)}_{family}")
    return " && ".join([*parts, *_protocol_parts(rule)])


def _protocol_parts(rule: RuleFact) -> list[str]:
    if not rule.protocol:
        return []
    number = protocol_number(rule.protocol)
    if number in {1, 58}:
        if number == 1 and rule.ethertype == "IPv6":
            number = 58  # Neutron takes `icmp` for either family
        word = "icmp4" if number == 1 else "icmp6"
        parts = [word]
        if rule.least is not None:
            parts.append(f"{word}.type == {rule.least}")
        if rule.most is not None:
            parts.append(f"{word}.code == {rule.most}")
        return parts
    known = _WITH_PORTS.get(number)
    if known is None:
        return [f"ip.proto == {number}"]
    if rule.least is None:
        return [known]
    if rule.least == rule.most:
        return [known, f"{known}.dst == {rule.least}"]
    return [known, f"{known}.dst >= {rule.least}", f"{known}.dst <= {rule.most}"]
