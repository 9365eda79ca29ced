"""Roles."""

from __future__ import annotations

from apps.core.api import types as t
from apps.core.api.resource import EXTRA, F, Resource
from apps.identity.resources.base import (
    ALL,
    IMMUTABLE,
    NAME,
    NULL_DESCRIPTION,
    common,
)

ROLE = Resource(
    "role",
    "roles",
    (
        *common("roles"),
        F("name", NAME, on=ALL, filter="name", sort="name", required=True),
        F("domain_id", t.text(64, null=True), on=ALL),
        F("description", NULL_DESCRIPTION, on=ALL),
        F("options", IMMUTABLE, on=ALL),
    ),
    unknown=EXTRA,
    default_sort=("name",),
    small="a cloud has few",
)
