"""Writes of ports."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from apps.core import live, policy
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid
from apps.core.transactions import on_violation, service
from apps.hosts.models import Host
from apps.network.models import FixedIp, FloatingIp, Network, Port, PortGroup, Subnet
from apps.network.services import addresses
from apps.network.services.addresses import Given
from apps.network.services.common import (
    change,
    check_revision,
    claim,
    find,
    guard,
    in_use,
    mark,
    parse_address,
    parse_prefix,
    project_for,
    target,
)
from apps.network.services.groups import groups_for, join_default
from apps.network.states import TRUSTED_PREFIX, Dirty, PortStatus, new_mac

DEFAULT: Any = object()  # "not given"
_MAC = re.compile(r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")
_MAX_PAIRS = 10

on_violation(
    "network_port_mac",
    lambda detail: Conflict("The MAC address is in use on this network.", code="MacAddressInUse"),
)


@service("create_port")
def port_create(
    ctx: RequestContext,
    *,
    network_id: str,
    name: str = "",
    description: str = "",
    project_id: str | None = None,
    admin_state_up: bool = True,
    mac_address: str | None = None,
    fixed_ips: Any = DEFAULT,
    device_id: str = "",
    device_owner: str = "",
    security_groups: list[str] | None = None,
    port_security_enabled: bool | None = None,
    allowed_address_pairs: Sequence[Mapping[str, Any]] | None = None,
    extra_dhcp_opts: Sequence[Mapping[str, Any]] | None = None,
    binding_host_id: str | None = None,
    binding_profile: dict[str, Any] | None = None,
    binding_vnic_type: str = "normal",
    tags: list[str] | None = None,
) -> Port:
    """Make a port, with addresses and groups. Raises NotFound, Forbidden, Invalid, Conflict, OverQuota."""
    network = find(Network.objects.visible(ctx), "network", network_id)
    owner = project_for(ctx, project_id)
    row = {"project_id": owner, "network_project_id": network.project_id, "network_shared": network.shared}
    policy.enforce(ctx, "create_port", row)
    _guard_create(
        ctx, row, fixed_ips, device_owner, port_security_enabled, network,
        {
            "mac_address": mac_address,
            "allowed_address_pairs": allowed_address_pairs,
            "binding:host_id": binding_host_id,
            "binding:profile": binding_profile,
        },
    )  # fmt: skip
    secured = network.port_security_enabled if port_security_enabled is None else port_security_enabled
    trusted = device_owner.startswith(TRUSTED_PREFIX)
    if not secured and security_groups:
        raise Invalid(
            "Port security must be enabled and port must have an IP address in order to use security groups.",
            code="PortSecurityAndIPRequiredForSecurityGroups",
        )
    by_default = secured and not trusted and security_groups is None
    groups = groups_for(ctx, ids=security_groups) if secured and not trusted and security_groups else []
    claim(ctx, project_id=owner, resource="port")
    port = Port(
        network=network,
        project_id=owner,
        name=name,
        description=description,
        mac_address=_mac(mac_address),
        admin_state_up=admin_state_up,
        device_id=device_id,
        device_owner=device_owner,
        port_security_enabled=secured,
        extra_dhcp_opts=_dhcp_opts(extra_dhcp_opts),
        vnic_type=binding_vnic_type,
        binding_profile=binding_profile or {},
        tags=tags or [],
        **binding(binding_host_id or ""),
    )
    port.allowed_address_pairs = _pairs(allowed_address_pairs, port)
    port.given_ips = plug(port, fixed_ips)
    port.given_groups = join_default(ctx, port=port) if by_default else groups
    if groups:
        PortGroup.objects.bulk_create(PortGroup(port=port, security_group_id=group) for group in groups)
    mark(Dirty.PORT, port.pk)
    live.notify(owner, "port", port.pk)
    return port


def _guard_create(
    caller: RequestContext,
    row: dict[str, Any],
    fixed_ips: Any,
    device_owner: str,
    port_security_enabled: bool | None,
    network: Network,
    others: Mapping[str, Any],
) -> None:
    if fixed_ips is not DEFAULT and fixed_ips:
        policy.enforce(caller, "create_port:fixed_ips", row)
        for part in _parts(fixed_ips):
            policy.enforce(caller, f"create_port:fixed_ips:{part}", row)
    if device_owner.startswith(TRUSTED_PREFIX):
        policy.enforce(caller, "create_port:device_owner", row)
    if port_security_enabled not in {None, network.port_security_enabled}:
        policy.enforce(caller, "create_port:port_security_enabled", row)
    for attribute, value in others.items():
        if value:
            policy.enforce(caller, f"create_port:{attribute}", row)


def _parts(fixed_ips: Sequence[Any]) -> set[str]:
    """What a body chooses of its addresses: the subnet, the very address, or both."""
    return {
        name
        for item in fixed_ips
        if isinstance(item, Mapping)
        for name in ("subnet_id", "ip_address")
        if item.get(name)
    }


def plug(port: Port, fixed_ips: Any = DEFAULT) -> list[Given]:
    """Write a new port and give it its addresses: as `fixed_ips` wishes, or any where it is DEFAULT."""
    subnets = subnets_of(port)
    port.save(force_insert=True)
    if fixed_ips is DEFAULT or fixed_ips is None:
        return addresses.give_any(port, subnets)
    wanted = addresses.wishes(fixed_ips, subnets, port)
    given = [addresses.give(port, wish) for wish in wanted]
    return given + addresses.give_automatic(port, subnets, besides=frozenset(w.subnet.pk for w in wanted))


def subnets_of(port: Port) -> list[Subnet]:
    """What addresses may come from, oldest first."""
    return list(
        Subnet.objects.filter(network_id=port.network_id)
        .only("network_id", "cidr", "ip_version", "ipv6_address_mode", "ipv6_ra_mode", "service_types")
        .order_by("created_at", "pk")
    )


def _mac(text: str | None) -> str:
    if text is None:
        return new_mac()
    mac = text.lower().replace("-", ":")
    if not _MAC.match(mac) or int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise Invalid(
            f"Invalid input for mac_address. Reason: '{text}' is not a valid MAC address.", field="mac_address"
        )
    return mac


def _pairs(items: Sequence[Mapping[str, Any]] | None, port: Port) -> list[dict[str, str]]:
    """Addresses besides its own that a port may send from. Raises Invalid, Conflict."""
    if not items:
        return []
    if not port.port_security_enabled:
        raise Conflict(
            "Port Security must be enabled in order to have allowed address pairs on a port.",
            code="AddressPairAndPortSecurityRequired",
        )
    if len(items) > _MAX_PAIRS:
        raise Invalid(
            f"The number of allowed address pairs exceeds the maximum {_MAX_PAIRS}.", code="AllowedAddressPairExhausted"
        )
    pairs: list[dict[str, str]] = []
    for item in items:
        if (
            not isinstance(item, Mapping)
            or "ip_address" not in item
            or set(item) - {"ip_address", "mac_address", "active"}
        ):
            raise Invalid(
                "Invalid input for allowed_address_pairs. Reason: each pair needs ip_address and may have mac_address.",
                field="allowed_address_pairs",
            )
        text = str(item["ip_address"])
        if "/" in text:
            parse_prefix(text, "allowed_address_pairs")
        else:
            parse_address(text, "allowed_address_pairs")
        mac = item.get("mac_address")
        pair = {"ip_address": text, "mac_address": _mac(mac) if mac else port.mac_address}
        if pair in pairs:
            raise Invalid(
                f"Request contains duplicate address pair: mac_address {pair['mac_address']} ip_address {text}.",
                code="DuplicateAddressPairInRequest",
            )
        pairs.append(pair)
    return pairs


def _dhcp_opts(items: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """`[{"opt_name", "opt_value", "ip_version"}]`; a null value takes the option away. Raises Invalid."""
    options: dict[tuple[str, int], dict[str, Any]] = {}
    for item in items or ():
        if not isinstance(item, Mapping) or not item.get("opt_name") or "opt_value" not in item:
            raise Invalid(
                "Invalid input for extra_dhcp_opts. Reason: each option needs opt_name and opt_value.",
                field="extra_dhcp_opts",
            )
        version = item.get("ip_version", 4)
        if version not in {4, 6, "4", "6"}:
            raise Invalid("Invalid input for extra_dhcp_opts. Reason: ip_version is 4 or 6.", field="extra_dhcp_opts")
        name, value = str(item["opt_name"]), item["opt_value"]
        if value is not None:
            options[name, int(version)] = {"opt_name": name, "opt_value": str(value), "ip_version": int(version)}
    return list(options.values())


def binding(host_name: str) -> dict[str, str]:
    """The columns that bind a port to a host, by the host's name. Raises Invalid for a host that does not exist."""
    if not host_name:
        return {"host_name": "", "chassis": ""}
    chassis = Host.objects.filter(name=host_name).values_list("chassis", flat=True).first()
    if chassis is None:
        raise Invalid(f"Host {host_name} could not be found.", field="binding:host_id")
    return {"host_name": host_name, "chassis": chassis}


@service("update_port")
def port_update(ctx: RequestContext, *, port_id: str, if_revision: int | None = None, **values: Any) -> Port:
    """Change a port. Raises NotFound, Forbidden, Invalid, Conflict."""
    port = find(Port.objects.visible(ctx).select_related("network"), "port", port_id, lock=True)
    row = target(port, port.network)
    policy.enforce(ctx, "update_port", row)
    check_revision(port, if_revision)
    _guard_update(ctx, row, port, values)
    fixed_ips = values.pop("fixed_ips", DEFAULT)
    groups = values.pop("security_groups", DEFAULT)
    columns = _columns(port, values)
    secured = columns.get("port_security_enabled", port.port_security_enabled)
    if not secured:
        _check_unsecured(port, columns, groups)
    change(port, **columns)
    if fixed_ips is not DEFAULT:
        _readdress(port, fixed_ips or [])
    if groups is not DEFAULT:
        _regroup(ctx, port, groups or [])
    elif not secured:
        PortGroup.objects.filter(port=port).delete()
    mark(Dirty.PORT, port.pk)
    if port.router_id:
        mark(Dirty.ROUTER, port.router_id)
    if "mac_address" in columns or "host_name" in columns or fixed_ips is not DEFAULT:
        _mark_floating(port)
    live.notify(port.project_id or "", "port", port.pk)
    return port


def _guard_update(caller: RequestContext, row: dict[str, Any], port: Port, values: Mapping[str, Any]) -> None:
    guarded = {
        "mac_address": "mac_address",
        "fixed_ips": "fixed_ips",
        "port_security_enabled": "port_security_enabled",
        "allowed_address_pairs": "allowed_address_pairs",
        "binding_host_id": "binding:host_id",
        "binding_profile": "binding:profile",
    }
    for name in guarded.keys() & values.keys():
        if values[name] != getattr(port, name, DEFAULT):
            policy.enforce(caller, f"update_port:{guarded[name]}", row)
    if str(values.get("device_owner", "")).startswith(TRUSTED_PREFIX) and values["device_owner"] != port.device_owner:
        policy.enforce(caller, "update_port:device_owner", row)
    if port.router_id and {"device_id", "device_owner"} & values.keys():
        for name in ("device_id", "device_owner"):
            if values.get(name, getattr(port, name)) != getattr(port, name):
                raise in_use(f"Port {port.pk} belongs to router {port.router_id}.", "PortInUse")


def _columns(port: Port, values: dict[str, Any]) -> dict[str, Any]:
    """A body's attributes as columns."""
    columns = dict(values)
    if "binding_host_id" in columns:
        columns |= binding(columns.pop("binding_host_id") or "")
        if columns["host_name"] != port.host_name:
            columns["status"] = PortStatus.DOWN
    if "binding_vnic_type" in columns:
        columns["vnic_type"] = columns.pop("binding_vnic_type") or "normal"
    if "binding_profile" in columns:
        columns["binding_profile"] = columns["binding_profile"] or {}
    if "mac_address" in columns:
        columns["mac_address"] = _mac(columns["mac_address"])
        if columns["mac_address"] != port.mac_address and port.host_name:
            raise in_use(f"Port {port.pk} is bound; its MAC address cannot be changed.", "PortBound")
    if "extra_dhcp_opts" in columns:
        columns["extra_dhcp_opts"] = _merged_options(port, columns["extra_dhcp_opts"])
    if "port_security_enabled" in columns:
        port.port_security_enabled = columns["port_security_enabled"]
    if "allowed_address_pairs" in columns:
        columns["allowed_address_pairs"] = _pairs(columns["allowed_address_pairs"], port)
    return columns


def _merged_options(port: Port, items: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """An update names the options that change; the others stay."""
    named = {(str(i.get("opt_name")), int(i.get("ip_version") or 4)) for i in items or ()}
    kept = [o for o in port.extra_dhcp_opts if (o["opt_name"], o["ip_version"]) not in named]
    return kept + _dhcp_opts(items)


def _check_unsecured(port: Port, columns: Mapping[str, Any], groups: Any) -> None:
    if columns.get("allowed_address_pairs", port.allowed_address_pairs):
        raise Conflict(
            "Port Security must be enabled in order to have allowed address pairs on a port.",
            code="AddressPairAndPortSecurityRequired",
        )
    held = groups if groups is not DEFAULT else PortGroup.objects.filter(port=port).exists()
    if held:
        raise in_use(
            "Port has security group associated. Cannot disable port security or ip address until security group is "
            "removed",
            "PortSecurityPortHasSecurityGroup",
        )


def _readdress(port: Port, requested: Sequence[Mapping[str, Any]]) -> None:
    """Make the port have these addresses: what it has already stays, also where only its subnet is named."""
    subnets = subnets_of(port)
    wanted = addresses.wishes(requested, subnets, port)
    held = {(f.subnet_id, f.address): f for f in port.fixed_ips.all()}
    kept = {key for w in wanted if w.address for key in [(w.subnet.pk, w.address)] if key in held}
    missing_ones = [w for w in wanted if w.address and (w.subnet.pk, w.address) not in held]
    for wish in (w for w in wanted if not w.address):
        spare = next((key for key in held if key[0] == wish.subnet.pk and key not in kept), None)
        if spare is None:
            missing_ones.append(wish)
        else:
            kept.add(spare)
    automatic = {s.pk for s in subnets if addresses.is_auto(s)} if not port.router_id else set()
    gone = [f for key, f in held.items() if key not in kept and key[0] not in automatic]
    _unfloat(port, [f.address for f in gone])
    FixedIp.objects.filter(pk__in=[f.pk for f in gone]).delete()
    for wish in missing_ones:
        addresses.give(port, wish)


def _regroup(ctx: RequestContext, port: Port, ids: list[str]) -> None:
    wanted = set(groups_for(ctx, ids=list(ids)))
    PortGroup.objects.filter(port=port).exclude(security_group_id__in=wanted).delete()
    held = set(PortGroup.objects.filter(port=port).values_list("security_group_id", flat=True))
    PortGroup.objects.bulk_create(PortGroup(port=port, security_group_id=g) for g in wanted - held)


def _unfloat(port: Port, gone: Sequence[str]) -> None:
    """Floating IPs of addresses that go lead nowhere from now on."""
    floating = FloatingIp.objects.filter(port=port, fixed_ip_address__in=list(gone))
    routers = set(floating.values_list("router_id", flat=True))
    floating.update(port=None, fixed_ip_address=None, router=None)
    mark(Dirty.ROUTER, *(r for r in routers if r))


def _mark_floating(port: Port) -> None:
    routers = FloatingIp.objects.filter(port=port, router__isnull=False).values_list("router_id", flat=True)
    mark(Dirty.ROUTER, *set(routers))


@service("delete_port")
def port_delete(ctx: RequestContext, *, port_id: str, if_revision: int | None = None) -> None:
    """Delete a port; floating IPs that led to it are kept. Raises NotFound, Forbidden, Conflict for routers' ports."""
    port = find(Port.objects.visible(ctx).select_related("network"), "port", port_id, lock=True)
    guard(ctx, "delete_port", port, port.network)
    check_revision(port, if_revision)
    if port.router_id or FloatingIp.objects.filter(floating_port=port).exists():
        raise in_use(
            f"Port {port.pk} cannot be deleted directly via the port API: has device owner {port.device_owner}.",
            "ServicePortInUse",
        )
    remove(port)


def remove(port: Port) -> None:
    """Delete a port with all that hangs on it."""
    _unfloat(port, list(port.fixed_ips.values_list("address", flat=True)))
    project_id, pk = port.project_id, port.pk
    port.delete()
    mark(Dirty.PORT, pk)
    live.notify(project_id or "", "port", pk)
