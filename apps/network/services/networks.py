"""Writes of networks."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from apps.core import live
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid
from apps.core.transactions import on_violation, service
from apps.network.models import FloatingIp, Network, Port, Router, Subnet
from apps.network.services.common import (
    change,
    check_revision,
    claim,
    find,
    guard,
    guard_attributes,
    in_use,
    mark,
    mark_ports,
    project_for,
    target,
)
from apps.network.states import GENEVE_OVERHEAD, PROVIDER_MTU, Dirty, NetworkType, Owner

_DEFAULTS: dict[str, Any] = {"shared": False, "router:external": False, "is_default": False}
_MIN_MTU, _MAX_MTU = 68, 65535
_MAX_VLAN = 4094

on_violation(
    "network_segment_once",
    lambda detail: Conflict(
        "Unable to create the network. The physical network or its segmentation id is in use.", code="VlanIdInUse"
    ),
)


@service("create_network")
def network_create(
    ctx: RequestContext,
    *,
    name: str = "",
    description: str = "",
    project_id: str | None = None,
    admin_state_up: bool = True,
    shared: bool = False,
    external: bool = False,
    is_default: bool = False,
    mtu: int | None = None,
    port_security_enabled: bool = True,
    network_type: str | None = None,
    physical_network: str | None = None,
    segmentation_id: int | None = None,
    dns_domain: str = "",
    availability_zone_hints: list[str] | None = None,
) -> Network:
    """Make a network. Raises Forbidden for attributes of administrators, Invalid, OverQuota."""
    owner = project_for(ctx, project_id)
    given = {
        "shared": shared,
        "router:external": external,
        "is_default": is_default,
        "provider:network_type": network_type,
        "provider:physical_network": physical_network,
        "provider:segmentation_id": segmentation_id,
    }
    guard_attributes(ctx, "create_network", given, _DEFAULTS, {"project_id": owner})
    kind = _segment(network_type, physical_network, segmentation_id)
    claim(ctx, project_id=owner, resource="network")
    network = Network.objects.create(
        name=name,
        description=description,
        project_id=owner,
        admin_state_up=admin_state_up,
        shared=shared,
        external=external,
        is_default=is_default,
        mtu=_mtu(mtu, kind),
        port_security_enabled=port_security_enabled,
        network_type=kind,
        physical_network=physical_network,
        segmentation_id=segmentation_id,
        dns_domain=dns_domain,
    )
    mark(Dirty.NETWORK, network.pk)
    _changed(network)
    return network


def _segment(network_type: str | None, physical_network: str | None, segmentation_id: int | None) -> NetworkType:
    """The kind of network asked for. Raises Invalid where the provider attributes do not fit together."""
    if network_type is None:
        if physical_network or segmentation_id:
            raise Invalid("network_type value is required when other provider attributes are given.")
        return NetworkType.GENEVE
    if network_type not in set(NetworkType):
        raise Invalid(f"network_type value '{network_type}' not supported", field="provider:network_type")
    kind = NetworkType(network_type)
    if kind == NetworkType.GENEVE:
        if physical_network:
            raise Invalid("provider:physical_network specified for geneve network", field="provider:physical_network")
        return kind
    if physical_network not in settings.CONFIG.ovn.physical_networks:
        known = ", ".join(settings.CONFIG.ovn.physical_networks)
        raise Invalid(
            f"physical_network '{physical_network or ''}' unknown for {kind} provider network; known: {known}",
            field="provider:physical_network",
        )
    if kind == NetworkType.FLAT and segmentation_id is not None:
        raise Invalid("provider:segmentation_id specified for flat network", field="provider:segmentation_id")
    if kind == NetworkType.VLAN and not 1 <= (segmentation_id or 0) <= _MAX_VLAN:
        raise Invalid(f"segmentation_id out of range (1 through {_MAX_VLAN})", field="provider:segmentation_id")
    return kind


def largest_mtu(kind: str) -> int:
    """The largest frames that the underlay carries for this kind of network."""
    underlay: int = settings.CONFIG.ovn.underlay_mtu
    return underlay - GENEVE_OVERHEAD if kind == NetworkType.GENEVE else max(underlay, PROVIDER_MTU)


def _mtu(wanted: int | None, kind: str) -> int:
    most = largest_mtu(kind)
    if not wanted:
        return most
    if not _MIN_MTU <= wanted <= min(most, _MAX_MTU):
        raise Invalid(
            f"Requested MTU {wanted} is too big or too small, it must be from {_MIN_MTU} to {most}.", field="mtu"
        )
    return wanted


def _changed(network: Network, *, was_open: bool = False) -> None:
    """Tell the open pages that show it: everybody's, where others may or might use it until now."""
    everybody = was_open or network.shared or network.external
    live.notify(live.EVERYBODY if everybody else network.project_id, "network", network.pk)


@service("update_network")
def network_update(ctx: RequestContext, *, network_id: str, if_revision: int | None = None, **values: Any) -> Network:
    """Change a network. Raises NotFound, Forbidden, Invalid, Conflict (InvalidSharedSetting)."""
    network = find(Network.objects.visible(ctx), "network", network_id, lock=True)
    guard(ctx, "update_network", network)
    check_revision(network, if_revision)
    was_open = network.shared or network.external
    names = {"external": "router:external"}
    for attribute in sorted({"shared", "external", "is_default"} & set(values)):
        guard_attributes(
            ctx, "update_network", {names.get(attribute, attribute): values[attribute]}, {}, target(network)
        )
    if values.get("shared") is False and network.shared:
        _check_no_strangers(network)
    if values.get("external") is False and network.external:
        _check_no_gateways(network)
    if "mtu" in values:
        values["mtu"] = _mtu(values["mtu"], network.network_type)
    values.pop("availability_zone_hints", None)
    if values:
        change(network, **values)
    mark(Dirty.NETWORK, network.pk)
    if "mtu" in values or "admin_state_up" in values:
        mark_ports(network.ports.filter(router__isnull=False))
    _changed(network, was_open=was_open)
    return network


def _check_no_strangers(network: Network) -> None:
    others = network.ports.exclude(project_id=network.project_id).exclude(project_id=None)
    if others.exists() or network.subnets.exclude(project_id=network.project_id).exists():
        raise in_use(
            f"Unable to reconfigure sharing settings for network {network.pk}. Multiple tenants are using it.",
            "InvalidSharedSetting",
        )


def _check_no_gateways(network: Network) -> None:
    if (
        Router.objects.filter(gateway_network=network).exists()
        or FloatingIp.objects.filter(floating_network=network).exists()
    ):
        raise in_use(
            f"External network {network.pk} cannot be updated to be made non-external, since it has existing "
            "gateway ports.",
            "ExternalNetworkInUse",
        )


def _return_floating(network: Network) -> None:
    """Floating IPs that lead nowhere go with their network."""
    idle = FloatingIp.objects.filter(floating_network=network, port=None)
    ports = list(idle.values_list("floating_port_id", flat=True))
    idle.delete()
    Port.objects.filter(pk__in=ports).delete()


@service("delete_network")
def network_delete(ctx: RequestContext, *, network_id: str, if_revision: int | None = None) -> None:
    """Delete a network with its subnets. Raises NotFound, Forbidden, Conflict (NetworkInUse) while ports are on it."""
    network = find(Network.objects.visible(ctx), "network", network_id, lock=True)
    guard(ctx, "delete_network", network)
    check_revision(network, if_revision)
    _return_floating(network)
    used = list(network.ports.exclude(device_owner=Owner.METADATA).values_list("pk", flat=True)[:5])
    if used:
        raise in_use(
            f"Unable to complete operation on network {network.pk}. There are one or more ports still in use on the "
            f"network, id for these ports is: {','.join(str(pk) for pk in used)}.",
            "NetworkInUse",
        )
    metadata = list(network.ports.values_list("pk", flat=True))
    Port.objects.filter(network=network).delete()
    Subnet.objects.filter(network=network).delete()
    pk = network.pk
    _changed(network)
    network.delete()
    mark(Dirty.PORT, *metadata)
    mark(Dirty.NETWORK, pk)
