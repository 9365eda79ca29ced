"""What the overview shows of a project, each part by the selectors of its app."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from apps.compute import selectors as compute
from apps.compute import services as compute_services
from apps.compute.models import Server
from apps.compute.states import ServerState
from apps.core.context import RequestContext
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


def quotas(ctx: RequestContext) -> list[Bar]:
    """The quotas that people meet first."""
    project = ctx.project_id
    limits = identity.limits_of(ctx, project_id=project, service="compute")
    used = compute_services.usage_of(ctx, project_id=project)
    net = identity.limits_of(ctx, project_id=project, service="network")
    ram = limits["ram"]
    return [
        Bar(_("Servers"), used["instances"], limits["instances"]),
        Bar(_("vCPUs"), used["cores"], limits["cores"]),
        Bar(_("Memory"), round(used["ram"] / MIB_OF_GIB, 1), ram if ram < 0 else round(ram / MIB_OF_GIB, 1), "GiB"),
        *(
            Bar(label, rows(ctx).filter(project_id=project).count(), net[name])
            for name, label, rows in (
                ("network", _("Networks"), network.network_list),
                ("floatingip", _("Floating IPs"), network.floatingip_list),
                ("security_group", _("Security groups"), network.security_group_list),
            )
        ),
    ]


def server_counts(ctx: RequestContext) -> dict[str, int]:
    """Servers of the project by state; only states that occur."""
    rows = compute.server_list(ctx).values_list("state").annotate(n=Count("pk")).order_by()
    found = {state: n for state, n in rows if n}
    return {state.value: found[state] for state in ServerState if state in found}


def recent_servers(ctx: RequestContext) -> list[Server]:
    """The newest servers."""
    return list(compute.server_list(ctx).order_by("-created_at", "-pk")[:RECENT])


def running(ctx: RequestContext) -> list[Operation]:
    """What the project is busy with, and what it did last."""
    mine = operations.operation_list(ctx).filter(project_id=ctx.project_id, parent_id=None)
    mine = mine.exclude(subject_type="console_log")  # a read that passes through the engine
    return list(mine.order_by("-created_at", "-pk")[:RECENT])


def attention(ctx: RequestContext) -> list[Operation]:
    """What went wrong lately, or waits for a person."""
    mine = operations.operation_list(ctx).filter(project_id=ctx.project_id, parent_id=None)
    since = timezone.now() - timedelta(days=ATTENTION_DAYS)
    stuck = mine.filter(status=Status.STUCK)
    failed = mine.filter(status=Status.FAILED, finished_at__gte=since)
    return list((stuck | failed).order_by("-created_at")[:RECENT])


def next_steps(ctx: RequestContext) -> dict[str, bool]:
    """What a project without servers still lacks."""
    return {
        "key": not compute.key_pair_list(ctx).exists(),
        "network": not network.network_list(ctx).filter(project_id=ctx.project_id).exists(),
    }


def cloud(ctx: RequestContext) -> dict[str, int]:
    """For operators: hosts that answer, and operations that are unfinished or stuck anywhere."""
    up = Count("pk", filter=Q(state=HostState.UP, forced_down=False))
    stuck = Count("pk", filter=Q(status=Status.STUCK))
    unfinished = operations.operation_list(ctx).filter(status__in=UNFINISHED)
    return {
        **hosts.host_list(ctx).order_by().aggregate(hosts=Count("pk"), hosts_up=up),
        **unfinished.order_by().aggregate(unfinished=Count("pk"), stuck=stuck),
    }
