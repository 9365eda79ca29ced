"""Rules of hosts. The ones of `placement` carry OpenStack's names; the others are Kumo's own."""

from __future__ import annotations

from apps.core.policy import Rule, scoped

SERVICE = "rule:service_or_admin"

_OWN = (
    Rule("hosts:list", "rule:admin", "See hosts, what they have and what is claimed of it."),
    Rule("hosts:manage", "rule:admin", "Enrol, enable, disable, drain and remove hosts."),
    Rule("hosts:zones", "rule:anyone", "See the names of availability zones.", ("GET /os-availability-zone",)),
)
_PLACEMENT = (
    Rule(
        "placement:resource_providers:list",
        SERVICE,
        "See hosts as resource providers.",
        ("GET /resource_providers",),
    ),
    Rule(
        "placement:resource_providers:show",
        SERVICE,
        "See one host as a resource provider, with its inventories and usages.",
        ("GET /resource_providers/{uuid}", "GET /resource_providers/{uuid}/inventories"),
    ),
    Rule(
        "placement:resource_providers:allocations:list",
        SERVICE,
        "See what is claimed of a host.",
        ("GET /resource_providers/{uuid}/allocations",),
    ),
    Rule("placement:resource_classes:list", SERVICE, "See the kinds of resources.", ("GET /resource_classes",)),
    Rule("placement:traits:list", SERVICE, "See traits of hosts.", ("GET /traits",)),
    Rule("placement:allocations:list", SERVICE, "See what a consumer claimed.", ("GET /allocations/{uuid}",)),
    Rule(
        "placement:usages",
        f"rule:project_reader_or_admin or {SERVICE}",
        "See what a project claimed.",
        ("GET /usages",),
    ),
    Rule(
        "placement:allocation_candidates:list",
        SERVICE,
        "Ask which hosts would fit.",
        ("GET /allocation_candidates",),
    ),
)

RULES = (*scoped(("project", "system"), _OWN), *scoped(("project",), _PLACEMENT))
