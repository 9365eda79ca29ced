"""What the overview shows of a project, each part by the selectors of its app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet, Value
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.compute import selectors as compute
from apps.compute import services as compute_services
from apps.compute.models import Server
from apps.compute.states import ServerState
from apps.core import policy
from apps.core.context import RequestContext
from apps.core.counting import count_each
from apps.hosts import selectors as hosts
from apps.hosts.states import HostState
from apps.identity import services as identity
from apps.network import selectors as network
from apps.operations import selectors as operations
from apps.operations.models import Operation
from apps.operations.states import UNFINISHED, Status

RECENT = 6
ATTENTION_DAYS = 7
MIB_OF_GIB = 1024


@dataclass(frozen=True, slots=True)
class Bar:
    """One quota: what is used of what limit, -1 for unlimited."""

    label: Any
    used: float
    limit: float
    unit: str = ""


def counts(ctx: RequestContext) -> dict[str, int]:
    """How many of what the project has, besides servers; and what operators watch, where the caller is one."""
    mine = {"project_id": ctx.project_id}
    rows: dict[str, QuerySet[Any]] = {
        "network": network.network_list(ctx).filter(**mine),
        "floatingip": network.floatingip_list(ctx).filter(**mine),
        "security_group": network.security_group_list(ctx).filter(**mine),
        "key_pair": compute.key_pair_list(ctx),
    }
    if policy.allowed(ctx, "hosts:list"):
        everything = operations.operation_list(ctx)
        rows |= {
            "hosts": hosts.host_list(ctx),
            "hosts_up": hosts.host_list(ctx).filter(state=HostState.UP, forced_down=False),
            "unfinished": everything.filter(status__in=UNFINISHED),
            "stuck": everything.filter(status=Status.STUCK),
        }
    return count_each(**rows)


def quotas(ctx: RequestContext, has: Mapping[str, int]) -> list[Bar]:
    """The quotas that people meet first; `has` is what `counts` found."""
    project = ctx.project_id
    limits = identity.limits_of(ctx, project_id=project, service="compute")
    used = compute_services.server_usage_of(ctx, project_id=project)
    net = identity.limits_of(ctx, project_id=project, service="network")
    ram = limits["ram"]
    return [
        Bar(_("Servers"), used["instances"], limits["instances"]),
        Bar(_("vCPUs"), used["cores"], limits["cores"]),
        Bar(_("Memory"), round(used["ram"] / MIB_OF_GIB, 1), ram if ram < 0 else round(ram / MIB_OF_GIB, 1), "GiB"),
        Bar(_("Networks"), has["network"], net["network"]),
        Bar(_("Floating IPs"), has["floatingip"], net["floatingip"]),
        Bar(_("Security groups"), has["security_group"], net["security_group"]),
    ]


def server_counts(ctx: RequestContext) -> dict[str, int]:
    """Servers of the project by state; only states that occur."""
    rows = compute.server_list(ctx).values_list("state").annotate(n=Count("pk")).order_by()
    found = {state: n for state, n in rows if n}
    return {state.value: found[state] for state in ServerState if state in found}


def recent_servers(ctx: RequestContext) -> list[Server]:
    """The newest servers."""
    return list(compute.server_list(ctx).order_by("-created_at", "-pk")[:RECENT])


def tasks(ctx: RequestContext) -> tuple[list[Operation], list[Operation]]:
    """What went wrong lately or waits for a person, and what the project does and did last; one query."""
    mine = operations.operation_list(ctx).filter(project_id=ctx.project_id, parent_id=None)
    shown = mine.exclude(subject_type="console_log")  # a read that passes through the engine
    since = timezone.now() - timedelta(days=ATTENTION_DAYS)
    bad = mine.filter(Q(status=Status.STUCK) | Q(status=Status.FAILED, finished_at__gte=since))
    newest = [
        rows.annotate(part=Value(part)).order_by("-created_at", "-pk")[:RECENT]
        for part, rows in (("bad", bad), ("latest", shown))
    ]
    found: dict[str, list[Operation]] = {"bad": [], "latest": []}
    for row in newest[0].union(newest[1], all=True):
        found[row.part].append(row)
    for rows in found.values():
        rows.sort(key=lambda row: (row.created_at, row.pk), reverse=True)
    return found["bad"], found["latest"]
