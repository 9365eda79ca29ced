"""Creating a server: first what can refuse (a place, the network), then disks and guest; undone from the end."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now

from agents.contracts import DomainReady, Power
from apps.compute.models import Server, ServerGroup
from apps.compute.sagas.common import (
    PROJECTED_WITHIN_S,
    disks_message,
    domain_message,
    fault_of,
    is_projected,
    placed_on,
    remove_disks_message,
    remove_domain_message,
    still,
    take_power,
)
from apps.compute.services.creating import CREATE
from apps.compute.services.servers import locked_row, touched
from apps.compute.states import GroupPolicy, ServerState
from apps.core.errors import Conflict
from apps.hosts import services as hosts
from apps.network import services as network
from apps.operations.registry import Agent, Local, Saga, Wait
from apps.operations.view import Failure, Op


def claim_place(op: Op) -> dict[str, Any]:
    """Claim capacity. Where no host has it, the decision is the step's output and the next step refuses, so that
    the record of how nothing was found is kept."""
    server = locked_row(op.subject_id)
    host, exclude = _group_wish(server)
    host, exclude = _hint_wish(server, host, exclude)
    try:
        with_room, decision = hosts.claim(
            op.ctx,
            consumer_id=server.pk,
            project_id=str(server.project_id),
            vcpus=server.vcpus,
            ram_mib=server.ram_mib,
            disk_gib=server.disk_gib,
            zone=server.wanted_zone,
            host=server.wanted_host or host,
            exclude=exclude,
        )
    except hosts.NoValidHost as refused:
        return {"host": "", "decision": refused.decision}
    touched(server, host_name=with_room.name, zone=with_room.zone)
    return {"host": with_room.name, "decision": decision}


def _group_wish(server: Server) -> tuple[str, set[str]]:
    """The host on which, and hosts on which not, the server's group wants it. Members are placed one at a time."""
    if server.group_id is None:
        return "", set()
    group = ServerGroup.objects.select_for_update(no_key=True).filter(pk=server.group_id).first()
    if group is None:
        return "", set()
    members = Server.objects.filter(group_id=group.pk, deleting_at=None).exclude(pk=server.pk).exclude(host_name="")
    names = list(members.values_list("host_name", flat=True))
    if group.policy == GroupPolicy.AFFINITY:
        return (names[0] if names else ""), set()
    if group.policy == GroupPolicy.ANTI_AFFINITY:
        most = group.rules.get("max_server_per_host", 1)
        return "", {name for name in names if names.count(name) >= most}
    return "", set()


def _hint_wish(server: Server, host: str, exclude: set[str]) -> tuple[str, set[str]]:
    hints = server.scheduler_hints
    exclude = exclude | set(_hosts_of(hints.get("different_host")))
    if hints.get("same_host"):
        same = _hosts_of(hints["same_host"])
        host = host or (same[0] if same else "")
    return host, exclude


def _hosts_of(idents: str | list[str] | None) -> list[str]:
    wanted = [idents] if isinstance(idents, str) else list(idents or ())
    rows = Server.objects.filter(pk__in=wanted).exclude(host_name="")
    return list(rows.values_list("host_name", flat=True))


def release_place(op: Op) -> None:
    hosts.release(op.ctx, consumer_id=op.subject_id)
    Server.objects.filter(pk=op.subject_id).update(host_name="", zone="", updated_at=Now())


def no_valid_host(decision: dict[str, Any]) -> str:
    """For the owner: how many hosts each check left, without the names of hosts."""
    left = ", ".join(f"{check['check']} {check['left']}" for check in decision.get("checks", ()))
    return "No valid host was found. " + (f"Hosts left after each check: {left}." if left else "There is no host.")


def bind_ports(op: Op) -> None:
    place = op.outputs["place"]
    if not place["host"]:
        raise Conflict(no_valid_host(place["decision"]))
    network.server_ports_bind(op.ctx, server_id=op.subject_id, host=place["host"])


def unbind_ports(op: Op) -> None:
    network.server_ports_unbind(op.ctx, server_id=op.subject_id)


def mark_created(op: Op) -> None:
    server = locked_row(op.subject_id)
    touched(server, state=ServerState.ACTIVE, fault=None, launched_at=Now(), one_time_sealed=None)


def mark_create_failed(op: Op, failure: Failure) -> None:
    server = still(op)
    if server is None:
        return
    place = op.steps.get("place")
    decision = ((place.output or {}) if place else {}).get("decision", {})
    details = failure.traceback or decision.get("reason", "")
    touched(server, state=ServerState.ERROR, power=Power.MISSING, fault=fault_of(op, failure, details))


SERVER_CREATE = Saga(
    CREATE,
    title="Launch server",
    on_done=mark_created,
    on_failed=mark_create_failed,
    task_states={
        "place": "scheduling",
        "ports": "networking",
        "network": "networking",
        "disks": "block_device_mapping",
        "domain": "spawning",
        "": "spawning",
    },
    steps=(
        Local("place", do=claim_place, undo=release_place),
        Local("ports", do=bind_ports, undo=unbind_ports),
        Wait("network", is_projected, deadline_s=PROJECTED_WITHIN_S),
        Agent(
            "disks",
            "compute.ensure_disks",
            "compute.remove_disks",
            target=placed_on,
            message=disks_message,
            undo_message=remove_disks_message,
            long=True,
        ),
        Agent(
            "domain",
            "compute.ensure_domain",
            "compute.remove_domain",
            target=placed_on,
            message=domain_message(Power.RUNNING),
            undo_message=remove_domain_message,
            reply=take_power,
            returns=DomainReady,
        ),
    ),
)
