"""Reading what hangs on a server and lies in other apps: ports, groups, operations."""

from __future__ import annotations

import datetime
from typing import Any

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce

from apps.compute.models import Server
from apps.compute.selectors._common import key, one, server_for, server_or_tombstone
from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector
from apps.network import selectors as network
from apps.network.models import Port, SecurityGroup, SecurityGroupRule
from apps.operations.models import Operation, Step


@selector("os_compute_api:ips:index")
def server_address_list(ctx: RequestContext, *, server_id: str) -> list[dict[str, Any]]:
    """Addresses of a server as the network tells them."""
    server = server_for(ctx, server_id, "os_compute_api:ips:index")
    rows = Server.objects.filter(pk=server.pk).annotate(found=network.server_addresses(F("pk")))
    return rows.values_list("found", flat=True).get() or []


@selector("os_compute_api:os-security-groups:list")
def server_security_group_list(ctx: RequestContext, *, server_id: str) -> list[dict[str, Any]]:
    """Security groups of a server's ports, as the older API shows groups."""
    server = server_for(ctx, server_id, "os_compute_api:os-security-groups:list")
    groups = SecurityGroup.objects.filter(ports__in=_ports(server)).distinct().order_by("created_at", "pk")
    return [older_group(group) for group in groups.prefetch_related("rules__remote_group")]


def older_group(group: SecurityGroup) -> dict[str, Any]:
    """A security group as the API before 2.36 shows it: ingress rules only."""
    rules = [rule for rule in group.rules.all() if rule.direction == "ingress"]
    return {
        "id": str(group.pk),
        "name": group.name,
        "description": group.description,
        "tenant_id": str(group.project_id),
        "rules": [older_rule(rule, group) for rule in rules],
    }


def older_rule(rule: SecurityGroupRule, group: SecurityGroup) -> dict[str, Any]:
    """One of its rules; a rule that names another group shows its name, one for everywhere its prefix."""
    shown: dict[str, Any] = {
        "id": str(rule.pk),
        "parent_group_id": str(group.pk),
        "ip_protocol": rule.protocol,
        "from_port": rule.port_range_min if rule.port_range_min is not None or not rule.protocol else -1,
        "to_port": rule.port_range_max if rule.port_range_max is not None or not rule.protocol else -1,
        "group": {},
        "ip_range": {},
    }
    if rule.remote_group_id:
        other = rule.remote_group
        assert other is not None
        shown["group"] = {"name": other.name, "tenant_id": str(other.project_id)}
    else:
        anywhere = "0.0.0.0/0" if rule.ethertype == "IPv4" else "::/0"
        shown["ip_range"] = {"cidr": str(rule.remote_ip_prefix or anywhere)}
    return shown


def _ports(server: Server) -> QuerySet[Port]:
    ports = Port.objects.filter(server_id=server.pk)
    return ports.prefetch_related("fixed_ips").order_by("nic_index", "created_at", "pk")


@selector("os_compute_api:os-attach-interfaces:list")
def server_interface_list(ctx: RequestContext, *, server_id: str) -> tuple[Server, list[Port]]:
    """A server and its ports, in order."""
    server = server_for(ctx, server_id, "os_compute_api:os-attach-interfaces:list")
    return server, list(_ports(server))


@selector("os_compute_api:os-attach-interfaces:show")
def server_interface_get(ctx: RequestContext, *, server_id: str, port_id: str) -> tuple[Server, Port]:
    """A server and one of its ports. Raises NotFound."""
    server = server_for(ctx, server_id, "os_compute_api:os-attach-interfaces:show")
    return server, one(_ports(server).filter(pk=key(port_id)), "Port", port_id)


def _operations(ctx: RequestContext, server_id: str, rule: str, with_deleted: bool) -> QuerySet[Operation]:
    find = server_or_tombstone if with_deleted else server_for
    server = find(ctx, server_id, rule)
    return Operation.objects.filter(subject_type="server", subject_id=str(server.pk)).order_by("-created_at", "-id")


@selector("os_compute_api:os-instance-actions:list")
def server_action_list(
    ctx: RequestContext,
    *,
    server_id: str,
    with_deleted: bool = False,
    changes_since: datetime.datetime | None = None,
    changes_before: datetime.datetime | None = None,
) -> QuerySet[Operation]:
    """Operations of a server, newest first."""
    rows = _operations(ctx, server_id, "os_compute_api:os-instance-actions:list", with_deleted)
    rows = rows.annotate(_changed=Coalesce(F("updated_at"), F("created_at")))
    query = Q()
    if changes_since:
        query &= Q(_changed__gte=changes_since)
    if changes_before:
        query &= Q(_changed__lte=changes_before)
    return rows.filter(query)


@selector("os_compute_api:os-instance-actions:show")
def server_action_get(
    ctx: RequestContext, *, server_id: str, request_id: str, with_deleted: bool = False
) -> tuple[Operation, list[Step]]:
    """The operation that a request started, with its steps. Raises NotFound."""
    rows = _operations(ctx, server_id, "os_compute_api:os-instance-actions:show", with_deleted)
    found = rows.filter(request_id=request_id).first()
    if found is None:
        raise NotFound(f"Action for request_id {request_id} on instance", server_id)
    return found, list(found.steps.order_by("id"))


@selector("os_compute_api:servers:show")
def server_decision_get(ctx: RequestContext, *, server_id: str) -> dict[str, Any]:
    """How the place of a server was chosen: what was wanted and how many hosts each check left.

    Whoever may see the hosts of servers gets the whole record, with names of hosts and what was nearest. Empty
    before it was tried. Raises NotFound.
    """
    server = server_for(ctx, server_id, "os_compute_api:servers:show")
    steps = Step.objects.filter(
        operation__subject_type="server", operation__subject_id=str(server.pk), name="place", output__isnull=False
    )
    output = steps.order_by("-pk").values_list("output", flat=True).first() or {}
    decision = output.get("decision", {})
    if policy.allowed(ctx, "os_compute_api:os-extended-server-attributes"):
        return decision
    checks = [{"check": check["check"], "left": check["left"]} for check in decision.get("checks", ())]
    return {"wanted": decision.get("wanted", {}), "checks": checks, "found": bool(decision.get("chosen"))}
