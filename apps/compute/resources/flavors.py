"""What the API shows and takes of flavors."""

from __future__ import annotations

from typing import Any

from apps.core import policy
from apps.core.api import types as t
from apps.core.api.links import nova_member_links
from apps.core.api.resource import ABSENT, CREATE, DETAIL, LIST, SHOW, UPDATE, Env, F, Resource, Row

_IDENT = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\w.\-]([\w.\- ]*[\w.\-])?$"}
PREFIX = "/compute/v2.1"
NAME = t.text(255, least=1, pattern=r"^\S(.*\S)?$")
MOST = 2**31 - 1
EXTRA_SPECS = "os_compute_api:os-flavor-extra-specs:index"
SPEC_KEY = r"^[a-zA-Z0-9\-_:. ]{1,255}$"


def _number(least: int) -> t.Type:
    """Nova takes numbers as text, too."""
    digits = {"type": "string", "pattern": "^[0-9]+$" if least == 0 else "^0*[1-9][0-9]*$", "maxLength": 10}
    return t.Type({"anyOf": [t.integer(least, MOST).schema, digits]})


def _factor() -> t.Type:
    text = {"type": "string", "pattern": r"^(\d+\.?\d*|\.\d+)$"}
    return t.Type({"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 3.4e38}, text]})


def _specs(row: Row, env: Env) -> Any:
    return row["extra_specs"] if policy.allowed(env.ctx, EXTRA_SPECS) else ABSENT


FLAVOR = Resource(
    "flavor",
    "flavors",
    (
        F("id", on=(LIST, DETAIL, SHOW), sort="id"),
        F("name", on=(LIST, DETAIL, SHOW), sort="name"),
        F("links", on=(LIST, DETAIL, SHOW), value=nova_member_links(PREFIX, "flavors")),
        F("description", on=(LIST, DETAIL, SHOW), since=(2, 55)),
        F("ram", source="ram_mib"),
        F("disk", source="root_gib"),
        F("vcpus"),
        F("swap", value=lambda row, env: row["swap_mib"] or "", needs=("swap_mib",), until=(2, 74)),
        F("swap", source="swap_mib", since=(2, 75)),
        F("OS-FLV-EXT-DATA:ephemeral", source="ephemeral_gib"),
        F("OS-FLV-DISABLED:disabled", value=lambda row, env: False),
        F("os-flavor-access:is_public", source="is_public"),
        F("rxtx_factor"),
        F("extra_specs", value=_specs, needs=("extra_specs",), since=(2, 61), maybe=True),
        F("name", NAME, on=(CREATE,), required=True),
        F(
            "id",
            t.Type({"anyOf": [_IDENT,
                              {"type": "integer"}, {"type": "null"}]}),
            on=(CREATE,),
            arg="flavor_id",
        ),
        F("ram", _number(1), on=(CREATE,), arg="ram_mib", required=True),
        F("vcpus", _number(1), on=(CREATE,), required=True),
        F("disk", _number(0), on=(CREATE,), arg="root_gib", required=True),
        F("OS-FLV-EXT-DATA:ephemeral", _number(0), on=(CREATE,), arg="ephemeral_gib"),
        F("swap", _number(0), on=(CREATE,), arg="swap_mib"),
        F("rxtx_factor", _factor(), on=(CREATE,)),
        F("os-flavor-access:is_public", t.loose_flag, on=(CREATE,), arg="is_public"),
        F("description", t.text(65_535, null=True), on=(CREATE,), since=(2, 55)),
        F("description", t.text(65_535, null=True), on=(UPDATE,), since=(2, 55), required=True),
    ),
    default_sort=("id",),
    small="a cloud has few",
    noun="flavor",
    sorts={
        "flavorid": "id", "name": "name", "memory_mb": "ram_mib", "vcpus": "vcpus", "root_gb": "root_gib",
        "ephemeral_gb": "ephemeral_gib", "swap": "swap_mib", "rxtx_factor": "rxtx_factor",
        "is_public": "is_public", "created_at": "created_at", "updated_at": "updated_at", "id": "id",
        "disabled": "is_public", "vcpu_weight": "vcpus", "deleted": "id", "deleted_at": "id",
    },
)  # fmt: skip

EXTRA_SPECS_BODY = {
    "type": "object",
    "properties": {
        "extra_specs": {
            "type": "object",
            "patternProperties": {SPEC_KEY: {"type": ["string", "number"], "maxLength": 255}},
            "additionalProperties": False,
        }
    },
    "required": ["extra_specs"],
    "additionalProperties": False,
}
EXTRA_SPEC_BODY = {
    "type": "object",
    "patternProperties": {SPEC_KEY: {"type": ["string", "number"], "maxLength": 255}},
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}
ACCESS_BODY = {
    "type": "object",
    "properties": {"tenant": {"type": "string", "minLength": 1, "maxLength": 255}},
    "required": ["tenant"],
    "additionalProperties": False,
}
