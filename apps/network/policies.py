"""Rules of the network service, with Neutron's names.

A rule with a colon guards one attribute. What a caller may see at all is the selectors' business; these rules say what
they may do.
"""

from __future__ import annotations

from apps.core.policy import Rule

READ = "rule:project_reader_or_admin"
WRITE = "rule:project_member_or_admin"
ADMIN = "rule:admin"
NETWORK_OWNER = "rule:admin or (role:member and project_id:%(network_project_id)s)"
# Not what one owns oneself but the network below it: ports that others put on my network.
PORT_READ = "rule:project_reader_or_admin or (role:reader and project_id:%(network_project_id)s)"
PORT_WRITE = "rule:project_member_or_admin or (role:member and project_id:%(network_project_id)s)"

_NOUNS = (
    ("network", "networks"),
    ("subnet", "subnets"),
    ("subnetpool", "subnetpools"),
    ("port", "ports"),
    ("router", "routers"),
    ("floatingip", "floatingips"),
    ("security_group", "security-groups"),
    ("security_group_rule", "security-group-rules"),
)


def _crud(noun: str, path: str) -> tuple[Rule, ...]:
    member = f"/{path}/{{id}}"
    changes = {
        "port": (PORT_WRITE, PORT_WRITE),
        "subnet": (PORT_WRITE, PORT_WRITE),
    }.get(noun, (WRITE, WRITE))
    return (
        Rule(f"create_{noun}", WRITE, f"Create a {noun}.", (f"POST /{path}",)),
        Rule(f"get_{noun}", PORT_READ if noun == "port" else READ, f"See a {noun}.", (f"GET /{path}", f"GET {member}")),
        Rule(f"update_{noun}", changes[0], f"Change a {noun}.", (f"PUT {member}",)),
        Rule(f"delete_{noun}", changes[1], f"Delete a {noun}.", (f"DELETE {member}",)),
    )


def _attribute(
    noun: str, attribute: str, check: str = ADMIN, verbs: tuple[str, ...] = ("create", "update")
) -> tuple[Rule, ...]:
    return tuple(Rule(f"{verb}_{noun}:{attribute}", check, f"Set {attribute} of a {noun}.") for verb in verbs)


RULES: tuple[Rule, ...] = (
    *(rule for noun, path in _NOUNS for rule in _crud(noun, path) if rule.name != "update_security_group_rule"),
    *_attribute("network", "shared"),
    *_attribute("network", "router:external"),
    *_attribute("network", "is_default"),
    *_attribute("network", "port_security_enabled", WRITE),
    *_attribute("network", "mtu", WRITE),
    *(
        r
        for a in ("network_type", "physical_network", "segmentation_id")
        for r in _attribute("network", f"provider:{a}")
    ),
    *(
        Rule(f"get_network:provider:{a}", ADMIN, f"See provider:{a} of a network.")
        for a in ("network_type", "physical_network", "segmentation_id")
    ),
    *_attribute("subnet", "service_types", WRITE),
    *_attribute("subnetpool", "shared"),
    *_attribute("subnetpool", "is_default"),
    *_attribute("port", "device_owner", NETWORK_OWNER),
    *_attribute("port", "mac_address", NETWORK_OWNER, ("update",)),
    Rule("create_port:mac_address", "rule:anyone", "Choose a port's MAC address.", ("POST /ports",)),
    Rule("create_port:fixed_ips", NETWORK_OWNER, "Choose a port's addresses.", ("POST /ports",)),
    Rule("update_port:fixed_ips", NETWORK_OWNER, "Choose a port's addresses.", ("PUT /ports/{id}",)),
    Rule(
        "create_port:fixed_ips:subnet_id",
        f"{NETWORK_OWNER} or True:%(network_shared)s",
        "Choose the subnet of a port's addresses.",
        ("POST /ports",),
    ),
    *_attribute("port", "port_security_enabled", NETWORK_OWNER),
    *_attribute("port", "allowed_address_pairs", NETWORK_OWNER),
    *(r for a in ("host_id", "profile") for r in _attribute("port", f"binding:{a}")),
    *_attribute("port", "binding:vnic_type", WRITE),
    *(
        Rule(f"get_port:binding:{a}", ADMIN, f"See binding:{a} of a port.")
        for a in ("vif_type", "vif_details", "host_id", "profile")
    ),
    *_attribute("router", "distributed"),
    *_attribute("router", "ha"),
    *_attribute("router", "external_gateway_info:enable_snat"),
    *_attribute("router", "external_gateway_info:external_fixed_ips"),
    Rule("get_router:distributed", ADMIN, "See whether a router is distributed."),
    Rule("get_router:ha", ADMIN, "See whether a router is highly available."),
    Rule("add_router_interface", WRITE, "Join a network to a router.", ("PUT /routers/{id}/add_router_interface",)),
    Rule(
        "remove_router_interface",
        WRITE,
        "Part a network from a router.",
        ("PUT /routers/{id}/remove_router_interface",),
    ),
    Rule("add_extraroutes", WRITE, "Add routes to a router.", ("PUT /routers/{id}/add_extraroutes",)),
    Rule("remove_extraroutes", WRITE, "Take routes off a router.", ("PUT /routers/{id}/remove_extraroutes",)),
    Rule(
        "create_floatingip:floating_ip_address", ADMIN, "Choose the address of a floating IP.", ("POST /floatingips",)
    ),
    Rule("get_tags", READ, "See the tags of a resource.", ("GET /{resources}/{id}/tags",)),
    Rule("update_tags", WRITE, "Change the tags of a resource.", ("PUT /{resources}/{id}/tags",)),
    Rule("get_quota", "rule:project_reader_or_admin", "See a project's limits.", ("GET /quotas/{project_id}",)),
    Rule("list_quotas", ADMIN, "See the limits that differ from the defaults.", ("GET /quotas",)),
    Rule("update_quota", ADMIN, "Set a project's limits.", ("PUT /quotas/{project_id}",)),
    Rule("delete_quota", ADMIN, "Let a project have the defaults again.", ("DELETE /quotas/{project_id}",)),
    Rule("get_agent", ADMIN, "See the hosts as network agents.", ("GET /agents", "GET /agents/{id}")),
    Rule("get_availability_zone", "rule:anyone", "See availability zones.", ("GET /availability_zones",)),
)
