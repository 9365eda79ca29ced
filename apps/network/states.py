"""Words of the network API, and small facts about addresses."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from enum import StrEnum

METADATA_ADDRESS = "169.254.169.254"
GENEVE_OVERHEAD = 58  # bytes that Geneve over IPv4 takes from the underlay's MTU
PROVIDER_MTU = 1500


class PortStatus(StrEnum):
    """Whether a port is wired up: stored and shown as it is."""

    ACTIVE = "ACTIVE"
    DOWN = "DOWN"


class NetworkType(StrEnum):
    """How a network's frames travel between hosts."""

    GENEVE = "geneve"
    FLAT = "flat"
    VLAN = "vlan"


class Owner(StrEnum):
    """`device_owner` of ports that the cloud makes itself."""

    ROUTER_INTERFACE = "network:router_interface"
    ROUTER_GATEWAY = "network:router_gateway"
    FLOATING_IP = "network:floatingip"
    METADATA = "network:distributed"


ROUTER_OWNERS = (Owner.ROUTER_INTERFACE, Owner.ROUTER_GATEWAY)
TRUSTED_PREFIX = "network:"  # ports with such an owner are the cloud's own: no security groups
SERVER_PREFIX = "compute:"


class Dirty(StrEnum):
    """What a mark in the projector's queue names."""

    NETWORK = "network"
    PORT = "port"
    ROUTER = "router"
    GROUP = "security_group"


class Ipv6Mode(StrEnum):
    """`ipv6_ra_mode` and `ipv6_address_mode`."""

    SLAAC = "slaac"
    STATELESS = "dhcpv6-stateless"
    STATEFUL = "dhcpv6-stateful"


AUTO_MODES = (Ipv6Mode.SLAAC, Ipv6Mode.STATELESS)  # the guest makes its own address


def new_mac() -> str:
    """A random address, locally administered. Forty bits are drawn, so that nobody has to look whether it is taken:
    in a network of a thousand ports one draw in a thousand million is, and the constraint refuses that one.
    """
    return "fa:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(5))


def derived_mac(text: str) -> str:
    """An address that follows from the text: the same one whenever rows are made again."""
    digest = hashlib.sha256(text.encode()).digest()
    return "fa:16:3f:" + ":".join(f"{byte:02x}" for byte in digest[:3])


def eui64(cidr: str, mac: str) -> str:
    """The address a guest with this MAC gives itself in an IPv6 prefix (RFC 4291, appendix A)."""
    octets = bytes(int(part, 16) for part in mac.split(":"))
    interface = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    network = ipaddress.IPv6Network(cidr)
    return str(network.network_address + int.from_bytes(interface, "big"))
