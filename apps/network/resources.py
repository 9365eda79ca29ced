"""What the network API shows and takes, resource by resource, with the expressions that bring related rows along."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import F as Column
from django.db.models import Field, Func, JSONField, TextField

from apps.core.api import types as t
from apps.core.api.resource import CREATE, DETAIL, SHOW, UPDATE, Env, F, Resource, Row
from apps.core.errors import Invalid
from apps.network.states import PortStatus

READ = (DETAIL, SHOW)
NEW = (*READ, CREATE)
ALL = (*READ, CREATE, UPDATE)


# --- types -----------------------------------------------------------------------------------------


def _parse_int(text: str) -> int | None:
    return None if text in {"", "null", "None"} else int(text)


def integer(*, null: bool = False) -> t.Type:
    """A number that may come as text, as Neutron takes it."""
    kinds: list[dict[str, Any]] = [{"type": "integer"}, {"type": "string", "pattern": "^-?[0-9]+$"}]
    return t.Type({"anyOf": [*kinds, {"type": "null"}] if null else kinds}, parse=_parse_int)


INTEGER, INTEGER_OR_NULL = integer(), integer(null=True)
NUMBERS = (INTEGER, INTEGER_OR_NULL)
FLAG = t.loose_flag
ID = t.uuid
PROJECT = t.text(64)
NAME = t.text(255)
TEXTS = t.array(t.text(255))
OBJECTS = t.Type({"type": ["array", "null"], "items": {"type": "object"}})
ADDRESS = t.text(64)
ADDRESS_OR_NULL = t.text(64, null=True)
TEXT_OR_NULL = t.text(255, null=True)
TAGS = t.Type({"type": "array", "items": {"type": "string", "maxLength": 255}}, sorted)


def convert(kind: t.Type, value: Any) -> Any:
    """A validated value of a body in Python's type, where words stand for flags and numbers. Raises Invalid."""
    if kind is FLAG:
        return t.as_flag(value)
    if kind in NUMBERS and value is not None:
        return int(value)
    return value


# --- related rows ----------------------------------------------------------------------------------


def related(sql: str, output: Field[Any, Any], column: str = "pk") -> Func:
    """A correlated subquery; `{}` in it stands for the outer row's column."""
    escaped = sql.replace("%", "%%").replace("{}", "%(expressions)s")
    return Func(Column(column), template=f"({escaped})", output_field=output)


def _texts() -> Field[Any, Any]:
    return ArrayField(TextField())


SUBNETS_OF_NETWORK = related(
    "ARRAY(SELECT s.id::text FROM network_subnet s WHERE s.network_id = {} ORDER BY s.created_at, s.id)", _texts()
)
POOLS_OF_SUBNET = related(
    "SELECT COALESCE(jsonb_agg(jsonb_build_object('start', host(p.first), 'end', host(p.last)) ORDER BY p.first), '[]')"
    " FROM network_allocationpool p WHERE p.subnet_id = {}",
    JSONField(),
)
FIXED_IPS_OF_PORT = related(
    "SELECT COALESCE(jsonb_agg(jsonb_build_object('subnet_id', f.subnet_id, 'ip_address', host(f.address))"
    " ORDER BY f.id), '[]') FROM network_fixedip f WHERE f.port_id = {}",
    JSONField(),
)
GROUPS_OF_PORT = related(
    "ARRAY(SELECT g.security_group_id::text FROM network_portgroup g WHERE g.port_id = {} ORDER BY g.id)", _texts()
)
GATEWAY_OF_ROUTER = related(
    "SELECT jsonb_agg(jsonb_build_object('subnet_id', f.subnet_id, 'ip_address', host(f.address)) ORDER BY f.id)"
    " FROM network_port p JOIN network_fixedip f ON f.port_id = p.id"
    " WHERE p.router_id = {} AND p.device_owner = 'network:router_gateway'",
    JSONField(),
)
PORT_OF_FLOATING = related(
    "SELECT jsonb_build_object('name', p.name, 'network_id', p.network_id, 'mac_address', p.mac_address,"
    " 'admin_state_up', p.admin_state_up, 'status', p.status, 'device_id', p.device_id,"
    " 'device_owner', p.device_owner) FROM network_port p WHERE p.id = {}",
    JSONField(),
    "port_id",
)
RULES_OF_GROUP = related(
    "SELECT COALESCE(jsonb_agg(jsonb_build_object("
    "'id', r.id, 'project_id', r.project_id, 'tenant_id', r.project_id, 'security_group_id', r.security_group_id,"
    " 'direction', r.direction, 'ethertype', r.ethertype, 'protocol', r.protocol, 'port_range_min', r.port_range_min,"
    " 'port_range_max', r.port_range_max, 'remote_ip_prefix', r.remote_ip_prefix,"
    " 'normalized_cidr', network(r.remote_ip_prefix::inet)::text, 'remote_group_id', r.remote_group_id,"
    " 'remote_address_group_id', null, 'description', r.description, 'revision_number', r.revision,"
    " 'created_at', to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
    " 'updated_at', to_char(COALESCE(r.updated_at, r.created_at) AT TIME ZONE 'UTC',"
    ' \'YYYY-MM-DD"T"HH24:MI:SS"Z"\'))'
    " ORDER BY r.created_at, r.id), '[]') FROM network_securitygrouprule r WHERE r.security_group_id = {}",
    JSONField(),
)


# --- fields that all have --------------------------------------------------------------------------


def _iso(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _updated(row: Row, env: Env) -> str:
    return _iso(row["updated_at"] or row["created_at"])


def _project(row: Row, env: Env) -> str:
    return row["project_id"] or ""


def _constant(value: Any) -> Callable[[Row, Env], Any]:
    return lambda row, env: value


def _head(*, named: bool = True, tagged: bool = True) -> tuple[F, ...]:
    """Standard attributes: id, owner, name, description, revision, times, tags."""
    fields = [
        F("id", ID, filter="id", sort="id"),
        F("project_id", PROJECT, NEW, value=_project, needs=("project_id",), filter="project_id", sort="project_id"),
        F("tenant_id", PROJECT, NEW, value=_project, needs=("project_id",), filter="project_id", sort="project_id",
          arg="project_id"),
        F("description", NAME, ALL, filter="description"),
        F("revision_number", INTEGER, source="revision", filter="revision"),
        F("created_at", t.time, sort="created_at", filter="created_at"),
        F("updated_at", t.time, value=_updated, needs=("updated_at", "created_at"), sort="updated_at"),
    ]  # fmt: skip
    if named:
        fields.append(F("name", NAME, ALL, filter="name", sort="name"))
    if tagged:
        fields.append(F("tags", TAGS))
    return tuple(fields)


STATUS = F("status", t.text(), value=_constant("ACTIVE"))


# --- networks --------------------------------------------------------------------------------------

NETWORK = Resource(
    "network",
    "networks",
    (
        *_head(),
        STATUS,
        F("admin_state_up", FLAG, ALL, filter="admin_state_up", sort="admin_state_up"),
        F("shared", FLAG, ALL, filter="shared"),
        F("router:external", FLAG, ALL, source="external", arg="external", filter="external"),
        F("is_default", FLAG, ALL, filter="is_default"),
        F("mtu", INTEGER, ALL, filter="mtu", sort="mtu"),
        F("port_security_enabled", FLAG, ALL, filter="port_security_enabled"),
        F("subnets", TEXTS, source="subnet_ids"),
        F("availability_zones", TEXTS, value=_constant(["nova"])),
        F("availability_zone_hints", TEXTS, ALL, value=_constant([])),
        F("ipv4_address_scope", TEXT_OR_NULL, value=_constant(None)),
        F("ipv6_address_scope", TEXT_OR_NULL, value=_constant(None)),
        F("provider:network_type", TEXT_OR_NULL, NEW, source="network_type", arg="network_type", filter="network_type",
          rule="get_network:provider:network_type"),
        F("provider:physical_network", TEXT_OR_NULL, NEW, source="physical_network", arg="physical_network",
          filter="physical_network", rule="get_network:provider:physical_network"),
        F("provider:segmentation_id", INTEGER_OR_NULL, NEW, source="segmentation_id", arg="segmentation_id",
          filter="segmentation_id", rule="get_network:provider:segmentation_id"),
    ),
    default_sort=("created_at", "id"),
    annotations={"subnet_ids": SUBNETS_OF_NETWORK},
)  # fmt: skip

# --- subnets ---------------------------------------------------------------------------------------

SUBNET = Resource(
    "subnet",
    "subnets",
    (
        *_head(),
        F("network_id", ID, NEW, filter="network_id", sort="network_id", required=True),
        F("ip_version", INTEGER, NEW, filter="ip_version", sort="ip_version"),
        F("cidr", TEXT_OR_NULL, NEW, filter="cidr", sort="cidr"),
        F("prefixlen", INTEGER_OR_NULL, (CREATE,)),
        F("subnetpool_id", TEXT_OR_NULL, NEW, value=lambda row, env: _uuid(row["subnetpool_id"]),
          needs=("subnetpool_id",), filter="subnetpool_id"),
        F("use_default_subnetpool", FLAG, (CREATE,)),
        F("gateway_ip", ADDRESS_OR_NULL, ALL, filter="gateway_ip", sort="gateway_ip"),
        F("allocation_pools", OBJECTS, ALL, source="pool_ranges"),
        F("enable_dhcp", FLAG, ALL, filter="enable_dhcp", sort="enable_dhcp"),
        F("dns_nameservers", t.Type({"type": ["array", "null"], "items": {"type": "string"}}), ALL),
        F("host_routes", OBJECTS, ALL),
        F("ipv6_ra_mode", TEXT_OR_NULL, NEW, filter="ipv6_ra_mode"),
        F("ipv6_address_mode", TEXT_OR_NULL, NEW, filter="ipv6_address_mode"),
        F("dns_publish_fixed_ip", FLAG, ALL),
        F("service_types", TEXTS, ALL),
    ),
    default_sort=("created_at", "id"),
    annotations={"pool_ranges": POOLS_OF_SUBNET},
)  # fmt: skip


def _uuid(value: Any) -> str | None:
    return None if value is None else str(value)


SUBNETPOOL = Resource(
    "subnetpool",
    "subnetpools",
    (
        *_head(),
        F("prefixes", t.array(t.text(64)), ALL, required=True),
        F("ip_version", INTEGER, filter="ip_version"),
        F("min_prefixlen", INTEGER_OR_NULL, ALL, value=lambda row, env: str(row["min_prefixlen"]),
          needs=("min_prefixlen",), filter="min_prefixlen"),
        F("max_prefixlen", INTEGER_OR_NULL, ALL, value=lambda row, env: str(row["max_prefixlen"]),
          needs=("max_prefixlen",), filter="max_prefixlen"),
        F("default_prefixlen", INTEGER_OR_NULL, ALL, value=lambda row, env: str(row["default_prefixlen"]),
          needs=("default_prefixlen",), filter="default_prefixlen"),
        F("default_quota", INTEGER_OR_NULL, ALL, filter="default_quota"),
        F("shared", FLAG, NEW, filter="shared"),
        F("is_default", FLAG, ALL, filter="is_default"),
        F("address_scope_id", t.null, ALL, value=_constant(None)),
    ),
    default_sort=("created_at", "id"),
    small="a cloud has few",
)  # fmt: skip

# --- ports -----------------------------------------------------------------------------------------


def _pairs(row: Row, env: Env) -> list[dict[str, str]]:
    return row["allowed_address_pairs"] or []


def _vif_type(row: Row, env: Env) -> str:
    return "ovs" if row["host_name"] else "unbound"


def _vif_details(row: Row, env: Env) -> dict[str, Any]:
    return {"port_filter": True, "connectivity": "l2"} if row["host_name"] else {}


PORT = Resource(
    "port",
    "ports",
    (
        *(f for f in _head() if f.name != "tags"),
        F("tags", TAGS, NEW),
        F("network_id", ID, NEW, filter="network_id", sort="network_id", required=True),
        F("admin_state_up", FLAG, ALL, filter="admin_state_up", sort="admin_state_up"),
        F("status", t.enum(PortStatus), filter="status", sort="status"),
        F("mac_address", NAME, ALL, filter="mac_address", sort="mac_address"),
        F("fixed_ips", OBJECTS, ALL, source="fixed_ip_rows"),
        F("device_id", NAME, ALL, filter="device_id", sort="device_id"),
        F("device_owner", NAME, ALL, filter="device_owner", sort="device_owner"),
        F("security_groups", t.Type({"type": ["array", "null"], "items": {"type": "string"}}), ALL, source="group_ids"),
        F("port_security_enabled", FLAG, ALL, filter="port_security_enabled"),
        F("allowed_address_pairs", OBJECTS, ALL, value=_pairs, needs=("allowed_address_pairs",)),
        F("extra_dhcp_opts", OBJECTS, ALL),
        F("binding:vnic_type", t.enum(("normal", "direct", "macvtap", "baremetal", "direct-physical")), ALL,
          source="vnic_type"),
        F("binding:host_id", TEXT_OR_NULL, ALL, source="host_name", filter="host_name",
          rule="get_port:binding:host_id"),
        F("binding:profile", t.Type({"type": ["object", "null"]}), ALL, source="binding_profile",
          rule="get_port:binding:profile"),
        F("binding:vif_type", t.text(), value=_vif_type, needs=("host_name",), rule="get_port:binding:vif_type"),
        F("binding:vif_details", t.mapping, value=_vif_details, needs=("host_name",),
          rule="get_port:binding:vif_details"),
    ),
    default_sort=("created_at", "id"),
    annotations={"fixed_ip_rows": FIXED_IPS_OF_PORT, "group_ids": GROUPS_OF_PORT},
)  # fmt: skip

# --- routers and floating IPs ----------------------------------------------------------------------


def _gateway(row: Row, env: Env) -> dict[str, Any] | None:
    if row["gateway_network_id"] is None:
        return None
    return {
        "network_id": str(row["gateway_network_id"]),
        "enable_snat": row["enable_snat"],
        "external_fixed_ips": row["gateway_ips"] or [],
    }


ROUTER = Resource(
    "router",
    "routers",
    (
        *_head(),
        STATUS,
        F("admin_state_up", FLAG, ALL, filter="admin_state_up", sort="admin_state_up"),
        F("external_gateway_info", t.Type({"type": ["object", "null"]}), ALL, value=_gateway,
          needs=("gateway_network_id", "enable_snat", "gateway_ips")),
        F("routes", OBJECTS, (*READ, UPDATE)),
        F("distributed", FLAG, ALL, value=_constant(True), rule="get_router:distributed"),
        F("ha", FLAG, ALL, value=_constant(True), rule="get_router:ha"),
        F("availability_zones", TEXTS, value=_constant(["nova"])),
        F("availability_zone_hints", TEXTS, NEW, value=_constant([])),
        F("flavor_id", TEXT_OR_NULL, value=_constant(None)),
    ),
    default_sort=("created_at", "id"),
    annotations={"gateway_ips": GATEWAY_OF_ROUTER},
)  # fmt: skip


FLOATINGIP = Resource(
    "floatingip",
    "floatingips",
    (
        *_head(named=False),
        F("status", t.text(), value=lambda row, env: "ACTIVE" if row["port_id"] else "DOWN", needs=("port_id",)),
        F("floating_network_id", ID, NEW, filter="floating_network_id", sort="floating_network_id", required=True),
        F("floating_ip_address", ADDRESS_OR_NULL, NEW, filter="floating_ip_address", sort="floating_ip_address"),
        F("fixed_ip_address", ADDRESS_OR_NULL, ALL, filter="fixed_ip_address", sort="fixed_ip_address"),
        F("port_id", TEXT_OR_NULL, ALL, value=lambda row, env: _uuid(row["port_id"]), needs=("port_id",),
          filter="port_id", sort="port_id"),
        F("router_id", ID.nullable(), filter="router_id", sort="router_id"),
        F("subnet_id", TEXT_OR_NULL, (CREATE,)),
        F("port_details", t.mapping, source="port_row"),
        F("port_forwardings", OBJECTS, value=_constant([])),
    ),
    default_sort=("created_at", "id"),
    annotations={"port_row": PORT_OF_FLOATING},
    noun="Floating IP",
)  # fmt: skip

# --- security groups -------------------------------------------------------------------------------

SECURITY_GROUP = Resource(
    "security_group",
    "security_groups",
    (
        *_head(),
        F("stateful", FLAG, ALL, filter="stateful"),
        F("is_default", FLAG, filter="is_default"),
        F("shared", FLAG, value=_constant(False)),
        F("security_group_rules", OBJECTS, source="rule_rows"),
    ),
    default_sort=("created_at", "id"),
    annotations={"rule_rows": RULES_OF_GROUP},
)


def _normalized(row: Row, env: Env) -> str | None:
    prefix = row["remote_ip_prefix"]
    return str(ipaddress.ip_network(prefix, strict=False)) if prefix else None


PROTOCOL = t.Type({"anyOf": [{"type": "string", "maxLength": 40}, {"type": "integer"}, {"type": "null"}]})

SECURITY_GROUP_RULE = Resource(
    "security_group_rule",
    "security_group_rules",
    (
        *(f for f in _head(named=False, tagged=False) if f.name != "description"),
        F("description", NAME, NEW, filter="description"),
        F("security_group_id", t.Type({"type": "string"}, _uuid, t.uuid.parse), NEW, filter="security_group_id",
          sort="security_group_id", required=True),
        F("direction", t.text(16), NEW, filter="direction", sort="direction", required=True),
        F("ethertype", TEXT_OR_NULL, NEW, filter="ethertype", sort="ethertype"),
        F("protocol", PROTOCOL, NEW, filter="protocol", sort="protocol"),
        F("port_range_min", INTEGER_OR_NULL, NEW, filter="port_range_min", sort="port_range_min"),
        F("port_range_max", INTEGER_OR_NULL, NEW, filter="port_range_max", sort="port_range_max"),
        F("remote_ip_prefix", TEXT_OR_NULL, NEW, filter="remote_ip_prefix", sort="remote_ip_prefix"),
        F("normalized_cidr", TEXT_OR_NULL, value=_normalized, needs=("remote_ip_prefix",)),
        F("remote_group_id", t.Type({"type": ["string", "null"]}, _uuid, t.uuid.parse), NEW, filter="remote_group_id",
          sort="remote_group_id"),
        F("remote_address_group_id", t.null, NEW, value=_constant(None)),
    ),
    default_sort=("created_at", "id"),
)  # fmt: skip

RESOURCES = (NETWORK, SUBNET, SUBNETPOOL, PORT, ROUTER, FLOATINGIP, SECURITY_GROUP, SECURITY_GROUP_RULE)


def whole_number(text: str, field: str) -> int:
    """A number out of a header or path. Raises Invalid."""
    try:
        return int(text)
    except ValueError as error:
        raise Invalid(f"{field} must be a whole number, not {text!r}", field=field) from error
