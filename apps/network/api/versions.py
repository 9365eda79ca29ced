"""Discovery: versions, the resources there are, and which of Neutron's extensions they make true."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiView
from apps.core.errors import NotFound
from apps.network.api.base import NETWORK_API

_UPDATED = "2015-01-01T00:00:00-00:00"

# alias → name. Only what the API really does stands here.
EXTENSIONS = {
    "agent": "agent",
    "allowed-address-pairs": "Allowed Address Pairs",
    "availability_zone": "Availability Zone",
    "binding": "Port Binding",
    "default-subnetpools": "Default Subnetpools",
    "ext-gw-mode": "Neutron L3 Configurable external gateway mode",
    "external-net": "Neutron external network",
    "extra_dhcp_opt": "Neutron Extra DHCP options",
    "extraroute": "Neutron Extra Route",
    "extraroute-atomic": "Atomically add/remove extra routes",
    "filter-validation": "Filter parameters validation",
    "fip-port-details": "Floating IP Port Details Extension",
    "ip-substring-filtering": "IP address substring filtering",
    "net-mtu": "Network MTU",
    "net-mtu-writable": "Network MTU (writable)",
    "network_availability_zone": "Network Availability Zone",
    "pagination": "Pagination support",
    "port-security": "Port Security",
    "port-security-groups-filtering": "Port filtering on security groups",
    "project-id": "project_id field enabled",
    "provider": "Provider Network",
    "quota_details": "Quota details management support",
    "quotas": "Quota management support",
    "revision-if-match": "If-Match constraints based on revision_number",
    "router": "Neutron L3 Router",
    "router_availability_zone": "Router Availability Zone",
    "security-group": "security-group",
    "security-groups-normalized-cidr": "Normalized CIDR field for security group rules",
    "service-type": "Neutron Service Type Management",
    "sorting": "Sorting support",
    "standard-attr-description": "standard-attr-description",
    "standard-attr-revisions": "Resource revision numbers",
    "standard-attr-tag": "Tag support for resources with standard attribute",
    "standard-attr-timestamp": "Resource timestamps",
    "stateful-security-group": "Stateful security group",
    "subnet-service-types": "Subnet service types",
    "subnet_allocation": "Subnet Allocation",
    "tag": "Tag support",
    "tag-ext": "Tag support for resources: subnet, subnetpool, port, router",
    "tag-ports-during-bulk-creation": "Tag Ports During Bulk Creation",
}

COLLECTIONS = (
    ("network", "networks"),
    ("subnet", "subnets"),
    ("subnetpool", "subnetpools"),
    ("port", "ports"),
    ("router", "routers"),
    ("floatingip", "floatingips"),
    ("security_group", "security-groups"),
    ("security_group_rule", "security-group-rules"),
    ("quota", "quotas"),
    ("agent", "agents"),
    ("availability_zone", "availability_zones"),
    ("service_provider", "service-providers"),
)


def extension(alias: str) -> dict[str, object]:
    """One extension as the API describes it."""
    name = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": name, "updated": _UPDATED, "links": []}


class Versions(ApiView):
    """`GET /networking`: the versions there are."""

    api = NETWORK_API
    public = True

    def get(self, request: Request) -> Response:
        href = f"{self.base}/networking/v2.0/"
        return Response({"versions": [{"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": href}]}]})


class Root(ApiView):
    """`GET /networking/v2.0/`: the collections there are."""

    api = NETWORK_API
    public = True

    def get(self, request: Request) -> Response:
        return Response(
            {
                "resources": [
                    {
                        "name": name,
                        "collection": collection.replace("-", "_"),
                        "links": [{"rel": "self", "href": f"{self.base}/networking/v2.0/{collection}"}],
                    }
                    for name, collection in COLLECTIONS
                ]
            }
        )


class Extensions(ApiView):
    """`GET /extensions`"""

    api = NETWORK_API

    def get(self, request: Request) -> Response:
        return Response({"extensions": [extension(alias) for alias in sorted(EXTENSIONS)]})


class Extension(ApiView):
    """`GET /extensions/{alias}`"""

    api = NETWORK_API

    def get(self, request: Request, alias: str) -> Response:
        if alias not in EXTENSIONS:
            raise NotFound("Extension", alias, code="ExtensionNotFound")
        return Response({"extension": extension(alias)})
