"""Unified limits."""

from __future__ import annotations

from apps.core.api import types as t
from apps.core.api.links import keystone_member_links
from apps.core.api.resource import READ, UPDATE, Env, F, Resource, Row
from apps.identity.resources.base import IDENT

_VALUE = t.integer(-1, 2**31 - 1)
_RESOURCE = t.text(255, least=1)
_REGION = t.text(255, null=True)
_WORDS = t.text(64 * 1024, null=True)

REGISTERED_LIMIT = Resource(
    "registered_limit",
    "registered_limits",
    (
        F("id", IDENT, sort="id"),
        F("links", value=keystone_member_links("registered_limits")),
        F("service_id", IDENT, on=(*READ, UPDATE), filter="service_id", sort="service_id"),
        F("region_id", _REGION, on=(*READ, UPDATE), filter="region_id"),
        F("resource_name", _RESOURCE, on=(*READ, UPDATE), source="resource", filter="resource", sort="resource"),
        F("default_limit", _VALUE, on=(*READ, UPDATE), source="value"),
        F("description", _WORDS, on=(*READ, UPDATE)),
    ),
    default_sort=("service_id", "resource"),
    small="one for each thing that is counted, and region",
)
REGISTERED_LIMITS = t.shape(
    {
        "registered_limits": t.Type(
            {
                "type": "array",
                "minItems": 1,
                "maxItems": 1000,
                "items": t.shape(
                    {
                        "service_id": IDENT,
                        "region_id": _REGION,
                        "resource_name": _RESOURCE,
                        "default_limit": _VALUE,
                        "description": _WORDS,
                    },
                    required=("service_id", "resource_name", "default_limit"),
                ).schema,
            }
        )
    },
    required=("registered_limits",),
).schema


def _project(row: Row, env: Env) -> str | None:
    return None if row["project__is_domain"] else row["project_id"]


def _domain(row: Row, env: Env) -> str | None:
    return row["project_id"] if row["project__is_domain"] else None


_HOLDER = ("project_id", "project__is_domain")

LIMIT = Resource(
    "limit",
    "limits",
    (
        F("id", IDENT, sort="id"),
        F("links", value=keystone_member_links("limits")),
        F("project_id", IDENT, value=_project, needs=_HOLDER, filter="project_id"),
        F("domain_id", IDENT, value=_domain, needs=_HOLDER, filter="project_id"),
        F("service_id", IDENT, filter="service_id", sort="service_id"),
        F("region_id", _REGION, filter="region_id"),
        F("resource_name", _RESOURCE, source="resource", filter="resource", sort="resource"),
        F("resource_limit", _VALUE, on=(*READ, UPDATE), source="value"),
        F("description", _WORDS, on=(*READ, UPDATE)),
    ),
    default_sort=("project_id", "resource"),
)
_ONE = {
    "project_id": t.text(64, null=True),
    "domain_id": t.text(64, null=True),
    "service_id": IDENT,
    "region_id": _REGION,
    "resource_name": _RESOURCE,
    "resource_limit": _VALUE,
    "description": _WORDS,
}
LIMITS = t.shape(
    {
        "limits": t.Type(
            {
                "type": "array",
                "minItems": 1,
                "maxItems": 1000,
                "items": {
                    **t.shape(_ONE, required=("service_id", "resource_name", "resource_limit")).schema,
                    "oneOf": [
                        {"required": [name], "properties": {name: {"type": "string"}}}
                        for name in ("project_id", "domain_id")
                    ],
                },
            }
        )
    },
    required=("limits",),
).schema
