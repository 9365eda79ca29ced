"""The heartbeat: a host's inventory says that it lives, what it has, and what carries our mark on it."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Callable

import msgspec
from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Now

from agents.contracts import Capacity, Inventory, ReportInventory
from apps.core import live
from apps.core.clock import database_time
from apps.core.context import RequestContext
from apps.core.transactions import internal
from apps.hosts.models import Host
from apps.hosts.states import LOST_S, MAX_SKEW_S, SILENCE_S, HostState
from apps.operations import services as operations
from apps.operations.models import Executor
from apps.operations.states import ExecutorState

logger = logging.getLogger("kumo.hosts")

InventoryHandler = Callable[[Host, Inventory], None]
_handlers: list[InventoryHandler] = []


def inventory_handler(handler: InventoryHandler) -> InventoryHandler:
    """Register who looks at each inventory besides us; called outside any transaction. Usable as a decorator."""
    if handler not in _handlers:
        _handlers.append(handler)
    return handler


@internal("the heartbeat's daemon")
def hosts_ask(ctx: RequestContext, *, also_lost: bool = False) -> list[str]:
    """Ask hosts for their inventory; returns the names of those asked.

    A host that has been down for long is asked with `also_lost` only, so that questions do not pile up in the
    queue of one that is gone for good.
    """
    asked_at = database_time().isoformat()
    greeted = Executor.objects.filter(state=ExecutorState.UP).values("host")
    recently = Now() - datetime.timedelta(seconds=LOST_S)
    hosts = Host.objects.order_by("name")
    if not also_lost:
        hosts = hosts.filter(Q(state=HostState.UP) | Q(name__in=greeted) | Q(state_changed_at__gt=recently))
    names = list(hosts.values_list("name", flat=True))
    for name in names:
        operations.host_send(ctx, host=name, verb="inventory.report", message=ReportInventory(asked_at=asked_at))
    return names


@internal("the heartbeat's daemon")
def hosts_silent(ctx: RequestContext) -> list[str]:
    """Take every host as down that said nothing for too long; returns their names."""
    limit = Now() - datetime.timedelta(seconds=SILENCE_S)
    silent = list(
        Host.objects.filter(state=HostState.UP, last_seen_at__lt=limit)
        .select_for_update(no_key=True, skip_locked=True)
        .order_by("pk")
    )
    for host in silent:
        Host.objects.filter(pk=host.pk).update(state=HostState.DOWN, state_changed_at=Now(), updated_at=Now())
        operations.host_down(ctx, host=host.name)
        live.notify("", "host", host.pk)
        logger.warning("host is down", extra={"host": host.name})
    return [host.name for host in silent]


@internal("the report that a host signed", atomic=False)
def host_report(ctx: RequestContext, *, host: str, boot_id: str, inventory: Inventory) -> None:
    """Take a host's inventory: it lives, this is what it has; then whoever registered looks at it."""
    known = host_alive(ctx, host=host, boot_id=boot_id, inventory=inventory)
    if known is None:
        return
    for handler in _handlers:
        try:
            handler(known, inventory)
        except Exception:
            logger.exception("inventory handler failed", extra={"host": host})


@internal("the report that a host signed")
def host_alive(ctx: RequestContext, *, host: str, boot_id: str, inventory: Inventory) -> Host | None:
    """Record that a host lives and what it has; None for a host that was removed meanwhile."""
    known = Host.objects.filter(name=host).select_for_update(no_key=True).first()
    if known is None:
        return None
    was, skew = known.state, _skew(inventory)
    known.vcpus, known.ram_mib = inventory.capacity.vcpus, inventory.capacity.ram_mib
    known.disk_gib, known.disk_free_gib = inventory.capacity.disk_gib, inventory.capacity.disk_free_gib
    capacity = usable(inventory.capacity)
    changed = capacity != known.capacity
    known.capacity_vcpus, known.capacity_ram_mib = capacity["vcpus"], capacity["ram_mib"]
    known.capacity_disk_gib = capacity["disk_gib"]
    known.facts, known.chassis = msgspec.to_builtins(inventory.facts), inventory.facts.chassis
    known.boot_id, known.state, known.clock_skew_s = boot_id, HostState.UP, skew
    Host.objects.filter(pk=known.pk).update(
        **{name: getattr(known, name) for name in _REPORTED},
        last_seen_at=Now(),
        state_changed_at=F("state_changed_at") if was == HostState.UP else Now(),
        generation=F("generation") + (1 if changed else 0),
    )
    operations.host_seen(ctx, host=host, boot_id=boot_id)
    if was != HostState.UP:
        logger.info("host is up", extra={"host": host})
        live.notify("", "host", known.pk)
    if abs(skew) > MAX_SKEW_S:
        logger.warning("host's clock is off", extra={"host": host, "skew_s": skew})
    return known


_REPORTED = (
    "vcpus", "ram_mib", "disk_gib", "disk_free_gib", "capacity_vcpus", "capacity_ram_mib", "capacity_disk_gib",
    "facts", "chassis", "boot_id", "state", "clock_skew_s",
)  # fmt: skip


def usable(capacity: Capacity) -> dict[str, int]:
    """What may be claimed of what a host has: overcommit applied, the reserve kept back."""
    config = settings.CONFIG.compute
    return {
        "vcpus": int(capacity.vcpus * config.cpu_overcommit),
        "ram_mib": max(int(capacity.ram_mib * config.ram_overcommit) - config.reserved_ram_mib, 0),
        "disk_gib": capacity.disk_gib,
    }


def _skew(inventory: Inventory) -> float:
    """Seconds by which the host's clock lies outside the time between our question and its answer."""
    asked = datetime.datetime.fromisoformat(inventory.asked_at).timestamp()
    now = database_time().timestamp()
    if inventory.host_clock < asked:
        return inventory.host_clock - asked
    return max(inventory.host_clock - now, 0.0)
