"""Rules of the network service, with Neutron's names.

A rule with a colon guards one attribute. What a caller may see at all is the selectors' business; these rules say what
they may do.
"""

from __future__ import annotations

from apps.core.policy import Rule, scoped

READ = "rule:project_reader_or_admin"
WRITE = "rule:project_member_or_admin"
MANAGER = "rule:project_manager_or_admin"
ADMIN = "rule:admin"
SERVICE = "rule:service_or_admin"
_OF_NETWORK = "project_id:%(network_project_id)s"
_SHARED = "True:%(network_shared)s"
NETWORK_MEMBER = f"{SERVICE} or (role:member and {_OF_NETWORK})"
NETWORK_USER = f"{SERVICE} or (role:member and ({_OF_NETWORK} or {_SHARED}))"

# noun, path, who may create, see, change and delete it
_NOUNS = (
    ("network", "networks", WRITE, f"{READ} or {SERVICE} or {_SHARED}", WRITE, WRITE),
    (
        "subnet",
        "subnets",
        f"{ADMIN} or (role:member and {_OF_NETWORK})",
        f"{READ} or {SERVICE} or (role:reader and {_OF_NETWORK}) or {_SHARED}",
        f"{WRITE} or (role:member and {_OF_NETWORK})",
        f"{WRITE} or (role:member and {_OF_NETWORK})",
    ),
    ("subnetpool", "subnetpools", WRITE, f"{READ} or {_SHARED}", WRITE, WRITE),
    (
        "port",
        "ports",
        NETWORK_USER,
        f"{READ} or {SERVICE} or (role:reader and {_OF_NETWORK})",
        f"{WRITE} or {SERVICE}",
        f"{WRITE} or {NETWORK_MEMBER}",
    ),
    ("router", "routers", WRITE, READ, WRITE, WRITE),
    ("floatingip", "floatingips", WRITE, READ, WRITE, WRITE),
    ("security_group", "security-groups", WRITE, READ, WRITE, WRITE),
    ("security_group_rule", "security-group-rules", WRITE, READ, WRITE, WRITE),
)
# noun, path, who may see, set and remove its tags
_TAGGED = (
    ("network", "networks", f"{READ} or {_SHARED}", WRITE, WRITE),
    (
        "subnet",
        "subnets",
        f"{READ} or (role:reader and {_OF_NETWORK}) or {_SHARED}",
        f"{WRITE} or (role:member and {_OF_NETWORK})",
        f"{WRITE} or (role:member and {_OF_NETWORK})",
    ),
    ("subnetpool", "subnetpools", f"{READ} or {_SHARED}", WRITE, WRITE),
    (
        "port",
        "ports",
        f"{READ} or (role:reader and {_OF_NETWORK})",
        WRITE,
        f"{WRITE} or (role:member and {_OF_NETWORK})",
    ),
    ("router", "routers", READ, WRITE, WRITE),
    ("floatingip", "floatingips", READ, WRITE, WRITE),
    ("security_group", "security-groups", READ, WRITE, WRITE),
)


def _crud(noun: str, path: str, create: str, get: str, update: str, delete: str) -> tuple[Rule, ...]:
    member = f"/{path}/{{id}}"
    return (
        Rule(f"create_{noun}", create, f"Create a {noun}.", (f"POST /{path}",)),
        Rule(f"get_{noun}", get, f"See a {noun}.", (f"GET /{path}", f"GET {member}")),
        Rule(f"update_{noun}", update, f"Change a {noun}.", (f"PUT {member}",)),
        Rule(f"delete_{noun}", delete, f"Delete a {noun}.", (f"DELETE {member}",)),
    )


def _tags(noun: str, path: str, get: str, update: str, delete: str) -> tuple[Rule, ...]:
    tags = f"/{path}/{{id}}/tags"
    return (
        Rule(f"get_{noun}:tags", get, f"See the tags of a {noun}.", (f"GET {tags}", f"GET {tags}/{{tag}}")),
        Rule(f"update_{noun}:tags", update, f"Tag a {noun}.", (f"PUT {tags}", f"PUT {tags}/{{tag}}")),
        Rule(f"delete_{noun}:tags", delete, f"Untag a {noun}.", (f"DELETE {tags}", f"DELETE {tags}/{{tag}}")),
    )


def _attribute(
    noun: str, attribute: str, check: str = ADMIN, verbs: tuple[str, ...] = ("create", "update")
) -> tuple[Rule, ...]:
    return tuple(Rule(f"{verb}_{noun}:{attribute}", check, f"Set {attribute} of a {noun}.") for verb in verbs)


_RULES: tuple[Rule, ...] = (
    *(rule for noun in _NOUNS for rule in _crud(*noun) if rule.name != "update_security_group_rule"),
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
    *_attribute("subnet", "service_types"),
    *_attribute("subnetpool", "shared"),
    *_attribute("subnetpool", "is_default"),
    *_attribute("port", "device_owner", NETWORK_MEMBER),
    *_attribute("port", "mac_address", NETWORK_MEMBER, ("create",)),
    *_attribute("port", "mac_address", f"{SERVICE} or (role:manager and {_OF_NETWORK})", ("update",)),
    *_attribute("port", "fixed_ips", NETWORK_USER, ("create",)),
    *_attribute("port", "fixed_ips", NETWORK_MEMBER, ("update",)),
    *_attribute("port", "fixed_ips:ip_address", NETWORK_MEMBER),
    *_attribute("port", "fixed_ips:subnet_id", NETWORK_USER),
    *_attribute("port", "port_security_enabled", NETWORK_MEMBER),
    *_attribute("port", "allowed_address_pairs", NETWORK_MEMBER),
    *(r for a in ("host_id", "profile") for r in _attribute("port", f"binding:{a}", SERVICE)),
    *_attribute("port", "binding:vnic_type", f"{WRITE} or {SERVICE}"),
    *(
        Rule(f"get_port:binding:{a}", SERVICE, f"See binding:{a} of a port.")
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
        "create_floatingip:floating_ip_address",
        MANAGER,
        "Choose the address of a floating IP.",
        ("POST /floatingips",),
    ),
    *(rule for noun in _TAGGED for rule in _tags(*noun)),
    Rule("get_quota", MANAGER, "See a project's limits.", ("GET /quotas/{project_id}",)),
    Rule("list_quotas", ADMIN, "See the limits that differ from the defaults.", ("GET /quotas",)),
    Rule("update_quota", ADMIN, "Set a project's limits.", ("PUT /quotas/{project_id}",)),
    Rule("delete_quota", ADMIN, "Let a project have the defaults again.", ("DELETE /quotas/{project_id}",)),
    Rule("get_agent", ADMIN, "See the hosts as network agents.", ("GET /agents", "GET /agents/{id}")),
    Rule("get_service_provider", "role:reader", "See who provides routers.", ("GET /service-providers",)),
    Rule("get_availability_zone", "role:reader", "See availability zones.", ("GET /availability_zones",)),
)

RULES = scoped(("project",), _RULES)
