"""Rows that many tests need, with defaults for what a test does not care about."""

from __future__ import annotations

import datetime
import io
import itertools
from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.db import connection
from django.utils import timezone

from apps.core.context import system
from apps.hosts.models import Host
from apps.hosts.states import HostState
from apps.identity.services import bootstrap
from apps.identity.services.epoch import change_epoch

_numbers = itertools.count(1)
_first_rows: dict[frozenset[tuple[str, str]], dict[str, bytes]] = {}  # passwords → table → its rows


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


def bootstrapped(passwords: Mapping[str, str]) -> None:
    """The rows of a new cloud: by `bootstrap` the first time, and by copying what that made from then on."""
    key = frozenset(passwords.items())
    if key not in _first_rows:
        bootstrap(system(), passwords=passwords)
        _first_rows[key] = {table: rows for table in _tables_of_identity() if (rows := _copied(table))}
        return
    with connection.cursor() as cursor:
        for table, rows in _first_rows[key].items():
            cursor.copy_expert(f"COPY {table} FROM STDIN", io.BytesIO(rows))
    change_epoch()


def _tables_of_identity() -> list[str]:
    models = apps.get_app_config("identity").get_models(include_auto_created=True)
    return [model._meta.db_table for model in models if model._meta.managed and not model._meta.proxy]


def _copied(table: str) -> bytes:
    rows = io.BytesIO()
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY {table} TO STDOUT", rows)
    return rows.getvalue()
