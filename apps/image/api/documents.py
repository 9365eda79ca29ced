"""Version documents, JSON schemas and what the service offers: what clients read before they do anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.resource import CREATE, UPDATE
from apps.core.api.views import ApiView
from apps.core.errors import NotFound
from apps.image import backends, selectors
from apps.image.api import metadefs
from apps.image.api.base import IMAGE_API
from apps.image.resources import IMAGE, MEMBER
from apps.image.states import IMPORT_METHODS

# Cumulative, without negotiation. The numbers above 2.9 stand for several stores, caches and locations.
VERSIONS = ("v2.9", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")


class Versions(ApiView):
    """`GET /image` with 300, `GET /image/versions` with 200."""

    api = IMAGE_API
    public = True
    status = 300

    def get(self, request: Request) -> Response:
        versions = [
            {
                "id": version,
                "status": "CURRENT" if index == 0 else "SUPPORTED",
                "links": [{"rel": "self", "href": f"{self.base}/image/v2/"}],
            }
            for index, version in enumerate(VERSIONS)
        ]
        return Response({"versions": versions}, status=self.status)


_DESCRIPTIONS: Mapping[str, str] = {
    "id": "An identifier for the image",
    "name": "Descriptive name for the image",
    "status": "Status of the image",
    "visibility": "Scope of image accessibility",
    "protected": "If true, image will not be deletable.",
    "os_hidden": "If true, image will not appear in default image list response.",
    "checksum": "md5 hash of image contents.",
    "os_hash_algo": "Algorithm to calculate the os_hash_value",
    "os_hash_value": "Hexdigest of the image contents using the algorithm specified by the os_hash_algo",
    "owner": "Owner of the image",
    "size": "Size of image file in bytes",
    "virtual_size": "Virtual size of image in bytes",
    "container_format": "Format of the container",
    "disk_format": "Format of the disk",
    "min_ram": "Amount of ram (in MB) required to boot image.",
    "min_disk": "Amount of disk space (in GB) required to boot image.",
    "tags": "List of strings related to the image",
    "created_at": "Date and time of image registration",
    "updated_at": "Date and time of the last image modification",
}


def _image_schema() -> dict[str, Any]:
    """What an image may hold, from the resource's own table."""
    properties: dict[str, Any] = {}
    for field in IMAGE.fields:
        if field.name == "properties":
            continue
        schema = dict(field.type.schema)
        if text := _DESCRIPTIONS.get(field.name):
            schema["description"] = text
        if not {CREATE, UPDATE} & set(field.on):
            schema["readOnly"] = True
        properties[field.name] = schema
    return {
        "name": "image",
        "properties": properties,
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def _member_schema() -> dict[str, Any]:
    shown = {f.name: dict(f.type.schema) for f in MEMBER.fields if UPDATE not in f.on and CREATE not in f.on}
    return {"name": "member", "properties": shown}


def _plain(name: str, properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "properties": dict(properties), **more}


def _collection(name: str, member: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "properties": {name: {"type": "array", "items": dict(member)}, "schema": {"type": "string"}, **more},
        "links": [{"rel": "describedby", "href": "{schema}"}],
    }


_PAGES = {"first": {"type": "string"}, "next": {"type": "string"}}
_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_TIME = {"type": "string", "format": "date-time", "readOnly": True}
_TASK = _plain(
    "task",
    {
        "id": _TEXT,
        "type": {"type": "string", "enum": ["import", "api_image_import"]},
        "status": {"type": "string", "enum": ["pending", "processing", "success", "failure"]},
        "input": {"type": ["null", "object"]},
        "result": {"type": ["null", "object"]},
        "owner": _TEXT,
        "message": _TEXT,
        "created_at": _TIME,
        "updated_at": _TIME,
        "self": _TEXT,
        "schema": _TEXT,
    },
)
SCHEMAS: Mapping[str, Any] = {
    "image": _image_schema(),
    "images": _collection("images", _image_schema(), **_PAGES),
    "member": _member_schema(),
    "members": _collection("members", _member_schema()),
    "task": _TASK,
    "tasks": _collection("tasks", _TASK, **_PAGES),
    **metadefs.documents(),
}


class Schema(ApiView):
    """`GET /v2/schemas/{name}`."""

    api = IMAGE_API

    def get(self, request: Request, name: str) -> Response:
        if name not in SCHEMAS:
            raise NotFound("schema", name)
        return Response(SCHEMAS[name])


class ImportInfo(ApiView):
    """`GET /v2/info/import`."""

    api = IMAGE_API

    def get(self, request: Request) -> Response:
        methods = {"description": "Import methods available.", "type": "array", "value": list(IMPORT_METHODS)}
        return Response({"import-methods": methods})


class StoresInfo(ApiView):
    """`GET /v2/info/stores`."""

    api = IMAGE_API

    def get(self, request: Request) -> Response:
        stores: list[dict[str, Any]] = [{"id": key} for key in backends.store_keys()]
        stores[0]["default"] = "true"
        return Response({"stores": stores})


class UsageInfo(ApiView):
    """`GET /v2/info/usage`."""

    api = IMAGE_API

    def get(self, request: Request) -> Response:
        return Response({"usage": selectors.usage(self.ctx)})
