"""Users and groups."""

from __future__ import annotations

from apps.core.api import types as t
from apps.core.api.resource import CREATE, EXTRA, UPDATE, F, Resource
from apps.identity.resources.base import (
    ALL,
    DESCRIPTION,
    IDENT,
    NAME,
    common,
    options_of,
    present,
)

_RULE = t.Type({**t.array(t.text(255, least=1), unique=True, most=16).schema, "minItems": 1})
USER_OPTIONS = options_of(
    ignore_change_password_upon_first_use=t.flag,
    ignore_password_expiry=t.flag,
    ignore_lockout_failure_attempts=t.flag,
    ignore_user_inactivity=t.flag,
    lock_password=t.flag,
    multi_factor_auth_enabled=t.flag,
    multi_factor_auth_rules=t.array(_RULE, unique=True, most=32),
)

USER = Resource(
    "user",
    "users",
    (
        *common("users"),
        F("name", NAME, on=ALL, filter="name", sort="name", required=True),
        F("domain_id", IDENT, on=ALL, filter="domain_id"),
        F("enabled", t.flag, on=ALL, filter="enabled"),
        F("default_project_id", t.text(64, null=True), on=(CREATE, UPDATE)),
        present("default_project_id"),
        F("description", DESCRIPTION, on=(CREATE, UPDATE)),
        present("description"),
        F("password", t.text(4096, null=True), on=(CREATE, UPDATE)),
        F("password_expires_at", t.time_micros_z),
        F("options", USER_OPTIONS, on=ALL),
    ),
    unknown=EXTRA,
    default_sort=("name",),
)

GROUP = Resource(
    "group",
    "groups",
    (
        *common("groups"),
        F("name", NAME, on=ALL, filter="name", sort="name", required=True),
        F("domain_id", IDENT, on=ALL, filter="domain_id"),
        F("description", DESCRIPTION, on=ALL),
    ),
    unknown=EXTRA,
    default_sort=("name",),
)
