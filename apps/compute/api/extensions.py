"""What was optional before version 2.1."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import selectors
from apps.compute.api.base import ComputeView
from apps.core.errors import NotFound

EXTENSIONS = (
    "NMN", "OS-DCF", "OS-EXT-AZ", "OS-EXT-IMG-SIZE", "OS-EXT-IPS", "OS-EXT-IPS-MAC", "OS-EXT-SRV-ATTR", "OS-EXT-STS",
    "OS-FLV-DISABLED", "OS-FLV-EXT-DATA", "OS-SCH-HNT", "OS-SRV-USG", "os-access-ips", "os-admin-actions",
    "os-aggregates", "os-attach-interfaces", "os-availability-zone", "os-config-drive", "os-console-output",
    "os-consoles", "os-create-server-ext", "os-deferred-delete", "os-extended-availability-zone",
    "os-extended-server-attributes", "os-extended-status", "os-flavor-access", "os-flavor-extra-specs",
    "os-flavor-manage", "os-flavor-rxtx", "os-flavor-swap", "os-hosts", "os-hypervisors", "os-instance-actions",
    "os-keypairs", "os-lock-server", "os-multiple-create", "os-pause-server", "os-personality", "os-quota-class-sets",
    "os-quota-sets", "os-remote-consoles", "os-security-groups", "os-server-groups", "os-server-usage",
    "os-services", "os-simple-tenant-usage", "os-suspend-server", "os-used-limits", "os-user-data", "server-metadata",
)  # fmt: skip


def _extension(alias: str) -> dict[str, Any]:
    return {
        "alias": alias,
        "name": alias.removeprefix("os-").replace("-", " ").title().replace(" ", ""),
        "description": f"{alias}, part of the API since 2.1.",
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "links": [],
        "updated": "2014-12-03T00:00:00Z",
    }


class Extensions(ComputeView):
    """`GET /extensions` and `/extensions/{alias}`: what was optional before 2.1."""

    def get(self, request: Request, alias: str = "") -> Response:
        selectors.extensions_check(self.ctx)
        if not alias:
            return Response({"extensions": [_extension(one) for one in EXTENSIONS]})
        if alias not in EXTENSIONS:
            raise NotFound("Extension", alias)
        return Response({"extension": _extension(alias)})
