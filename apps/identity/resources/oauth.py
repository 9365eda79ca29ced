"""OAuth 1.0a consumers and access tokens."""

from __future__ import annotations

from typing import Any

from apps.core.api import types as t
from apps.core.api.links import keystone_member_links
from apps.core.api.resource import CREATE, EXTRA, READ, UPDATE, Env, F, Resource, Row
from apps.identity.resources.base import IDENT, NULL_DESCRIPTION

CONSUMER = Resource(
    "consumer",
    "consumers",
    (
        F("id", IDENT, sort="id"),
        F("links", value=keystone_member_links("OS-OAUTH1/consumers")),
        F("extra"),
        F("description", NULL_DESCRIPTION, on=(*READ, CREATE, UPDATE)),
    ),
    unknown=EXTRA,
    default_sort=("created_at",),
    small="a cloud has few",
)


def _token_links(row: Row, env: Env) -> dict[str, Any]:
    path = f"{env.base}/identity/v3/users/{row['user_id']}/OS-OAUTH1/access_tokens/{row['pk']}"
    return {"self": path, "roles": f"{path}/roles"}


ACCESS_TOKEN = Resource(
    "access_token",
    "access_tokens",
    (
        F("id", IDENT, sort="id"),
        F("links", value=_token_links, needs=("user_id",)),
        F("consumer_id", IDENT),
        F("project_id", IDENT),
        F("authorizing_user_id", IDENT, source="user_id"),
        F("expires_at", t.time_micros_z),
    ),
    default_sort=("created_at",),
    small="a user has few, and sees no other's",
)
AUTHORIZE = t.shape(
    {
        "roles": t.Type(
            {
                "type": "array",
                "minItems": 1,
                "maxItems": 100,
                "items": t.shape({"id": t.text(64), "name": t.text(255)}, closed=False).schema,
            }
        )
    },
    required=("roles",),
    closed=False,
).schema
