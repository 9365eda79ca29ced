"""Addresses of ports: which subnets, which address, and how two ports never get the same one.

A free address is found and taken in one statement. Addresses that other open transactions are about to take are
passed over by a try-lock, so that many ports made at once neither wait for each other nor collide; what still slips
through, the unique constraint refuses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from apps.core.errors import Conflict, Invalid
from apps.core.transactions import on_violation
from apps.network.models import FixedIp, Port, Subnet
from apps.network.services.common import find, identified, parse_address
from apps.network.states import AUTO_MODES, ROUTER_OWNERS, eui64

TRIES = 4

# First the addresses past the highest one given out in each pool (cheap, and an address just freed is not handed on
# at once), then the gaps. OFFSET 0 keeps the lock from being tried for more candidates than are looked at.
_TAKE = """
INSERT INTO network_fixedip (port_id, subnet_id, address)
SELECT %(port)s, %(subnet)s, candidate FROM (
    SELECT candidate FROM (
        SELECT COALESCE(top.used + 1, pool.first) + n AS candidate, pool.last, pool.first, n
        FROM network_allocationpool pool
        CROSS JOIN LATERAL (
            SELECT max(address) AS used FROM network_fixedip
            WHERE subnet_id = pool.subnet_id AND address BETWEEN pool.first AND pool.last
        ) top
        CROSS JOIN generate_series(0, 31) n
        WHERE pool.subnet_id = %(subnet)s
        ORDER BY pool.first, n
    ) beyond WHERE candidate <= last
    UNION ALL
    SELECT candidate FROM (
        SELECT gap.candidate
        FROM network_allocationpool pool
        CROSS JOIN LATERAL (
            SELECT pool.first AS candidate
            UNION ALL
            SELECT address + 1 FROM network_fixedip
            WHERE subnet_id = pool.subnet_id AND address >= pool.first AND address < pool.last
        ) gap
        WHERE pool.subnet_id = %(subnet)s AND NOT EXISTS (
            SELECT 1 FROM network_fixedip taken
            WHERE taken.subnet_id = pool.subnet_id AND taken.address = gap.candidate
        )
        ORDER BY gap.candidate
    ) gaps
    OFFSET 0
) free
WHERE pg_try_advisory_xact_lock(hashtextextended(%(subnet)s || host(candidate), 0))
LIMIT 1
ON CONFLICT DO NOTHING
RETURNING host(address)
"""


@dataclass(frozen=True, slots=True)
class Wish:
    """One address that a port is to have: this one, or any of the subnet."""

    subnet: Subnet
    address: str = ""


Given = tuple[str, str]  # subnet id and address


class Exhausted(Conflict):
    """No address is free."""


def is_auto(subnet: Subnet) -> bool:
    """Does a guest make its own address in this subnet?"""
    return subnet.ipv6_address_mode in AUTO_MODES or subnet.ipv6_ra_mode in AUTO_MODES


def give(port: Port, wish: Wish) -> Given:
    """Give a port an address. Raises Exhausted when none is free, Conflict (IpAddressAlreadyAllocated) when taken."""
    address = wish.address
    if not address and is_auto(wish.subnet) and port.device_owner not in ROUTER_OWNERS:
        address = eui64(wish.subnet.cidr, port.mac_address)
    if address:
        FixedIp.objects.create(port=port, subnet=wish.subnet, address=address)
        return str(wish.subnet.pk), address
    with connection.cursor() as cursor:
        for _ in range(TRIES):
            cursor.execute(_TAKE, {"port": str(port.pk), "subnet": str(wish.subnet.pk)})
            row = cursor.fetchone()
            if row:
                return str(wish.subnet.pk), str(row[0])
    raise Exhausted(
        f"No more IP addresses available on network {wish.subnet.network_id}.", code="IpAddressGenerationFailure"
    )


def give_any(port: Port, subnets: Sequence[Subnet]) -> list[Given]:
    """One IPv4 and one IPv6 address from whichever subnets have some, and one in each self-addressing subnet.

    Raises Exhausted when a family has subnets but no free address.
    """
    given: list[Given] = []
    for version in (4, 6):
        choices = [s for s in subnets if s.ip_version == version and not is_auto(s) and _serves(s, port)]
        for index, subnet in enumerate(choices):
            try:
                given.append(give(port, Wish(subnet)))
                break
            except Exhausted:
                if index == len(choices) - 1:
                    raise
    return given + give_automatic(port, subnets)


def give_automatic(port: Port, subnets: Sequence[Subnet], *, besides: frozenset[Any] = frozenset()) -> list[Given]:
    """An address in each self-addressing subnet; routers take theirs by name."""
    if port.device_owner in ROUTER_OWNERS:
        return []
    return [give(port, Wish(subnet)) for subnet in subnets if is_auto(subnet) and subnet.pk not in besides]


def _serves(subnet: Subnet, port: Port) -> bool:
    """Subnets with service types serve only ports of these owners."""
    return not subnet.service_types or any(port.device_owner.startswith(s) for s in subnet.service_types)


def wishes(requested: Sequence[Mapping[str, Any]], subnets: Sequence[Subnet], port: Port) -> list[Wish]:
    """A body's `fixed_ips` against the subnets of the port's network. Raises Invalid or NotFound."""
    by_id = {s.pk: s for s in subnets}
    found: list[Wish] = []
    for item in requested:
        if not isinstance(item, Mapping) or set(item) - {"subnet_id", "ip_address", "subnet"}:
            raise Invalid(f"Invalid input for fixed_ips. Reason: '{item}' is not a valid fixed IP.", field="fixed_ips")
        subnet_id, address = item.get("subnet_id"), item.get("ip_address")
        if not subnet_id and not address:
            raise Invalid("IP allocation requires subnet_id or ip_address.", field="fixed_ips")
        if subnet_id:
            subnet = by_id.get(identified(subnet_id))  # type: ignore[arg-type]
            if subnet is None:
                find(Subnet.objects.all(), "subnet", subnet_id)
                raise Invalid(
                    f"Invalid input for operation: Failed to create port on network {port.network_id}, because "
                    f"fixed_ips included invalid subnet {subnet_id}.",
                    field="fixed_ips",
                    code="InvalidInput",
                )
            found.append(Wish(subnet, _within(subnet, address, port) if address else ""))
        else:
            found.append(_by_address(subnets, str(address), port))
    named = [w.address for w in found if w.address]
    if len(named) != len(set(named)):
        raise Invalid(f"Duplicate IP address '{next(a for a in named if named.count(a) > 1)}'", field="fixed_ips")
    return found


def _by_address(subnets: Sequence[Subnet], text: str, port: Port) -> Wish:
    address = parse_address(text, "fixed_ips")
    for subnet in subnets:
        if address in ipaddress.ip_network(subnet.cidr):
            return Wish(subnet, _within(subnet, text, port))
    raise Invalid(
        f"IP address {text} is not a valid IP for any of the subnets on the specified network.",
        field="fixed_ips",
        code="InvalidIpForNetwork",
    )


def _within(subnet: Subnet, text: str, port: Port) -> str:
    """The address in PostgreSQL's spelling, if it may be a port's in this subnet."""
    address = parse_address(text, "fixed_ips")
    network = ipaddress.ip_network(subnet.cidr)
    usable = address in network and (
        network.prefixlen >= network.max_prefixlen - 1
        or (address != network.network_address and (network.version == 6 or address != network.broadcast_address))
    )
    if not usable:
        raise Invalid(
            f"IP address {text} is not a valid IP for the specified subnet.",
            field="fixed_ips",
            code="InvalidIpForSubnet",
        )
    if (
        is_auto(subnet)
        and port.device_owner not in ROUTER_OWNERS
        and str(address) != eui64(subnet.cidr, port.mac_address)
    ):
        raise Invalid(
            f"IPv6 address {text} can not be directly assigned to a port on subnet {subnet.pk} since the subnet is "
            "configured for automatic addresses",
            field="fixed_ips",
            code="AllocationOnAutoAddressSubnet",
        )
    return str(address)


on_violation(
    "network_address_once",
    lambda detail: Conflict(
        f"IP address {_from_detail(detail)} already allocated in this subnet.", code="IpAddressAlreadyAllocated"
    ),
)


def _from_detail(detail: str) -> str:
    """The address out of PostgreSQL's `Key (subnet_id, address)=(…, 10.0.0.5) already exists.`"""
    return detail.partition(")=(")[2].partition(")")[0].rpartition(", ")[2]
