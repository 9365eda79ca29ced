"""SQL expressions for what a server shows from other tables, so that a list of servers is one query."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.aggregates import JSONBAgg
from django.db.models import Case, CharField, F, Func, JSONField, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Cast, Coalesce, Concat, JSONObject

from apps.core.context import RequestContext
from apps.hosts.models import Host
from apps.network.models import FixedIp, FloatingIp, PortGroup
from apps.operations.models import Operation
from apps.operations.selectors import active_on


def _running() -> QuerySet[Operation]:
    return active_on("server", Cast(OuterRef("pk"), CharField()))


def task() -> Subquery:
    """`kind/step` of what each server is busy with, or null."""
    return Subquery(_running().annotate(at=Concat("kind", Value("/"), "cursor")).values("at"))


def progress() -> Subquery:
    """Percent of what each server is busy with, or null."""
    return Subquery(_running().values("percent"))


def zone() -> Case:
    """The zone it is in, or before it is placed the zone it asked for."""
    return Case(When(zone="", then=F("wanted_zone")), default=F("zone"), output_field=CharField())


def _host_state(ctx: RequestContext) -> Subquery:
    return Subquery(Host.objects.filter(name=OuterRef("host_name")).values("state")[:1])


def _together(rows: QuerySet[Any], order: tuple[str, ...]) -> Subquery:
    """All rows' `shown` as one JSON list, or null."""
    listed = rows.order_by().annotate(_all=Value(1)).values("_all").annotate(found=JSONBAgg("shown", order_by=order))
    return Subquery(listed.values("found"))


def _address(rows: QuerySet[Any], port: str, address: str, kind: str, version: Any) -> QuerySet[Any]:
    return rows.annotate(
        shown=JSONObject(
            network_id=F(f"{port}network_id"),
            network_name=F(f"{port}network__name"),
            port_id=F(f"{port}pk"),
            mac=F(f"{port}mac_address"),
            ip=Func(F(address), function="host", output_field=CharField()),
            version=version,
            type=Value(kind),
        )
    )


def server_addresses() -> Func:
    """Addresses of each server: fixed ones in the order of its interfaces, then floating ones."""
    of_server = {"port__device_id": Cast(OuterRef("pk"), CharField()), "port__device_owner__startswith": "compute:"}
    fixed = _address(FixedIp.objects.filter(**of_server), "port__", "address", "fixed", F("subnet__ip_version"))
    floating = _address(FloatingIp.objects.filter(**of_server), "port__", "floating_ip_address", "floating", Value(4))
    empty = Value([], output_field=JSONField())
    return Func(
        Coalesce(_together(fixed, ("port__nic_index", "port__created_at", "pk")), Cast(empty, JSONField())),
        Coalesce(_together(floating, ("created_at", "pk")), Cast(empty, JSONField())),
        template="(%(expressions)s)",
        arg_joiner=" || ",
        output_field=JSONField(),
    )


def security_groups_of_server() -> Subquery:
    """Groups of each server's ports as `{"id", "name"}`, each once."""
    groups = PortGroup.objects.filter(
        port__device_id=Cast(OuterRef("pk"), CharField()), port__device_owner__startswith="compute:"
    ).annotate(shown=JSONObject(id=F("security_group_id"), name=F("security_group__name")))
    listed = groups.order_by().annotate(_all=Value(1)).values("_all")
    return Subquery(listed.annotate(found=JSONBAgg("shown", distinct=True)).values("found"))


SERVER_ANNOTATIONS: dict[str, Any] = {
    "task": lambda ctx: task(),
    "percent": lambda ctx: progress(),
    "zone_shown": lambda ctx: zone(),
    "host_state": _host_state,
    "addresses_json": lambda ctx: server_addresses(),
    "groups_json": lambda ctx: security_groups_of_server(),
}
