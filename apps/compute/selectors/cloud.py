"""Reading what operators see of hosts through compute's API, and what projects used."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from apps.compute.models import Aggregate, Server, ServerAny
from apps.compute.selectors._common import key
from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid, NotFound
from apps.core.transactions import selector
from apps.hosts.models import Host


@selector("os_compute_api:os-hypervisors:list")
def hypervisor_list(ctx: RequestContext, *, pattern: str = "") -> QuerySet[Host]:
    """Hosts by number, with how many servers each has; `pattern` is part of a name."""
    hosts = Host.objects.order_by("number")
    return hosts.filter(name__icontains=pattern) if pattern else hosts


@selector("os_compute_api:os-hypervisors:list")
def servers_by_host(ctx: RequestContext, *, hosts: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """Servers on each of these hosts, as `{"uuid", "name"}`."""
    found: dict[str, list[dict[str, str]]] = {name: [] for name in hosts}
    rows = Server.objects.filter(host_name__in=hosts).order_by("created_at", "pk")
    for ident, name, host in rows.values_list("pk", "name", "host_name"):
        found[host].append({"uuid": str(ident), "name": name})
    return found


@selector("os_compute_api:os-services:list")
def server_sums(ctx: RequestContext, *, servers: Sequence[Mapping[str, str]]) -> dict[str, tuple[int, int, int]]:
    """vCPUs, MiB and GiB that projects have in these servers."""
    rows = Server.objects.filter(pk__in=[one["uuid"] for one in servers]).values("project_id")
    sums = rows.annotate(cpu=Sum("vcpus"), ram=Sum("ram_mib"), disk=Sum("disk_gib")).order_by()
    return {row["project_id"]: (row["cpu"], row["ram"], row["disk"]) for row in sums}


@selector("os_compute_api:os-hypervisors:list")
def server_counts(ctx: RequestContext) -> dict[str, int]:
    """How many servers each host has."""
    rows = Server.objects.exclude(host_name="").values("host_name").annotate(number=Count("pk"))
    return {row["host_name"]: row["number"] for row in rows}


@selector("os_compute_api:os-services:list")
def compute_service_list(ctx: RequestContext, *, host: str = "") -> QuerySet[Host]:
    """Hosts, each of which is a `nova-compute`."""
    hosts = Host.objects.order_by("number")
    return hosts.filter(name=host) if host else hosts


@selector("os_compute_api:os-instance-usage-audit-log:list")
def audited_host_list(ctx: RequestContext) -> list[str]:
    """Names of all hosts."""
    return list(Host.objects.order_by("name").values_list("name", flat=True))


@selector("os_compute_api:os-availability-zone:list")
def zone_list(ctx: RequestContext) -> list[dict[str, Any]]:
    """Zones by name, and whether something can be placed there."""
    return [{"name": zone["name"], "available": zone["available"]} for zone in _zones()]


@selector("os_compute_api:os-availability-zone:detail")
def zone_detail(ctx: RequestContext) -> list[dict[str, Any]]:
    """The same with their hosts."""
    return _zones()


def _zones() -> list[dict[str, Any]]:
    zones: dict[str, dict[str, Any]] = {}
    for host in Host.objects.order_by("zone", "name"):
        zone = zones.setdefault(host.zone, {"name": host.zone, "available": False, "hosts": []})
        zone["hosts"].append(host)
        zone["available"] |= host.enabled and host.is_up
    return list(zones.values())


@selector("os_compute_api:extensions")
def extensions_check(ctx: RequestContext) -> None:
    """The list itself is the API's; only its rule is checked."""


@selector("os_compute_api:os-aggregates:index")
def aggregate_list(ctx: RequestContext) -> QuerySet[Aggregate]:
    """All aggregates."""
    return Aggregate.objects.order_by("pk")


@selector("os_compute_api:os-aggregates:show")
def aggregate_get(ctx: RequestContext, *, aggregate_id: str) -> Aggregate:
    """One aggregate. Raises NotFound."""
    text = str(aggregate_id)
    found = Aggregate.objects.filter(pk=int(text)).first() if text.isdigit() and int(text) < 2**63 else None
    if found is None:
        raise NotFound("Aggregate", aggregate_id)
    return found


def _used(start: datetime.datetime, stop: datetime.datetime) -> QuerySet[ServerAny]:
    """Servers that ran for some time between the two."""
    rows = ServerAny.objects.annotate(ended=Coalesce(F("deleted_at"), F("deleting_at")))
    return rows.filter(Q(ended=None) | Q(ended__gt=start), launched_at__isnull=False, launched_at__lt=stop)


def _after(rows: QuerySet[ServerAny], marker: str) -> QuerySet[ServerAny]:
    """A usage by project and id of the server, from the one after `marker` on. Raises Invalid."""
    ordered = rows.order_by("project_id", "id")
    if not marker:
        return ordered
    at = rows.filter(pk=key(marker)).first()
    if at is None:
        raise Invalid(f"marker [{marker}] not found", field="marker")
    return ordered.filter(Q(project_id__gt=at.project_id) | Q(project_id=at.project_id, id__gt=at.pk))


@selector("os_compute_api:os-simple-tenant-usage:list")
def usage_list(
    ctx: RequestContext, *, start: datetime.datetime, stop: datetime.datetime, marker: str = ""
) -> QuerySet[ServerAny]:
    """Servers of all projects that ran between two times, after the server `marker`. Raises Invalid."""
    return _after(_used(start, stop), marker)


@selector("os_compute_api:os-simple-tenant-usage:show")
def usage_get(
    ctx: RequestContext, *, project_id: str, start: datetime.datetime, stop: datetime.datetime, marker: str = ""
) -> QuerySet[ServerAny]:
    """The same for one project. Raises Forbidden for another's without being an administrator."""
    if project_id != ctx.project_id and not ctx.is_admin:
        raise Forbidden("Usage of another project is shown to administrators only.")
    return _after(_used(start, stop).filter(project_id=project_id), marker)
