"""Floating IPs, their pools, and leading them to servers."""

from __future__ import annotations

import ipaddress
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute.api.older.base import OlderView
from apps.compute.selectors._common import as_uuid, key
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound
from apps.network import services as network
from apps.network.models import FloatingIp, Network, Port


def _floating(row: FloatingIp) -> dict[str, Any]:
    port = row.port
    return {
        "id": str(row.pk),
        "ip": str(row.floating_ip_address),
        "pool": row.floating_network.name,
        "fixed_ip": str(row.fixed_ip_address) if row.fixed_ip_address else None,
        "instance_id": (port.device_id or None) if port is not None else None,
    }


def _floatings(ctx: RequestContext) -> Any:
    rows = FloatingIp.objects.filter(project_id=ctx.project_id)
    return rows.select_related("port", "floating_network").order_by("created_at", "pk")


class FloatingIps(OlderView):
    """`/os-floating-ips`."""

    rules = {"GET": "os-floating-ips:list", "POST": "os-floating-ips:create"}

    BODY: ClassVar = {"type": ["object", "null"], "properties": {"pool": {"type": ["string", "null"]}}}

    def get(self, request: Request) -> Response:
        return Response({"floating_ips": [_floating(row) for row in _floatings(self.ctx)]})

    def post(self, request: Request) -> Response:
        pool = (self.body(self.BODY) or {}).get("pool")
        rows = Network.objects.visible(self.ctx).filter(external=True).order_by("created_at")
        if pool:
            rows = rows.filter(pk=key(pool)) if as_uuid(pool) else rows.filter(name=pool)
        outside = rows.first()
        if outside is None:
            raise NotFound("Floating IP pool", pool or "")
        made = network.floatingip_create(self.ctx, floating_network_id=str(outside.pk))
        return Response({"floating_ip": _floating(_floatings(self.ctx).get(pk=made.pk))})


class FloatingIpView(OlderView):
    """`/os-floating-ips/{id}`."""

    rules = {"GET": "os-floating-ips:show", "DELETE": "os-floating-ips:delete"}

    def get(self, request: Request, ident: str) -> Response:
        found = _floatings(self.ctx).filter(pk=key(ident)).first()
        if found is None:
            raise NotFound("Floating IP", ident)
        return Response({"floating_ip": _floating(found)})

    def delete(self, request: Request, ident: str) -> Response:
        network.floatingip_delete(self.ctx, floatingip_id=ident)
        return Response(status=202)


class FloatingIpPools(OlderView):
    """`GET /os-floating-ip-pools`."""

    rules = {"GET": "os-floating-ip-pools"}

    def get(self, request: Request) -> Response:
        rows = Network.objects.visible(self.ctx).filter(external=True).order_by("created_at")
        return Response({"floating_ip_pools": [{"name": row.name} for row in rows]})


def floating_ip_add(ctx: RequestContext, *, server_id: str, address: str, fixed_address: str | None = None) -> None:
    """`addFloatingIp`: lead a floating IP of the project to a server. Raises NotFound, Invalid."""
    port = Port.objects.filter(server_id=as_uuid(server_id))
    if fixed_address:
        port = port.filter(fixed_ips__address=_address(fixed_address))
    target = port.order_by("nic_index", "created_at").first()
    if target is None:
        raise Invalid(f"No fixed IPs associated to instance {server_id}")
    row = _by_address(ctx, address)
    network.floatingip_update(ctx, floatingip_id=str(row.pk), port_id=str(target.pk), fixed_ip_address=fixed_address)


def floating_ip_remove(ctx: RequestContext, *, server_id: str, address: str) -> None:
    """`removeFloatingIp`. Raises NotFound, and Conflict where it leads elsewhere."""
    row = _by_address(ctx, address)
    if row.port is None or row.port.server_id != as_uuid(server_id):
        raise Conflict(f"Floating IP {address} is not associated with instance {server_id}.")
    network.floatingip_update(ctx, floatingip_id=str(row.pk), port_id=None)


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise Invalid(f"{text!r} is no address.", field="address") from error


def _by_address(ctx: RequestContext, address: str) -> FloatingIp:
    found: FloatingIp | None = _floatings(ctx).filter(floating_ip_address=_address(address)).first()
    if found is None:
        raise NotFound("Floating IP", address)
    return found
