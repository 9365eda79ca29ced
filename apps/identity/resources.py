"""What identity's API shows and takes, noun by noun. Attributes that no table knows are kept, as Keystone does."""

from __future__ import annotations

from typing import Any

from django.db.models import JSONField
from django.db.models.expressions import RawSQL

from apps.core.api import types as t
from apps.core.api.links import keystone_member_links
from apps.core.api.resource import ABSENT, CREATE, EXTRA, READ, UPDATE, Env, F, Resource, Row
from apps.identity.backends.urls import endpoint_url
from apps.identity.states import Interface

ALL = (*READ, CREATE, UPDATE)
SHORT_NAME = t.text(64, least=1, pattern=r"\S")
NAME = t.text(255, least=1, pattern=r"\S")
IDENT = t.text(64)
TAG = t.text(255, least=1, pattern=r"^[^,/]*$")
_WORDS = t.text(64 * 1024, null=True)
DESCRIPTION = t.Type(_WORDS.schema)
NULL_DESCRIPTION = t.Type(_WORDS.schema, lambda text: text or None)


def _options(**known: t.Type) -> t.Type:
    return t.shape({name: kind.nullable() for name, kind in known.items()})


IMMUTABLE = _options(immutable=t.flag)
USER_OPTIONS = _options(
    ignore_change_password_upon_first_use=t.flag,
    ignore_password_expiry=t.flag,
    ignore_lockout_failure_attempts=t.flag,
    ignore_user_inactivity=t.flag,
    lock_password=t.flag,
    multi_factor_auth_enabled=t.flag,
    multi_factor_auth_rules=t.array(t.array(t.text(255))),
)


def _common(collection: str) -> tuple[F, ...]:
    return (
        F("id", IDENT, sort="id"),
        F("links", value=keystone_member_links(collection)),
        F("extra"),
    )


def _present(name: str) -> F:
    """An attribute that is there only when it has a value."""

    def value(row: Row, env: Env) -> Any:
        return row[name] or ABSENT

    return F(name, t.text(64, null=True), on=READ, value=value, needs=(name,), maybe=True)


DOMAIN = Resource(
    "domain",
    "domains",
    (
        *_common("domains"),
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
        *_common("projects"),
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

USER = Resource(
    "user",
    "users",
    (
        *_common("users"),
        F("name", NAME, on=ALL, filter="name", sort="name", required=True),
        F("domain_id", IDENT, on=ALL, filter="domain_id"),
        F("enabled", t.flag, on=ALL, filter="enabled"),
        F("default_project_id", t.text(64, null=True), on=(CREATE, UPDATE)),
        _present("default_project_id"),
        F("description", DESCRIPTION, on=(CREATE, UPDATE)),
        _present("description"),
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
        *_common("groups"),
        F("name", NAME, on=ALL, filter="name", sort="name", required=True),
        F("domain_id", IDENT, on=ALL, filter="domain_id"),
        F("description", DESCRIPTION, on=ALL),
    ),
    unknown=EXTRA,
    default_sort=("name",),
)

ROLE = Resource(
    "role",
    "roles",
    (
        *_common("roles"),
        F("name", NAME, on=ALL, filter="name", sort="name", required=True),
        F("domain_id", t.text(64, null=True), on=ALL),
        F("description", NULL_DESCRIPTION, on=ALL),
        F("options", IMMUTABLE, on=ALL),
    ),
    unknown=EXTRA,
    default_sort=("name",),
)

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
)

SERVICE = Resource(
    "service",
    "services",
    (
        *_common("services"),
        F("name", t.text(255), on=ALL, filter="name", sort="name"),
        F("type", t.text(255, least=1), on=ALL, filter="type", sort="type", required=True),
        F("description", DESCRIPTION, on=ALL),
        F("enabled", t.flag, on=ALL),
    ),
    unknown=EXTRA,
    default_sort=("type",),
)


def _url(row: Row, env: Env) -> str:
    """The URL as clients get it, except for variables of a project, which a template keeps."""
    return endpoint_url(row["url"], {}, keep_unknown=True) or ""


ENDPOINT = Resource(
    "endpoint",
    "endpoints",
    (
        *_common("endpoints"),
        F("service_id", IDENT, on=ALL, filter="service_id", required=True),
        F("region_id", t.text(255, null=True), on=ALL, filter="region_id"),
        F("region", t.text(255, null=True), on=ALL, source="region_id"),
        F("interface", t.enum(Interface), on=ALL, filter="interface", sort="interface", required=True),
        F("url", t.text(8192, least=1), on=(CREATE, UPDATE), required=True),
        F("url", t.text(8192), value=_url, needs=("url",)),
        F("enabled", t.flag, on=ALL, filter="enabled"),
        F("name", t.text(255), on=(CREATE, UPDATE)),
        _present("name"),
        F("description", DESCRIPTION, on=(CREATE, UPDATE)),
        _present("description"),
    ),
    unknown=EXTRA,
    default_sort=("service_id", "interface"),
)


def _credential_links(row: Row, env: Env) -> dict[str, str]:
    path = f"users/{row['user_id']}/application_credentials/{row['pk']}"
    return {"self": f"{env.base}/identity/v3/{path}"}


def _access_rule_links(row: Row, env: Env) -> dict[str, str]:
    return {"self": f"{env.base}/identity/v3/users/{row['user_id']}/access_rules/{row['pk']}"}


def _rules_shown(row: Row, env: Env) -> Any:
    return row["rules_json"] if row["has_access_rules"] else ABSENT


def _json_of(through: str, own: str, other: str, table: str, columns: tuple[str, ...]) -> RawSQL:
    """Related rows of a credential as one JSON array, so that a list is one query."""
    pairs = ", ".join(f"'{column}', r.{column}" for column in columns)
    return RawSQL(  # noqa: S611 - made of the names below only
        f"(SELECT coalesce(jsonb_agg(jsonb_build_object({pairs}) ORDER BY r.id), '[]') FROM {through} t "  # noqa: S608
        f"JOIN {table} r ON r.id = t.{other} WHERE t.{own} = identity_applicationcredential.id)",
        (),
        output_field=JSONField(),
    )


_RULE = t.shape(
    {
        "id": t.text(64),
        "service": t.text(64, least=1),
        "method": t.enum(("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")),
        "path": t.text(225, least=1, pattern="^/"),
    }
)

APPLICATION_CREDENTIAL = Resource(
    "application_credential",
    "application_credentials",
    (
        F("id", IDENT),
        F("links", value=_credential_links, needs=("user_id",)),
        F("name", NAME, on=(*READ, CREATE), filter="name", required=True),
        F("description", t.Type(_WORDS.schema, lambda text: text or None), on=(*READ, CREATE)),
        F("user_id", IDENT),
        F("project_id", IDENT),
        F("roles", source="roles_json"),
        F("roles", t.array(t.shape({"id": t.text(64), "name": t.text(255)})), on=(CREATE,)),
        F("expires_at", t.time_micros),
        F("expires_at", t.text(64, null=True), on=(CREATE,)),
        F("unrestricted", t.flag, on=READ),
        F("unrestricted", t.flag.nullable(), on=(CREATE,)),
        F("system", on=READ, value=lambda row, env: None),
        F("secret", t.text(4096, null=True), on=(CREATE,)),
        F("access_rules", value=_rules_shown, needs=("rules_json", "has_access_rules"), maybe=True),
        F("access_rules", t.array(_RULE, most=100), on=(CREATE,)),
    ),
    default_sort=("name",),
    annotations={
        "roles_json": _json_of(
            "identity_applicationcredential_roles",
            "applicationcredential_id",
            "role_id",
            "identity_role",
            ("id", "name", "domain_id"),
        ),
        "rules_json": _json_of(
            "identity_applicationcredential_access_rules",
            "applicationcredential_id",
            "accessrule_id",
            "identity_accessrule",
            ("id", "service", "method", "path"),
        ),
    },
)

ACCESS_RULE = Resource(
    "access_rule",
    "access_rules",
    (
        F("id", IDENT),
        F("links", value=_access_rule_links, needs=("user_id",)),
        F("service", t.text(64), filter="service"),
        F("method", t.text(16), filter="method"),
        F("path", t.text(225), filter="path"),
    ),
    default_sort=("id",),
)
