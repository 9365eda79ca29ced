"""Images and their metadata."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute.api.older.base import OlderView
from apps.compute.resources.servers import METADATA
from apps.core.api import types as t
from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound
from apps.image import selectors as images
from apps.image import services as image_services
from apps.image.models import Image

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

    until = (2, 38)
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

    until = (2, 38)
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
