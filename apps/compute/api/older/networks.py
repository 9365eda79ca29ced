"""Networks in the words of nova-network."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute.api.older.base import OlderView
from apps.compute.selectors._common import key
from apps.core import policy
from apps.core.errors import NotFound
from apps.network.models import Network


def _network(row: Network) -> dict[str, Any]:
    return {"id": str(row.pk), "label": row.name, "cidr": None}


class TenantNetworks(OlderView):
    """`GET /os-tenant-networks` and `/os-networks`: networks in the words of nova-network."""

    family = "os-tenant-networks"

    def get(self, request: Request, ident: str = "") -> Response:
        policy.enforce(self.ctx, f"os_compute_api:{self.family}:{'show' if ident else 'list'}")
        rows = Network.objects.visible(self.ctx).order_by("created_at", "pk")
        if not ident:
            return Response({"networks": [_network(row) for row in rows]})
        found = rows.filter(pk=key(ident)).first()
        if found is None:
            raise NotFound("Network", ident)
        return Response({"network": _network(found)})
