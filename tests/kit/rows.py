"""Rows that many tests need, with defaults for what a test does not care about."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

from django.utils import timezone

from apps.hosts.models import Host
from apps.hosts.states import HostState

_numbers = itertools.count(1)


def make_host(name: str = "", **columns: Any) -> Host:
    """A host that is up, enabled and empty."""
    number = next(_numbers)
    defaults: dict[str, Any] = {
        "number": number,
        "name": name or f"host-{number}",
        "state": HostState.UP,
        "vcpus": 16,
        "ram_mib": 16_384,
        "disk_gib": 100,
        "capacity_vcpus": 16,
        "capacity_ram_mib": 16_384,
        "capacity_disk_gib": 100,
        "last_seen_at": timezone.now(),
        "certificate_serial": f"{number:x}",
        "certificate_expires_at": timezone.now() + datetime.timedelta(days=365),
    }
    return Host.objects.create(**defaults | columns)
