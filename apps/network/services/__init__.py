"""Writes of the network service, one module per noun."""

from apps.network.services.common import CHANNEL, QUOTA_DEFAULTS, create_many, mark, missing
from apps.network.services.floating import floatingip_create, floatingip_delete, floatingip_update
from apps.network.services.groups import (
    default_group,
    protocol_number,
    security_group_create,
    security_group_delete,
    security_group_rule_create,
    security_group_rule_delete,
    security_group_update,
)
from apps.network.services.networks import network_create, network_delete, network_update
from apps.network.services.pools import subnetpool_create, subnetpool_delete, subnetpool_update
from apps.network.services.ports import port_create, port_delete, port_update
from apps.network.services.quotas import (
    quota_defaults,
    quota_details,
    quota_get,
    quota_list,
    quota_reset,
    quota_update,
)
from apps.network.services.routers import (
    router_add_interface,
    router_add_routes,
    router_create,
    router_delete,
    router_remove_interface,
    router_remove_routes,
    router_update,
)
from apps.network.services.servers import (
    projected,
    server_group_change,
    server_nics,
    server_port_release,
    server_ports_bind,
    server_ports_create,
    server_ports_release,
    server_ports_unbind,
)
from apps.network.services.subnets import subnet_create, subnet_delete, subnet_update
from apps.network.services.tags import tag_add, tag_list, tag_remove, tags_clear, tags_set

__all__ = [
    "CHANNEL", "QUOTA_DEFAULTS", "create_many", "default_group", "floatingip_create", "floatingip_delete",
    "floatingip_update", "mark", "missing", "network_create", "network_delete", "network_update", "port_create",
    "port_delete", "port_update", "projected", "protocol_number", "quota_defaults", "quota_details",
    "quota_get", "quota_list", "quota_reset", "quota_update", "router_add_interface", "router_add_routes",
    "router_create", "router_delete", "router_remove_interface", "router_remove_routes", "router_update",
    "security_group_create", "security_group_delete", "security_group_rule_create",
    "security_group_rule_delete", "security_group_update", "server_group_change", "server_nics",
    "server_port_release", "server_ports_bind", "server_ports_create", "server_ports_release",
    "server_ports_unbind", "subnet_create", "subnet_delete", "subnet_update", "subnetpool_create",
    "subnetpool_delete", "subnetpool_update", "tag_add", "tag_list", "tag_remove",
    "tags_clear", "tags_set",
]  # fmt: skip
