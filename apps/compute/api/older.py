"""Calls of before 2.36 that pass on what the network and image services do: kept because tools still use them.

Each call goes through the other service's own selectors and services, and so under its rules.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute.api.versions import COMPUTE
from apps.compute.resources.servers import METADATA
from apps.compute.selectors._common import as_uuid, key
from apps.compute.selectors.parts import older_group, older_rule
from apps.core.api import types as t
from apps.core.api.views import ApiView
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound
from apps.image import selectors as images
from apps.image import services as image_services
from apps.image.models import Image
from apps.network import services as network
from apps.network.models import FloatingIp, Network, Port, SecurityGroup, SecurityGroupRule

TEXT = {"type": "string", "maxLength": 255}


class OlderView(ApiView):
    """A call that ends with a version; beyond it, it does not exist."""

    api = COMPUTE
    last: ClassVar[tuple[int, int]] = (2, 35)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.version > self.last:
            raise NotFound("The resource")


def _body(member: str, properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    inner = {"type": "object", "properties": dict(properties), "required": list(required)}
    return {"type": "object", "properties": {member: inner}, "required": [member]}


# --- security groups -------------------------------------------------------------------------------

GROUP_BODY = _body("security_group", {"name": {**TEXT, "minLength": 1, "pattern": r"\S"}, "description": TEXT}, "name")


def _groups(ctx: RequestContext) -> Any:
    if ctx.project_id:
        network.default_group(ctx, project_id=ctx.project_id)
    found = SecurityGroup.objects.filter(project_id=ctx.project_id)
    return found.prefetch_related("rules__remote_group").order_by("created_at", "pk")


def _group(ctx: RequestContext, ident: str) -> SecurityGroup:
    rows = SecurityGroup.objects.visible(ctx).prefetch_related("rules__remote_group")
    found: SecurityGroup | None = rows.filter(pk=key(ident)).first()
    if found is None:
        raise NotFound("Security group", ident)
    return found


class SecurityGroups(OlderView):
    """`/os-security-groups`."""

    def get(self, request: Request) -> Response:
        rows = _groups(self.ctx)
        if t.parse_flag(request.query_params.get("all_tenants") or "0") and self.ctx.is_admin:
            rows = SecurityGroup.objects.prefetch_related("rules__remote_group").order_by("created_at", "pk")
        return Response({"security_groups": [older_group(group) for group in rows]})

    def post(self, request: Request) -> Response:
        asked = self.body(GROUP_BODY)["security_group"]
        made = _as_invalid(
            network.security_group_create,
            self.ctx,
            name=asked["name"],
            description=asked.get("description") or "",
        )
        return Response({"security_group": older_group(_group(self.ctx, str(made.pk)))})


class SecurityGroupView(OlderView):
    """`/os-security-groups/{id}`."""

    def get(self, request: Request, ident: str) -> Response:
        return Response({"security_group": older_group(_group(self.ctx, ident))})

    def put(self, request: Request, ident: str) -> Response:
        asked = self.body(GROUP_BODY)["security_group"]
        values = {"name": asked["name"], "description": asked.get("description") or ""}
        _as_invalid(network.security_group_update, self.ctx, security_group_id=ident, **values)
        return Response({"security_group": older_group(_group(self.ctx, ident))})

    def delete(self, request: Request, ident: str) -> Response:
        _as_invalid(network.security_group_delete, self.ctx, security_group_id=ident)
        return Response(status=202)


RULE_BODY = _body(
    "security_group_rule",
    {
        "parent_group_id": {"type": ["string", "integer"]},
        "ip_protocol": {"type": ["string", "null"]},
        "from_port": {"type": ["integer", "string", "null"]},
        "to_port": {"type": ["integer", "string", "null"]},
        "cidr": {"type": ["string", "null"]},
        "group_id": {"type": ["string", "null"]},
    },
    "parent_group_id",
)


class SecurityGroupRules(OlderView):
    """`POST /os-security-group-rules`."""

    def post(self, request: Request) -> Response:
        asked = self.body(RULE_BODY)["security_group_rule"]
        parent = str(asked["parent_group_id"])
        protocol = (asked.get("ip_protocol") or "").lower() or None
        if protocol not in {"tcp", "udp", "icmp", None}:
            raise Invalid(f"Invalid IP protocol {asked['ip_protocol']}.", field="ip_protocol")
        first, last = _port(asked.get("from_port"), "from_port"), _port(asked.get("to_port"), "to_port")
        if protocol in {"tcp", "udp"} and (first is None or last is None or first < 1 or last < first):
            raise Invalid(f"Invalid port range {asked.get('from_port')}:{asked.get('to_port')}.", field="from_port")
        group = asked.get("group_id")
        cidr = asked.get("cidr") or (None if group else "0.0.0.0/0")
        for ident in filter(None, (parent, group)):
            if as_uuid(ident) is None:
                raise Invalid(f"Security group id {ident!r} is no UUID.", field="parent_group_id")
        _group(self.ctx, parent)
        made = _as_invalid(
            network.security_group_rule_create,
            self.ctx,
            security_group_id=parent,
            direction="ingress",
            ethertype="IPv6" if cidr and ":" in cidr else "IPv4",
            protocol=protocol,
            port_range_min=None if first == -1 else first,
            port_range_max=None if last == -1 else last,
            remote_ip_prefix=cidr,
            remote_group_id=group,
        )
        rule = SecurityGroupRule.objects.select_related("remote_group", "security_group").get(pk=made.pk)
        return Response({"security_group_rule": older_rule(rule, rule.security_group)})


def _as_invalid(call: Callable[..., Any], *args: Any, **given: Any) -> Any:
    """The older API answers 400 where the network's answers 409."""
    try:
        return call(*args, **given)
    except Conflict as error:
        raise Invalid(error.message) from error


def _port(value: int | str | None, field: str) -> int | None:
    if value is None or value == "":
        return None
    try:
        number = int(value)
    except ValueError as error:
        raise Invalid(f"Invalid port {value!r}.", field=field) from error
    if not -1 <= number <= 65_535:
        raise Invalid(f"Invalid port {value!r}.", field=field)
    return number


class SecurityGroupRuleView(OlderView):
    """`DELETE /os-security-group-rules/{id}`."""

    def delete(self, request: Request, ident: str) -> Response:
        network.security_group_rule_delete(self.ctx, security_group_rule_id=ident)
        return Response(status=202)


# --- floating IPs ----------------------------------------------------------------------------------


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


# --- networks --------------------------------------------------------------------------------------


def _network(row: Network) -> dict[str, Any]:
    return {"id": str(row.pk), "label": row.name, "cidr": None}


class TenantNetworks(OlderView):
    """`GET /os-tenant-networks` and `/os-networks`: networks in the words of nova-network."""

    def get(self, request: Request, ident: str = "") -> Response:
        rows = Network.objects.visible(self.ctx).order_by("created_at", "pk")
        if not ident:
            return Response({"networks": [_network(row) for row in rows]})
        found = rows.filter(pk=key(ident)).first()
        if found is None:
            raise NotFound("Network", ident)
        return Response({"network": _network(found)})


# --- images ----------------------------------------------------------------------------------------

IMAGE_STATUSES = {
    "queued": "SAVING", "saving": "SAVING", "importing": "SAVING", "uploading": "SAVING", "active": "ACTIVE",
    "deactivated": "ACTIVE", "killed": "ERROR", "deleted": "DELETED", "pending_delete": "DELETED",
}  # fmt: skip
PROGRESS = {"SAVING": 50, "ACTIVE": 100}


def _image_links(ident: str, base: str) -> list[dict[str, Any]]:
    return [
        {"rel": "self", "href": f"{base}/compute/v2.1/images/{ident}"},
        {"rel": "bookmark", "href": f"{base}/compute/images/{ident}"},
        {"rel": "alternate", "type": "application/vnd.openstack.image", "href": f"{base}/image/images/{ident}"},
    ]


def _seconds(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _image(row: Image, base: str) -> dict[str, Any]:
    status = IMAGE_STATUSES.get(row.status, "UNKNOWN")
    shown: dict[str, Any] = {
        "id": str(row.pk),
        "name": row.name,
        "status": status,
        "progress": PROGRESS.get(status, 0),
        "minDisk": row.min_disk_gib,
        "minRam": row.min_ram_mib,
        "metadata": row.properties,
        "created": _seconds(row.created_at),
        "updated": _seconds(row.updated_at or row.created_at),
        "OS-EXT-IMG-SIZE:size": row.size or 0,
        "links": _image_links(str(row.pk), base),
    }
    server = row.properties.get("instance_uuid")
    if server:
        shown["server"] = {
            "id": server,
            "links": [
                {"rel": "self", "href": f"{base}/compute/v2.1/servers/{server}"},
                {"rel": "bookmark", "href": f"{base}/compute/servers/{server}"},
            ],
        }
    return shown


class Images(OlderView):
    """`GET /images` and `/images/detail`."""

    detail = False

    def get(self, request: Request) -> Response:
        rows = images.image_list(self.ctx).order_by("-created_at", "-pk")
        rows = self._filtered(rows, request.query_params)
        text = request.query_params.get("limit", "")
        if text and not text.isdigit():
            raise Invalid("limit must be a whole number that is not negative", field="limit")
        marker = request.query_params.get("marker")
        found = list(rows)
        if marker:
            ids = [str(row.pk) for row in found]
            if marker not in ids:
                raise Invalid(f"marker [{marker}] not found", field="marker")
            found = found[ids.index(marker) + 1 :]
        page = found[: int(text)] if text else found
        body: dict[str, Any] = {"images": [self._member(row) for row in page]}
        if text and page and len(found) > len(page):
            link = f"{self.base}{request.path}?limit={text}&marker={page[-1].pk}"
            body["images_links"] = [{"rel": "next", "href": link}]
        return Response(body)

    def _member(self, row: Image) -> dict[str, Any]:
        if self.detail:
            return _image(row, self.base)
        return {"id": str(row.pk), "name": row.name, "links": _image_links(str(row.pk), self.base)}

    def _filtered(self, rows: Any, query: Mapping[str, str]) -> Any:
        if query.get("name"):
            rows = rows.filter(name=query["name"])
        if query.get("status"):
            rows = rows.filter(status__in=[k for k, v in IMAGE_STATUSES.items() if v == query["status"].upper()])
        if query.get("changes-since"):
            try:
                rows = rows.filter(updated_at__gte=t.parse_time(query["changes-since"]))
            except ValueError as error:
                raise Invalid("Invalid changes-since.", field="changes-since") from error
        if query.get("server"):
            rows = rows.filter(properties__instance_uuid=query["server"].rsplit("/", 1)[-1])
        if query.get("type"):
            snapshot = rows.filter(properties__image_type="snapshot")
            is_snapshot = query["type"].lower() == "snapshot"
            rows = snapshot if is_snapshot else rows.exclude(pk__in=snapshot.values("pk"))
        return rows


class ImageView(OlderView):
    """`/images/{id}`."""

    def get(self, request: Request, ident: str) -> Response:
        return Response({"image": _image(images.image_get(self.ctx, image_id=ident), self.base)})

    def delete(self, request: Request, ident: str) -> Response:
        image_services.image_delete(self.ctx, image_id=ident)
        return Response(status=204)


class ImageMetadata(OlderView):
    """`/images/{id}/metadata`, until 2.38."""

    last = (2, 38)
    BODY: ClassVar = {"type": "object", "properties": {"metadata": METADATA.schema}, "required": ["metadata"]}

    def get(self, request: Request, ident: str) -> Response:
        return Response({"metadata": images.image_get(self.ctx, image_id=ident).properties})

    def post(self, request: Request, ident: str) -> Response:
        items = self.body(self.BODY)["metadata"]
        return Response({"metadata": _set(self.ctx, ident, items, replace=False)})

    def put(self, request: Request, ident: str) -> Response:
        items = self.body(self.BODY)["metadata"]
        return Response({"metadata": _set(self.ctx, ident, items, replace=True)})


class ImageMetadataItem(OlderView):
    """`/images/{id}/metadata/{key}`, until 2.38."""

    last = (2, 38)
    BODY: ClassVar = {"type": "object", "properties": {"meta": METADATA.schema}, "required": ["meta"]}

    def get(self, request: Request, ident: str, key: str) -> Response:
        properties = images.image_get(self.ctx, image_id=ident).properties
        if key not in properties:
            raise NotFound("Image metadata item", key)
        return Response({"meta": {key: properties[key]}})

    def put(self, request: Request, ident: str, key: str) -> Response:
        meta = self.body(self.BODY)["meta"]
        if set(meta) != {key}:
            raise Invalid("The key in the body must be that of the address, and the only one.", field=key)
        _set(self.ctx, ident, meta, replace=False)
        return Response({"meta": meta})

    def delete(self, request: Request, ident: str, key: str) -> Response:
        properties = images.image_get(self.ctx, image_id=ident).properties
        if key not in properties:
            raise NotFound("Image metadata item", key)
        image_services.image_update(self.ctx, image_id=ident, changes=[image_services.Change("remove", key, None)])
        return Response(status=204)


def _set(ctx: RequestContext, ident: str, items: Mapping[str, str], *, replace: bool) -> dict[str, str]:
    change = image_services.Change
    before = images.image_get(ctx, image_id=ident).properties
    changes = [change("add", key, value) for key, value in items.items()]
    if replace:
        changes += [change("remove", key, None) for key in before if key not in items]
    return image_services.image_update(ctx, image_id=ident, changes=changes).properties
