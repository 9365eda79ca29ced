"""Which images a host may fetch: the ones that apps above say are needed on it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from apps.hosts.models import Host

UseCheck = Callable[[Host, UUID], bool]
_checks: list[UseCheck] = []


def host_use_check(check: UseCheck) -> UseCheck:
    """Register who knows of needs, as compute does: is something that uses this image placed on this host now?

    Usable as a decorator.
    """
    if check not in _checks:
        _checks.append(check)
    return check


def host_needs(host: Host, image_id: UUID) -> bool:
    """Does anything placed on the host use the image?"""
    return any(check(host, image_id) for check in _checks)
