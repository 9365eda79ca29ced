"""Keys of the addresses that open single objects: made from the master key, so that none lies in the database."""

from __future__ import annotations

from apps.core.sealing import derived
from apps.objectstore.models import Container


def link_key(row: Container) -> str:
    """The key of a container's links; a later series has another, and ends what was given out before."""
    return derived(f"objectstore/links/{row.pk}/{row.link_series}").hex()
