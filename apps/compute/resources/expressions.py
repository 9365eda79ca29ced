"""SQL expressions for what a server shows from other tables, so that a list of servers is one query."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, CharField, F, Func, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Cast, Concat

from apps.core.context import RequestContext
from apps.hosts.models import Host
from apps.network import selectors as network
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


def server_addresses() -> Func:
    """Addresses of each server, as the network tells them."""
    return network.server_addresses(F("pk"))


SERVER_ANNOTATIONS: dict[str, Any] = {
    "task": lambda ctx: task(),
    "percent": lambda ctx: progress(),
    "zone_shown": lambda ctx: zone(),
    "host_state": _host_state,
    "addresses_json": lambda ctx: server_addresses(),
    "group_names": lambda ctx: network.security_groups_of_server(F("pk")),
}
