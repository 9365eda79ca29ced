"""Types and fields that several nouns of identity share."""

from __future__ import annotations

from typing import Any

from apps.core.api import types as t
from apps.core.api.links import keystone_member_links
from apps.core.api.resource import ABSENT, CREATE, READ, UPDATE, Env, F, Row

ALL = (*READ, CREATE, UPDATE)
SHORT_NAME = t.text(64, least=1, pattern=r"\S")
NAME = t.text(255, least=1, pattern=r"\S")
IDENT = t.text(64)
TAG = t.text(255, least=1, pattern=r"^[^,/]*$")
WORDS = t.text(64 * 1024, null=True)
DESCRIPTION = t.Type(WORDS.schema)
NULL_DESCRIPTION = t.Type(WORDS.schema, lambda text: text or None)


def options_of(**known: t.Type) -> t.Type:
    return t.shape({name: kind.nullable() for name, kind in known.items()})


IMMUTABLE = options_of(immutable=t.flag)


def common(collection: str) -> tuple[F, ...]:
    return (
        F("id", IDENT, sort="id"),
        F("links", value=keystone_member_links(collection)),
        F("extra"),
    )


def present(name: str) -> F:
    """An attribute that is there only when it has a value."""

    def value(row: Row, env: Env) -> Any:
        return row[name] or ABSENT

    return F(name, t.text(64, null=True), on=READ, value=value, needs=(name,), maybe=True)
