"""The network backend: OVN, through its northbound database."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apps.network.backends.ovn import Northbound


def northbound_at(remote: str, wake: Callable[[], None] = lambda: None) -> Northbound:
    """Connect to the northbound database at this address. Raises Unreachable.

    OVN's libraries (4 MiB) are loaded with the first connection: the API's processes never make one.
    """
    from apps.network.backends.ovn import Northbound

    return Northbound(remote, wake=wake)
