"""Links in bodies: absolute, below the address by which the client reached the cloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.core.api.resource import Env, Row


def nova_member_links(prefix: str, collection: str) -> Callable[[Row, Env], list[dict[str, Any]]]:
    """`self` with the version and `bookmark` without it; for a prefix such as `/compute/v2.1`."""
    unversioned = prefix.rsplit("/", 1)[0]

    def links(row: Row, env: Env) -> list[dict[str, Any]]:
        ident = row["pk"]
        return [
            {"rel": "self", "href": f"{env.base}{prefix}/{collection}/{ident}"},
            {"rel": "bookmark", "href": f"{env.base}{unversioned}/{collection}/{ident}"},
        ]

    return links


def keystone_member_links(collection: str) -> Callable[[Row, Env], dict[str, str]]:
    """`{"self": …}` as identity's members have it."""

    def links(row: Row, env: Env) -> dict[str, str]:
        return {"self": f"{env.base}/identity/v3/{collection}/{row['pk']}"}

    return links
