"""Projects and domains."""

from __future__ import annotations

from apps.core.api import types as t
from apps.core.api.resource import CREATE, EXTRA, F, Resource
from apps.identity.resources.base import (
    ALL,
    DESCRIPTION,
    IMMUTABLE,
    SHORT_NAME,
    TAG,
    common,
)

DOMAIN = Resource(
    "domain",
    "domains",
    (
        *common("domains"),
        F("name", SHORT_NAME, on=ALL, filter="name", sort="name", required=True),
        F("description", DESCRIPTION, on=ALL),
        F("enabled", t.flag, on=ALL, filter="enabled"),
        F("tags", t.array(TAG, unique=True, most=80), on=ALL),
        F("options", IMMUTABLE, on=ALL),
        F("explicit_domain_id", t.text(64, pattern="^[0-9a-f]{32}$"), on=(CREATE,)),
    ),
    unknown=EXTRA,
    default_sort=("name",),
)

PROJECT = Resource(
    "project",
    "projects",
    (
        *common("projects"),
        F("name", SHORT_NAME, on=ALL, filter="name", sort="name", required=True),
        F("domain_id", t.text(64, null=True), on=ALL, filter="domain_id"),
        F("parent_id", t.text(64, null=True), on=ALL, filter="parent_id"),
        F("is_domain", t.flag, on=ALL),
        F("description", DESCRIPTION, on=ALL),
        F("enabled", t.flag, on=ALL, filter="enabled"),
        F("tags", t.array(TAG, unique=True, most=80), on=ALL),
        F("options", IMMUTABLE, on=ALL),
    ),
    unknown=EXTRA,
    default_sort=("name",),
)
