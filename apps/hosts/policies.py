"""Rules of hosts. The ones of `placement` carry OpenStack's names; the others are Kumo's own."""

from __future__ import annotations

from apps.core.policy import Rule

RULES = (
    Rule("hosts:list", "rule:admin", "See hosts, what they have and what is claimed of it."),
    Rule("hosts:manage", "rule:admin", "Enrol, enable, disable, drain and remove hosts."),
    Rule("hosts:zones", "rule:anyone", "See the names of availability zones.", ("GET /os-availability-zone",)),
    Rule(
        "placement:resource_providers:list",
        "rule:admin",
        "See hosts as resource providers.",
        ("GET /resource_providers",),
    ),
    Rule(
        "placement:resource_providers:show",
        "rule:admin",
        "See one host as a resource provider, with its inventories and usages.",
        ("GET /resource_providers/{uuid}", "GET /resource_providers/{uuid}/inventories"),
    ),
    Rule("placement:resource_classes:list", "rule:admin", "See the kinds of resources.", ("GET /resource_classes",)),
    Rule("placement:traits:list", "rule:admin", "See traits of hosts.", ("GET /traits",)),
    Rule("placement:allocations:list", "rule:admin", "See what a consumer claimed.", ("GET /allocations/{uuid}",)),
    Rule("placement:usages", "rule:project_reader_or_admin", "See what a project claimed.", ("GET /usages",)),
    Rule(
        "placement:allocation_candidates:list",
        "rule:admin",
        "Ask which hosts would fit.",
        ("GET /allocation_candidates",),
    ),
)
