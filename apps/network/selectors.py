"""Reads of the network service. Lists come scoped to the caller; the kernel filters, sorts, pages and renders them."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Sequence
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import Exists, Func, OuterRef, Q, QuerySet, TextField
from django.db.models import F as Column

from apps.core.context import RequestContext
from apps.core.errors import Invalid
from apps.core.models import QuickJsonField
from apps.core.transactions import internal, selector
from apps.hosts.models import Host
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
    SubnetPool,
)

ROW_LIMIT = 2  # to tell one from several


def _identified(ident: str) -> Any:
    """An id from outside; what cannot be one is nobody's."""
    try:
        return uuid.UUID(str(ident))
    except ValueError:
        return None


def _tagged(
    rows: QuerySet[Any],
    tags: Sequence[str] = (),
    tags_any: Sequence[str] = (),
    not_tags: Sequence[str] = (),
    not_tags_any: Sequence[str] = (),
) -> QuerySet[Any]:
    """The four tag filters; each takes comma-separated names."""
    for texts, lookup, wanted in (
        (tags, "tags__contains", True),
        (tags_any, "tags__overlap", True),
        (not_tags, "tags__contains", False),
        (not_tags_any, "tags__overlap", False),
    ):
        names = [name for text in texts for name in text.split(",") if name]
        if names:
            found = Q(**{lookup: names})
            rows = rows.filter(found if wanted else ~found)
    return rows


@selector("get_network")
def network_list(ctx: RequestContext, *, status: str = "ACTIVE", **tags: Any) -> QuerySet[Network]:
    """Networks of the project, shared ones and external ones; all are active."""
    rows = _tagged(Network.objects.visible(ctx), **tags)
    return rows if status == "ACTIVE" else rows.none()


@selector("get_network")
def network_get(ctx: RequestContext, *, network_id: str) -> QuerySet[Network]:
    """At most one."""
    return Network.objects.visible(ctx).filter(pk=_identified(network_id))


@selector("get_subnet")
def subnet_list(ctx: RequestContext, **tags: Any) -> QuerySet[Subnet]:
    """Subnets of the project and of shared networks."""
    return _tagged(Subnet.objects.visible(ctx), **tags)


@selector("get_subnet")
def subnet_get(ctx: RequestContext, *, subnet_id: str) -> QuerySet[Subnet]:
    """At most one."""
    return Subnet.objects.visible(ctx).filter(pk=_identified(subnet_id))


@selector("get_subnetpool")
def subnetpool_list(ctx: RequestContext, **tags: Any) -> QuerySet[SubnetPool]:
    """Subnet pools of the project and shared ones."""
    return _tagged(SubnetPool.objects.visible(ctx), **tags)


@selector("get_subnetpool")
def subnetpool_get(ctx: RequestContext, *, subnetpool_id: str) -> QuerySet[SubnetPool]:
    """At most one."""
    return SubnetPool.objects.visible(ctx).filter(pk=_identified(subnetpool_id))


@selector("get_port")
def port_list(
    ctx: RequestContext,
    *,
    fixed_ips: Sequence[str] = (),
    security_groups: Sequence[str] = (),
    **tags: Any,
) -> QuerySet[Port]:
    """Ports of the project and on its networks.

    `fixed_ips` holds `subnet_id=…`, `ip_address=…` and `ip_address_substr=…`: ports with an address for which one of
    each kind holds. Raises Invalid for another word.
    """
    rows = _tagged(Port.objects.visible(ctx), **tags)
    if fixed_ips:
        rows = rows.filter(Exists(_addressed(fixed_ips)))
    if security_groups:
        rows = rows.filter(
            Exists(PortGroup.objects.filter(port=OuterRef("pk"), security_group__in=list(security_groups)))
        )
    return rows


def _addressed(texts: Sequence[str]) -> QuerySet[FixedIp]:
    lookups = {"subnet_id": "subnet_id", "ip_address": "address", "ip_address_substr": "address__contains"}
    by_word: dict[str, Q] = {}
    for text in texts:
        word, found, value = text.partition("=")
        if not found or word not in lookups:
            raise Invalid(
                f"fixed_ips takes subnet_id=, ip_address= or ip_address_substr=, not {text!r}", field="fixed_ips"
            )
        by_word[word] = by_word.get(word, Q()) | Q(**{lookups[word]: value})
    return FixedIp.objects.filter(*by_word.values(), port=OuterRef("pk"))


@selector("get_port")
def port_get(ctx: RequestContext, *, port_id: str) -> QuerySet[Port]:
    """At most one."""
    return Port.objects.visible(ctx).filter(pk=_identified(port_id))


@selector("get_router")
def router_list(ctx: RequestContext, *, status: str = "ACTIVE", **tags: Any) -> QuerySet[Router]:
    """Routers of the project; all are active."""
    rows = _tagged(Router.objects.visible(ctx), **tags)
    return rows if status == "ACTIVE" else rows.none()


@selector("get_router")
def router_get(ctx: RequestContext, *, router_id: str) -> QuerySet[Router]:
    """At most one."""
    return Router.objects.visible(ctx).filter(pk=_identified(router_id))


@selector("get_floatingip")
def floatingip_list(ctx: RequestContext, *, status: str = "", **tags: Any) -> QuerySet[FloatingIp]:
    """Floating IPs of the project."""
    rows = _tagged(FloatingIp.objects.visible(ctx), **tags)
    return rows.filter(port__isnull=status != "ACTIVE") if status else rows


@selector("get_floatingip")
def floatingip_get(ctx: RequestContext, *, floatingip_id: str) -> QuerySet[FloatingIp]:
    """At most one."""
    return FloatingIp.objects.visible(ctx).filter(pk=_identified(floatingip_id))


@selector("get_security_group")
def security_group_list(ctx: RequestContext, **tags: Any) -> QuerySet[SecurityGroup]:
    """Security groups of the project."""
    return _tagged(SecurityGroup.objects.visible(ctx), **tags)


@selector("get_security_group")
def security_group_get(ctx: RequestContext, *, security_group_id: str) -> QuerySet[SecurityGroup]:
    """At most one."""
    return SecurityGroup.objects.visible(ctx).filter(pk=_identified(security_group_id))


@selector("get_security_group_rule")
def security_group_rule_list(ctx: RequestContext) -> QuerySet[SecurityGroupRule]:
    """Rules of the project's groups."""
    return SecurityGroupRule.objects.visible(ctx)


@selector("get_security_group_rule")
def security_group_rule_get(ctx: RequestContext, *, security_group_rule_id: str) -> QuerySet[SecurityGroupRule]:
    """At most one."""
    return SecurityGroupRule.objects.visible(ctx).filter(pk=_identified(security_group_rule_id))


@selector("get_availability_zone")
def agent_list(ctx: RequestContext) -> list[dict[str, Any]]:
    """The hosts as this API's `agents`, for administrators; to others there are none."""
    if not ctx.is_admin:
        return []
    return [
        {
            "id": str(host.pk),
            "agent_type": "OVN Controller agent",
            "binary": "ovn-controller",
            "host": host.name,
            "alive": host.is_up,
            "admin_state_up": host.enabled,
            "availability_zone": host.zone,
            "topic": "n/a",
            "description": "",
            "configurations": {"chassis_name": host.chassis},
            "created_at": host.created_at,
            "started_at": host.created_at,
            "heartbeat_timestamp": host.last_seen_at,
            "resources_synced": None,
        }
        for host in Host.objects.order_by("name")
    ]


@selector("get_availability_zone")
def availability_zone_list(ctx: RequestContext) -> list[dict[str, Any]]:
    """Zones of networks and routers: those of the hosts."""
    zones = sorted(set(Host.objects.values_list("zone", flat=True))) or ["nova"]
    return [
        {"id": zone, "name": zone, "resource": resource, "state": "available"}
        for zone in zones
        for resource in ("network", "router")
    ]


# --- what compute reads along with its servers --------------------------------------------------------


def _outer(reference: Any) -> Any:
    """The outer row's id, given as a column name, `F` or `OuterRef`."""
    return Column(str(getattr(reference, "name", reference)))


_ADDRESSES = """
(SELECT COALESCE(jsonb_agg(jsonb_build_object(
    'network_id', n.id, 'network_name', n.name, 'port_id', p.id, 'mac', p.mac_address,
    'ip', host(a.address), 'version', family(a.address), 'type', a.type
) ORDER BY p.nic_index, p.created_at, p.id, a.type, a.place), '[]')
FROM network_port p
JOIN network_network n ON n.id = p.network_id
CROSS JOIN LATERAL (
    SELECT f.address, 'fixed' AS type, f.id AS place FROM network_fixedip f WHERE f.port_id = p.id
    UNION ALL
    SELECT i.floating_ip_address, 'floating', 0 FROM network_floatingip i WHERE i.port_id = p.id
) a
WHERE p.server_id = %(expressions)s)
"""

_GROUPS = """
ARRAY(SELECT DISTINCT g.name::text FROM network_port p
JOIN network_portgroup m ON m.port_id = p.id
JOIN network_securitygroup g ON g.id = m.security_group_id
WHERE p.server_id = %(expressions)s
ORDER BY 1)
"""


def server_addresses(outer_ref: Any) -> Func:
    """For a query over servers: one JSON list per server of
    `{network_id, network_name, port_id, mac, ip, version, type: fixed|floating}`."""
    return Func(_outer(outer_ref), template=_ADDRESSES, output_field=QuickJsonField())


def security_groups_of_server(outer_ref: Any) -> Func:
    """For a query over servers: the names of the security groups of a server's ports, each once."""
    return Func(_outer(outer_ref), template=_GROUPS, output_field=ArrayField(TextField()))


def _covers(prefix: str, address: str) -> bool:
    """May a port with this allowed address pair send from the address?"""
    network, asked = ipaddress.ip_network(prefix, strict=False), ipaddress.ip_address(address)
    return network.version == asked.version and asked in network


@internal("compute's internal API, which answers metadata to hosts")
def port_owner_by_address(ctx: RequestContext, *, network_id: Any, address: str) -> tuple[str, str] | None:
    """Server and project of the one port that has this address on this network; None where none or several claim it."""
    fixed = Port.objects.filter(network_id=network_id, fixed_ips__address=address)
    owners = list(fixed.distinct().values_list("pk", "server_id", "project_id")[:ROW_LIMIT])
    if len(owners) != 1 or owners[0][1] is None:
        return None
    paired = Port.objects.filter(network_id=network_id).exclude(
        Q(project_id=owners[0][2]) | Q(allowed_address_pairs=[])
    )
    if any(
        _covers(pair["ip_address"], address)
        for pairs in paired.values_list("allowed_address_pairs", flat=True)
        for pair in pairs
    ):
        return None
    return str(owners[0][1]), str(owners[0][2])


@selector("get_port")
def server_port_list(ctx: RequestContext, *, server_id: object) -> QuerySet[Port]:
    """A server's ports in the order of its interfaces."""
    rows = Port.objects.visible(ctx).filter(server_id=_identified(str(server_id)))
    return rows.order_by("nic_index", "created_at", "pk")
