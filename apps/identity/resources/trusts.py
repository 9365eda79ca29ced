"""Trusts."""

from __future__ import annotations

from typing import Any

from apps.core.api import types as t
from apps.core.api.links import keystone_member_links
from apps.core.api.resource import CREATE, DETAIL, EXTRA, READ, SHOW, Env, F, Resource, Row
from apps.identity.resources.base import IDENT
from apps.identity.resources.credentials import json_of

_ROLE_REF = t.shape({"id": t.text(64), "name": t.text(255)}, closed=False)


def _roles(row: Row, env: Env) -> list[dict[str, Any]]:
    return [{**role, "links": {"self": f"{env.base}/identity/v3/roles/{role['id']}"}} for role in row["roles_json"]]


def _roles_links(row: Row, env: Env) -> dict[str, Any]:
    path = f"{env.base}/identity/v3/OS-TRUST/trusts/{row['pk']}/roles"
    return {"self": path, "next": None, "previous": None}


TRUST = Resource(
    "trust",
    "trusts",
    (
        F("id", IDENT, sort="id"),
        F("links", value=keystone_member_links("OS-TRUST/trusts")),
        F("extra"),
        F("trustor_user_id", IDENT, on=(*READ, CREATE), source="trustor_id", arg="trustor_user_id", required=True),
        F("trustee_user_id", IDENT, on=(*READ, CREATE), source="trustee_id", arg="trustee_user_id", required=True),
        F("impersonation", t.flag, on=(*READ, CREATE), required=True),
        F("project_id", t.text(64, null=True), on=(*READ, CREATE)),
        F("roles", value=_roles, needs=("roles_json",), on=(SHOW,)),
        F("roles", t.array(_ROLE_REF, most=100), on=(CREATE,)),
        F("roles_links", value=_roles_links, on=(SHOW,)),
        F("expires_at", t.time_micros_z),
        F("expires_at", t.text(64, null=True), on=(CREATE,)),
        F("remaining_uses", t.integer(1, 2**31 - 1, null=True), on=(*READ, CREATE)),
        F("redelegated_trust_id", IDENT),
        F("redelegation_count", t.integer(0, null=True), on=(*READ, CREATE)),
        F("allow_redelegation", t.flag, on=(CREATE,)),
        F("deleted_at", value=lambda row, env: None, on=(DETAIL, SHOW)),
    ),
    unknown=EXTRA,
    default_sort=("created_at",),
    small="a user gives and gets few",
    annotations={
        "roles_json": json_of(
            "identity_trust_roles",
            "trust_id",
            "role_id",
            "identity_role",
            ("id", "name", "domain_id", "description", "options"),
            of="identity_trust",
        )
    },
)
