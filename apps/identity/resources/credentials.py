"""Application credentials, access rules and other credentials."""

from __future__ import annotations

from typing import Any

from django.db.models import JSONField
from django.db.models.expressions import RawSQL

from apps.core.api import types as t
from apps.core.api.resource import ABSENT, CREATE, EXTRA, READ, UPDATE, Env, F, Resource, Row
from apps.identity.resources.base import ALL, IDENT, NAME, WORDS, common


def _credential_links(row: Row, env: Env) -> dict[str, str]:
    path = f"users/{row['user_id']}/application_credentials/{row['pk']}"
    return {"self": f"{env.base}/identity/v3/{path}"}


def _access_rule_links(row: Row, env: Env) -> dict[str, str]:
    return {"self": f"{env.base}/identity/v3/users/{row['user_id']}/access_rules/{row['pk']}"}


def _rules_shown(row: Row, env: Env) -> Any:
    return row["rules_json"] if row["has_access_rules"] else ABSENT


def json_of(through: str, own: str, other: str, table: str, columns: tuple[str, ...], *, of: str) -> RawSQL:
    """Related rows of a row of the table `of` as one JSON array, so that a list is one query."""
    pairs = ", ".join(f"'{column}', r.{column}" for column in columns)
    return RawSQL(  # noqa: S611 - made of the names below only
        f"(SELECT coalesce(jsonb_agg(jsonb_build_object({pairs}) ORDER BY r.id), '[]') FROM {through} t "  # noqa: S608
        f"JOIN {table} r ON r.id = t.{other} WHERE t.{own} = {of}.id)",
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
        F("description", t.Type(WORDS.schema, lambda text: text or None), on=(*READ, CREATE)),
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
    small="a user has few, and sees no other's",
    annotations={
        "roles_json": json_of(
            "identity_applicationcredential_roles",
            "applicationcredential_id",
            "role_id",
            "identity_role",
            ("id", "name", "domain_id"),
            of="identity_applicationcredential",
        ),
        "rules_json": json_of(
            "identity_applicationcredential_access_rules",
            "applicationcredential_id",
            "accessrule_id",
            "identity_accessrule",
            ("id", "service", "method", "path"),
            of="identity_applicationcredential",
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
    small="a user has few, and sees no other's",
)


CREDENTIAL = Resource(
    "credential",
    "credentials",
    (
        *common("credentials"),
        F("type", t.text(255, least=1), on=ALL, filter="type", sort="type", required=True),
        F("blob", source="sealed_blob"),  # opened by the view
        F("blob", t.text(64 * 1024), on=(CREATE, UPDATE), required=True),
        F("user_id", IDENT, on=ALL, filter="user_id", required=True),
        F("project_id", t.text(64, null=True), on=ALL),
    ),
    unknown=EXTRA,
    default_sort=("id",),
)


def _key_links(row: Row, env: Env) -> dict[str, str]:
    return {"self": f"{env.base}/identity/v3/users/{row['user_id']}/credentials/OS-EC2/{row['access']}"}


EC2_CREDENTIAL = Resource(
    "credential",
    "credentials",
    (
        F("access"),
        F("secret"),
        F("user_id"),
        F("tenant_id"),
        F("trust_id"),
        F("links", value=_key_links),
    ),
    noun="EC2 credential",
)
EC2_CREDENTIAL_CREATE = t.shape({"tenant_id": IDENT}, required=("tenant_id",), closed=False).schema
