"""Regions, services and endpoints; groups of endpoints, and policy documents."""

from __future__ import annotations

from apps.core.api import types as t
from apps.core.api.links import keystone_member_links
from apps.core.api.resource import CREATE, EXTRA, READ, UPDATE, Env, F, Resource, Row
from apps.identity.backends.urls import endpoint_url
from apps.identity.resources.base import (
    ALL,
    DESCRIPTION,
    IDENT,
    NAME,
    common,
    present,
)
from apps.identity.states import Interface

REGION = Resource(
    "region",
    "regions",
    (
        F("id", t.text(255), on=(*READ, CREATE), sort="id", arg="region_id"),
        F("links", value=keystone_member_links("regions")),
        F("extra"),
        F("description", DESCRIPTION, on=ALL),
        F("parent_region_id", t.text(255, null=True), on=ALL, source="parent_id", filter="parent_id"),
    ),
    unknown=EXTRA,
    default_sort=("id",),
    small="a cloud has few",
)

SERVICE = Resource(
    "service",
    "services",
    (
        *common("services"),
        F("name", t.text(255), on=ALL, filter="name", sort="name"),
        F("type", t.text(255, least=1), on=ALL, filter="type", sort="type", required=True),
        F("description", DESCRIPTION, on=ALL),
        F("enabled", t.flag, on=ALL),
    ),
    unknown=EXTRA,
    default_sort=("type",),
    small="a cloud has few",
)


def _url(row: Row, env: Env) -> str:
    """The URL as clients get it, except for variables of a project, which a template keeps."""
    return endpoint_url(row["url"], {}, keep_unknown=True) or ""


ENDPOINT = Resource(
    "endpoint",
    "endpoints",
    (
        *common("endpoints"),
        F("service_id", IDENT, on=ALL, filter="service_id", required=True),
        F("region_id", t.text(255, null=True), on=ALL, filter="region_id"),
        F("region", t.text(255, null=True), on=ALL, source="region_id"),
        F("interface", t.enum(Interface), on=ALL, filter="interface", sort="interface", required=True),
        F("url", t.text(8192, least=1), on=(CREATE, UPDATE), required=True),
        F("url", t.text(8192), value=_url, needs=("url",)),
        F("enabled", t.flag, on=ALL, filter="enabled"),
        F("name", t.text(255), on=(CREATE, UPDATE)),
        present("name"),
        F("description", DESCRIPTION, on=(CREATE, UPDATE)),
        present("description"),
    ),
    unknown=EXTRA,
    default_sort=("service_id", "interface"),
    small="a cloud has few",
)

_FILTERS = t.dictionary(t.Type({"type": ["string", "boolean"]}), most=8)
ENDPOINT_GROUP = Resource(
    "endpoint_group",
    "endpoint_groups",
    (
        *common("OS-EP-FILTER/endpoint_groups"),
        F("name", NAME, on=(*READ, CREATE), filter="name", sort="name", required=True),
        F("name", NAME.nullable(), on=(UPDATE,)),  # clients name what they do not change, with null
        F("description", DESCRIPTION, on=ALL),
        F("filters", _FILTERS, on=(*READ, CREATE), required=True),
        F("filters", _FILTERS.nullable(), on=(UPDATE,)),
    ),
    unknown=EXTRA,
    default_sort=("name",),
    small="a cloud has few",
)

POLICY = Resource(
    "policy",
    "policies",
    (
        *common("policies"),
        F("blob", t.text(1024 * 1024), on=ALL, required=True),
        F("type", t.text(255), on=ALL, filter="type", required=True),
    ),
    unknown=EXTRA,
    default_sort=("id",),
    small="a cloud has few",
)
