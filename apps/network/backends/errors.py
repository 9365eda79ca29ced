"""What a network backend raises; apart from it, so that who only catches does not load OVN's libraries."""

from __future__ import annotations

from collections.abc import Collection

from apps.network.backends.rows import Scope


class Unreachable(Exception):
    """The northbound database does not answer."""


class Missing(Exception):
    """Wanted rows refer to rows that are neither there nor wanted; these scopes would make them."""

    def __init__(self, scopes: Collection[Scope]) -> None:
        super().__init__(f"rows of {sorted(scopes)} are missing")
        self.scopes = frozenset(scopes)
