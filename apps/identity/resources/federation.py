"""What OS-FEDERATION shows and takes."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef

from apps.core.api import types as t
from apps.core.api.resource import CREATE, IGNORE, READ, UPDATE, Env, F, Resource, Row
from apps.identity.backends.federation_rules import RULES, VERSIONS
from apps.identity.models import RemoteId

_ALL = (*READ, CREATE, UPDATE)
_WORDS = t.Type(t.text(64 * 1024, null=True).schema)


def _own(collection: str) -> Any:
    def links(row: Row, env: Env) -> dict[str, str]:
        return {"self": f"{env.base}/identity/v3/OS-FEDERATION/{collection}/{row['pk']}"}

    return links


def _provider_links(row: Row, env: Env) -> dict[str, str]:
    own = f"{env.base}/identity/v3/OS-FEDERATION/identity_providers/{row['pk']}"
    return {"self": own, "protocols": f"{own}/protocols"}


def _protocol_links(row: Row, env: Env) -> dict[str, str]:
    provider = f"{env.base}/identity/v3/OS-FEDERATION/identity_providers/{row['provider_id']}"
    return {"self": f"{provider}/protocols/{row['name']}", "identity_provider": provider}


IDENTITY_PROVIDER = Resource(
    "identity_provider",
    "identity_providers",
    (
        F("id", t.text(64), filter="pk", sort="id"),
        F("links", value=_provider_links),
        F("description", _WORDS, on=_ALL),
        F("enabled", t.flag, on=_ALL, filter="enabled"),
        F("domain_id", t.text(64), on=READ),
        F("domain_id", t.text(64, null=True), on=(CREATE,)),
        F("authorization_ttl", t.integer(0, 365 * 24 * 60, null=True), on=_ALL),
        F(
            "remote_ids",
            t.Type({**t.array(t.text(255, least=1), unique=True, most=1000).schema, "type": ["array", "null"]}),
            on=_ALL,
        ),
    ),
    unknown=IGNORE,  # clients send the id again
    default_sort=("id",),
    small="a cloud has few",
    key="provider_id",
    annotations={
        "remote_ids": ArraySubquery(
            RemoteId.objects.filter(provider=OuterRef("pk")).order_by("remote_id").values("remote_id")
        )
    },
)

FEDERATION_MAPPING = Resource(
    "mapping",
    "mappings",
    (
        F("id", t.text(64), sort="id"),
        F("links", value=_own("mappings")),
        F("rules", RULES, on=_ALL, required=True),
        F("schema_version", t.enum(VERSIONS), on=READ),
        F("schema_version", t.enum(VERSIONS).nullable(), on=(CREATE, UPDATE)),
    ),
    unknown=IGNORE,  # clients send the id again
    default_sort=("id",),
    small="a cloud has few",
)


_OIDC = t.shape(
    {
        "issuer": t.text(1024),
        "client_id": t.text(255),
        "client_secret": t.text(4096),
        "scopes": t.array(t.text(255), most=32),
        "audiences": t.array(t.text(255), most=32),
    },
    required=("issuer", "client_id"),
).nullable()

FEDERATION_PROTOCOL = Resource(
    "protocol",
    "protocols",
    (
        F("id", t.text(64), source="name"),
        F("links", value=_protocol_links, needs=("provider_id", "name")),
        F("mapping_id", t.text(64, least=1), on=_ALL, required=True),
        F("remote_id_attribute", t.text(64, null=True), on=_ALL),
        F("oidc", _OIDC, on=_ALL),
    ),
    unknown=IGNORE,
    default_sort=("name",),
    small="an identity provider has few",
    key="protocol_id",
)

SERVICE_PROVIDER = Resource(
    "service_provider",
    "service_providers",
    (
        F("id", t.text(64), filter="pk", sort="id"),
        F("links", value=_own("service_providers")),
        F("auth_url", t.text(256, least=1), on=_ALL, required=True),
        F("sp_url", t.text(256, least=1), on=_ALL, required=True),
        F("description", _WORDS, on=_ALL),
        F("enabled", t.flag, on=_ALL, filter="enabled"),
        F("relay_state_prefix", t.text(256), on=_ALL),
    ),
    unknown=IGNORE,  # clients send the id again
    default_sort=("id",),
    small="a cloud has few",
    key="provider_id",
)
