"""Makes OVN match the database, for some things or for all. Doing it twice changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction

from apps.core import context
from apps.network.backends.errors import Missing
from apps.network.backends.rows import Plan, Scope
from apps.network.jobs import facts, wanted
from apps.network.models import Change, Port
from apps.network.states import Dirty, PortStatus
from apps.operations.services import operation_wake

if TYPE_CHECKING:
    from apps.network.backends.ovn import Northbound

CLOSURE = 4  # how often a batch may turn out to need rows of further things


def options() -> dict[str, Any]:
    """The backend's options of the configuration."""
    found: dict[str, Any] = settings.KUMO_DRIVERS["network"]["default"].get("OPTIONS", {})
    return found


def project(northbound: Northbound, scopes: Iterable[Scope]) -> Plan:
    """Make OVN's rows of these things what the database says; further things join in where they must."""
    included = set(scopes)
    for _ in range(CLOSURE):
        rows = wanted.rows(
            facts.read(included),
            with_base=wanted.BASE in included,
            distributed=bool(options().get("distributed_floating_ips")),
        )
        try:
            return northbound.project(rows, included)
        except Missing as missing:
            if missing.scopes <= included:
                raise
            included |= missing.scopes
    raise RuntimeError(f"the things to project keep needing others: {sorted(included)[:5]}")


def sync(northbound: Northbound, *, dry_run: bool = False) -> Plan:
    """Compare everything of ours and make it right; the marks there were are done with. Raises Unreachable."""
    with transaction.atomic():
        marks = list(Change.objects.select_for_update(skip_locked=True).order_by("pk"))
        rows = wanted.rows(
            facts.read(None), with_base=True, distributed=bool(options().get("distributed_floating_ips"))
        )
        plan = northbound.project(rows, None, dry_run=dry_run)
        if not dry_run:
            Change.objects.filter(pk__in=[m.pk for m in marks]).delete()
            wake_servers({(m.kind, str(m.ident)) for m in marks})
    return plan


def wake_servers(scopes: Iterable[Scope]) -> None:
    """Operations of servers that wait for their network look again."""
    ports = [ident for kind, ident in scopes if kind == Dirty.PORT]
    networks: list[Any] = [ident for kind, ident in scopes if kind == Dirty.NETWORK]
    plugged = Port.objects.exclude(server_id=None)
    servers = set(plugged.filter(pk__in=ports).values_list("server_id", flat=True))
    if networks:
        waiting = plugged.filter(network__in=networks).exclude(status=PortStatus.ACTIVE)
        servers |= set(waiting.values_list("server_id", flat=True))
    for server in sorted(servers, key=str):
        operation_wake(context.system(), subject_type="server", subject_id=server)
