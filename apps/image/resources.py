"""What the image API shows and takes."""

from __future__ import annotations

from typing import Any

from apps.core.api import types as t
from apps.core.api.resource import ABSENT, CREATE, EXTRA, READ, UPDATE, WRITE, Env, F, Resource, Row
from apps.image.states import CONTAINER_FORMATS, DISK_FORMATS, HASH, ImageStatus, Visibility

SCHEMA_PATH = "/v2/schemas"
TAGS = t.array(t.text(255, least=1))


def _path(suffix: str = "") -> Any:
    return lambda row, env: f"/v2/images/{row['pk']}{suffix}"


def _stores(row: Row, env: Env) -> Any:
    return row["store"] or ABSENT


def _hash_algorithm(row: Row, env: Env) -> str | None:
    return HASH if row["hash_value"] else None


def _updated(row: Row, env: Env) -> Any:
    return t.time.render(row["updated_at"] or row["created_at"])  # type: ignore[misc]


IMAGE = Resource(
    "image",
    "images",
    (
        F("id", t.uuid, on=(*READ, CREATE), sort="id", arg="image_id"),
        F("name", t.text(255, null=True), on=(*READ, *WRITE), sort="name"),
        F("status", t.enum(ImageStatus), sort="status"),
        F("visibility", t.enum(Visibility), on=(*READ, *WRITE)),
        F("protected", t.flag, on=(*READ, *WRITE)),
        F("os_hidden", t.flag, on=(*READ, *WRITE), source="is_hidden", arg="is_hidden"),
        F("owner", t.text(255, null=True), on=(*READ, *WRITE), source="project_id", arg="project_id"),
        F(
            "container_format",
            t.enum(CONTAINER_FORMATS).nullable(),
            on=(*READ, *WRITE),
            sort="container_format",
        ),
        F("disk_format", t.enum(DISK_FORMATS).nullable(), on=(*READ, *WRITE), sort="disk_format"),
        F("min_disk", t.integer(0, 2**31 - 1), on=(*READ, *WRITE), source="min_disk_gib", arg="min_disk_gib"),
        F("min_ram", t.integer(0, 2**31 - 1), on=(*READ, *WRITE), source="min_ram_mib", arg="min_ram_mib"),
        F("size", t.integer(null=True), sort="size"),
        F("virtual_size", t.integer(null=True)),
        F("checksum", t.text(32, null=True)),
        F("os_hash_algo", t.text(64, null=True), value=_hash_algorithm, needs=("hash_value",)),
        F("os_hash_value", t.text(128, null=True), source="hash_value"),
        F("tags", TAGS, on=(*READ, *WRITE)),
        F("created_at", t.time, sort="created_at"),
        F("updated_at", t.time, value=_updated, needs=("created_at", "updated_at"), sort="updated_at"),
        F("stores", t.text(), value=_stores, needs=("store",), maybe=True),
        F("self", t.text(), value=_path()),
        F("file", t.text(), value=_path("/file")),
        F("schema", t.text(), value=lambda row, env: f"{SCHEMA_PATH}/image"),
        F("properties", t.mapping),
    ),
    unknown=EXTRA,
    bare=True,
)

# What a client may not set by any name, besides the fields of the table that are shown only.
UNSETTABLE = frozenset({"locations", "location", "direct_url", "deleted", "deleted_at", "properties"})
SHOWN_ONLY = frozenset(f.name for f in IMAGE.fields if not set(f.on) & {CREATE, UPDATE})

MEMBER = Resource(
    "member",
    "members",
    (
        F("member_id", t.text(64)),
        F("image_id", t.uuid),
        F("status", t.text()),
        F("created_at", t.time),
        F("updated_at", t.time, value=_updated, needs=("created_at", "updated_at")),
        F("schema", t.text(), value=lambda row, env: f"{SCHEMA_PATH}/member"),
        F("member", t.text(255, least=1), on=(CREATE,), required=True, arg="member_id"),
        F("status", t.enum(("pending", "accepted", "rejected")), on=(UPDATE,)),
    ),
    bare=True,
    key="member_id",
    default_sort=("created_at", "id"),
    small="an image has few, and is the only one they are listed of",
)
