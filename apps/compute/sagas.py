"""What long changes of servers do, step by step.

Creating: first what can refuse (a place, the network), then the host's disks and guest; undone from the end.
Changing power: one verb that makes the host match what the operation wants. Deleting only goes forward.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
from django.db.models import F
from django.db.models.functions import Now

from agents.contracts import (
    ConsoleLog,
    Diagnostics,
    Domain,
    DomainReady,
    EnsureDisks,
    Inventory,
    Power,
    ReadConsoleLog,
    ReadDiagnostics,
    RebootDomain,
    RebuildDisks,
    RemoveDisks,
    RemoveDomain,
    ReportInventory,
)
from apps.compute.models import Server, ServerDeleted, ServerGroup
from apps.compute.services.consoles import READ_LOG
from apps.compute.services.creating import CREATE
from apps.compute.services.diagnosing import DIAGNOSE
from apps.compute.services.inspecting import INSPECT
from apps.compute.services.interfaces import ATTACH, DETACH
from apps.compute.services.rebuilding import REBUILD
from apps.compute.services.servers import DELETE, database_time, locked_row, touched
from apps.compute.states import STATE_OF_POWER, WANTED_POWER, GroupPolicy, ServerState
from apps.core.errors import Conflict, NotFound
from apps.hosts import services as hosts
from apps.image.models import Image
from apps.image.selectors import image_source
from apps.network import services as network
from apps.operations.registry import QUEUE, Agent, Local, Saga, Wait, register
from apps.operations.view import Failure, Op

REPAIR = "compute.server.repair"
REMOVE = "compute.guest.remove"


PROJECTED_WITHIN_S = 60


def server_of(op: Op) -> Server:
    """The subject. Raises NotFound once it is gone."""
    found = Server.objects.filter(pk=op.subject_id).first()
    if found is None:
        raise NotFound("Instance", op.subject_id)
    return found


def placed_on(op: Op) -> str | None:
    """The subject's host; None skips a step that needs one."""
    return Server.objects.filter(pk=op.subject_id).values_list("host_name", flat=True).first() or None


# --- messages --------------------------------------------------------------------------------------


def disks_message(op: Op) -> EnsureDisks:
    """The image and the guest's own disks."""
    server = server_of(op)
    facts = server.flavor
    image = Image.objects.filter(pk=server.image_id).first() if server.image_id else None
    if image is None:
        raise Conflict(f"The image {server.image_id} was deleted before the disks were made.")
    return EnsureDisks(
        server_id=str(server.pk),
        generation=server.generation,
        image=image_source(image),
        root_gib=facts["disk"],
        ephemeral_gib=(facts["ephemeral"],) if facts["ephemeral"] else (),
        swap_mib=facts["swap"],
        config_drive=server.config_drive,
    )


def power_of(server: Server) -> Power:
    """The power a server should have now; where its state asks for none, what it was last seen in."""
    wanted = WANTED_POWER.get(ServerState(server.state))
    if wanted is not None:
        return wanted
    return Power(server.power) if Power(server.power) in STATE_OF_POWER else Power.SHUTOFF


def domain_message(power: Power | None = None) -> Callable[[Op], Domain]:
    """The whole guest, in the given power or in that which its state asks for."""

    def message(op: Op) -> Domain:
        server = server_of(op)
        facts = server.flavor
        return Domain(
            server_id=str(server.pk),
            generation=server.generation,
            operation_id=op.id,
            request_id=op.request_id,
            project_id=str(server.project_id),
            name=server.name,
            vcpus=server.vcpus,
            ram_mib=server.ram_mib,
            power=power or power_of(server),
            nics=network.server_nics(op.ctx, server_id=server.pk),
            config_drive=server.config_drive,
            firmware="uefi" if server.image["properties"].get("hw_firmware_type") == "uefi" else "bios",
            ephemeral_disks=1 if facts["ephemeral"] else 0,
            has_swap=facts["swap"] > 0,
        )

    return message


def remove_disks_message(op: Op) -> RemoveDisks:
    return RemoveDisks(server_id=op.subject_id)


def remove_domain_message(op: Op) -> RemoveDomain:
    return RemoveDomain(server_id=op.subject_id)


# --- creating --------------------------------------------------------------------------------------


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


def is_projected(op: Op) -> bool:
    return network.projected(server_id=op.subject_id)


def take_power(op: Op, reply: DomainReady) -> None:
    """Write what the host saw."""
    Server.objects.filter(pk=op.subject_id).update(power=reply.power)


def mark_created(op: Op) -> None:
    server = locked_row(op.subject_id)
    touched(server, state=ServerState.ACTIVE, fault=None, launched_at=Now(), one_time_sealed=None)


def mark_create_failed(op: Op, failure: Failure) -> None:
    server = _still(op)
    if server is None:
        return
    place = op.steps.get("place")
    decision = ((place.output or {}) if place else {}).get("decision", {})
    details = failure.traceback or decision.get("reason", "")
    touched(server, state=ServerState.ERROR, power=Power.MISSING, fault=fault_of(op, failure, details))


PLAIN = frozenset({"refused", "unsupported", "cancelled", "timeout"})  # failures whose words were written for people


def fault_of(op: Op, failure: Failure, details: str = "") -> dict[str, Any]:
    """A failure as the API's `fault`; `details` are for administrators, who may know hosts and tracebacks."""
    unknown = f"Something unexpected happened. Tell your administrator the request id {op.request_id}."
    where = f" (step {failure.step}{f' on {failure.host}' if failure.host else ''})" if failure.step else ""
    return {
        "code": 500,
        "created": database_time().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "message": failure.message if failure.kind in PLAIN and failure.message else unknown,
        "details": f"{details or failure.message}{where}",
    }


def _still(op: Op) -> Server | None:
    return Server.objects.select_for_update(no_key=True).filter(pk=op.subject_id).first()


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


# --- power -----------------------------------------------------------------------------------------


def settle(state: ServerState) -> Callable[[Op], None]:
    """The end of a change that worked: the state, and no fault."""

    def done(op: Op) -> None:
        server = _still(op)
        if server is None:
            return
        started = {"launched_at": Now()} if server.launched_at is None and state == ServerState.ACTIVE else {}
        touched(server, state=state, fault=None, **started)

    return done


def keep_fault(op: Op, failure: Failure) -> None:
    """The end of a change that failed: the guest is as the host last said, or in error where nobody knows."""
    server = _still(op)
    if server is None:
        return
    state = STATE_OF_POWER.get(Power(server.power), ServerState.ERROR)
    if server.state == ServerState.ERROR or failure.kind == "cancelled":
        state = ServerState(server.state)
    touched(server, state=state, fault=fault_of(op, failure, failure.traceback))


def _power(kind: str, title: str, power: Power, state: ServerState, task: str) -> Saga:
    return Saga(
        f"compute.server.{kind}",
        title=title,
        on_done=settle(state),
        on_failed=keep_fault,
        task_states={"": task},
        steps=(
            Agent(
                "domain",
                "compute.ensure_domain",
                target=placed_on,
                message=domain_message(power),
                reply=take_power,
                returns=DomainReady,
            ),
        ),
    )


SERVER_START = _power("start", "Start server", Power.RUNNING, ServerState.ACTIVE, "powering-on")
SERVER_STOP = _power("stop", "Stop server", Power.SHUTOFF, ServerState.SHUTOFF, "powering-off")
SERVER_PAUSE = _power("pause", "Pause server", Power.PAUSED, ServerState.PAUSED, "pausing")
SERVER_UNPAUSE = _power("unpause", "Unpause server", Power.RUNNING, ServerState.ACTIVE, "unpausing")
SERVER_SUSPEND = _power("suspend", "Suspend server", Power.SUSPENDED, ServerState.SUSPENDED, "suspending")
SERVER_RESUME = _power("resume", "Resume server", Power.RUNNING, ServerState.ACTIVE, "resuming")


def _reboot(kind: str, title: str, hard: bool, task: str) -> Saga:
    """A soft reboot asks the guest; a hard one makes its machine match again first, and so starts it from any state."""
    act = Agent(
        "reboot",
        "compute.reboot_domain",
        target=placed_on,
        message=lambda op: RebootDomain(server_id=op.subject_id, hard=hard),
        reply=take_power,
        returns=DomainReady,
    )
    match = Agent(
        "domain",
        "compute.ensure_domain",
        target=placed_on,
        message=domain_message(Power.RUNNING),
        reply=take_power,
        returns=DomainReady,
    )
    return Saga(
        f"compute.server.{kind}",
        title=title,
        on_done=settle(ServerState.ACTIVE),
        on_failed=keep_fault,
        task_states={"": task},
        steps=(match, act) if hard else (act,),
    )


SERVER_REBOOT = _reboot("reboot", "Reboot server", False, "rebooting")
SERVER_REBOOT_HARD = _reboot("reboot_hard", "Hard reboot server", True, "rebooting_hard")


# --- rebuilding ------------------------------------------------------------------------------------


def stop_message(op: Op) -> Domain:
    """The guest switched off: asked first where disks are kept that it may be writing to."""
    message = domain_message(Power.SHUTOFF)(op)
    return message if op.input["keep_ephemeral"] else msgspec.structs.replace(message, hard_stop_after_s=0)


def rebuild_message(op: Op) -> RebuildDisks:
    """The same disks as at creation, from the image that the server has now."""
    wanted = msgspec.to_builtins(disks_message(op))
    return msgspec.convert(wanted | {"keep_ephemeral": op.input["keep_ephemeral"]}, RebuildDisks)


def rebuilt_message(op: Op) -> Domain:
    """The guest from its new disk; one that was off stays off."""
    off = op.input["from"] == ServerState.SHUTOFF
    return domain_message(Power.SHUTOFF if off else Power.RUNNING)(op)


def mark_rebuilt(op: Op) -> None:
    server = _still(op)
    if server is None:
        return
    off = op.input["from"] == ServerState.SHUTOFF
    state = ServerState.SHUTOFF if off else ServerState.ACTIVE
    touched(server, state=state, fault=None, launched_at=Now(), one_time_sealed=None)


def keep_image(op: Op, failure: Failure) -> None:
    """The end of a rebuild that failed before the disk was replaced: the server has the image it had."""
    server = _still(op)
    if server is not None:
        touched(server, **op.input["before"], one_time_sealed=None)
        keep_fault(op, failure)


SERVER_REBUILD = Saga(
    REBUILD,
    title="Rebuild server",
    on_done=mark_rebuilt,
    on_failed=keep_image,
    task_states={
        "": "rebuilding",
        "stop": "rebuilding",
        "disks": "rebuild_block_device_mapping",
        "domain": "rebuild_spawning",
    },
    steps=(
        Agent(
            "stop",
            "compute.ensure_domain",
            target=placed_on,
            message=stop_message,
            reply=take_power,
            returns=DomainReady,
        ),
        Agent("disks", "compute.rebuild_disks", target=placed_on, message=rebuild_message, long=True, commits=True),
        Agent(
            "domain",
            "compute.ensure_domain",
            target=placed_on,
            message=rebuilt_message,
            reply=take_power,
            returns=DomainReady,
        ),
    ),
)


# --- deleting --------------------------------------------------------------------------------------


def release_network(op: Op) -> None:
    network.server_ports_release(op.ctx, server_id=op.subject_id)


def release_claim(op: Op) -> None:
    hosts.release(op.ctx, consumer_id=op.subject_id)


def bury(op: Op) -> None:
    """Move the row to the tombstones."""
    server = _still(op)
    if server is None:
        return
    kept = [f.attname for f in ServerDeleted._meta.concrete_fields if f.attname != "deleted_at"]
    columns = {name: getattr(server, name) for name in kept} | {
        "state": ServerState.DELETED,
        "power": Power.MISSING,
        "user_data_sealed": None,
        "one_time_sealed": None,
        "updated_at": Now(),
    }
    ServerDeleted.objects.create(**columns)
    server.delete()


SERVER_DELETE = Saga(
    DELETE,
    title="Delete server",
    forward_only=True,
    cancellable=False,
    task_states={"": "deleting"},
    steps=(
        Agent("domain", "compute.remove_domain", target=placed_on, message=remove_domain_message),
        Agent("disks", "compute.remove_disks", target=placed_on, message=remove_disks_message),
        Local("network", do=release_network),
        Local("claim", do=release_claim),
        Local("bury", do=bury),
    ),
)


# --- interfaces ------------------------------------------------------------------------------------


def bind_new_port(op: Op) -> None:
    server = locked_row(op.subject_id)
    network.server_ports_bind(op.ctx, server_id=server.pk, host=server.host_name)


def release_port(op: Op) -> None:
    network.server_port_release(op.ctx, server_id=op.subject_id, port_id=op.input["port_id"])


def unplug_message(op: Op) -> Domain:
    """The guest without the port that goes."""
    message = domain_message()(op)
    kept = tuple(nic for nic in message.nics if nic.port_id != op.input["port_id"])
    return Domain(**{name: getattr(message, name) for name in message.__struct_fields__} | {"nics": kept})


def _domain_step(message: Callable[[Op], Domain]) -> Agent:
    return Agent(
        "domain", "compute.ensure_domain", target=placed_on, message=message, reply=take_power, returns=DomainReady
    )


def drop_port(op: Op, failure: Failure) -> None:
    """The port was taken before the first step, so it is given back after the last undo."""
    if Server.objects.filter(pk=op.subject_id).exists():
        with contextlib.suppress(NotFound):
            release_port(op)


SERVER_ATTACH = Saga(
    ATTACH,
    title="Attach interface",
    when_busy=QUEUE,
    on_failed=drop_port,
    steps=(
        Local("port", do=bind_new_port),
        Wait("network", is_projected, deadline_s=PROJECTED_WITHIN_S),
        Agent(
            "domain",
            "compute.ensure_domain",
            "compute.ensure_domain",
            target=placed_on,
            message=domain_message(),
            undo_message=unplug_message,
            reply=take_power,
            returns=DomainReady,
        ),
    ),
)
SERVER_DETACH = Saga(
    DETACH,
    title="Detach interface",
    when_busy=QUEUE,
    forward_only=True,
    steps=(_domain_step(unplug_message), Local("port", do=release_port)),
)


# --- repair ----------------------------------------------------------------------------------------


def raise_generation(op: Op) -> None:
    Server.objects.filter(pk=op.subject_id).update(generation=F("generation") + 1)


SERVER_REPAIR = Saga(
    REPAIR,
    title="Repair server",
    on_failed=keep_fault,
    steps=(
        Local("generation", do=raise_generation),
        _domain_step(domain_message()),
    ),
)


GUEST_REMOVE = Saga(
    REMOVE,
    title="Remove a guest that is left over",
    forward_only=True,
    cancellable=False,
    locks=None,
    steps=(
        Agent("domain", "compute.remove_domain", target=lambda op: op.input["host"], message=remove_domain_message),
        Agent("disks", "compute.remove_disks", target=lambda op: op.input["host"], message=remove_disks_message),
    ),
)
HOST_INSPECT = Saga(
    INSPECT,
    title="Inspect host",
    tries=1,
    steps=(
        Agent(
            "report",
            "inventory.report",
            target=lambda op: op.subject_id,
            message=lambda op: ReportInventory(asked_at=op.input["asked_at"]),
            returns=Inventory,
            deadline_s=30,
        ),
    ),
)


# --- reading -----------------------------------------------------------------------------------


CONSOLE_LOG_READ = Saga(
    READ_LOG,
    title="Read console log",
    tries=1,
    steps=(
        Agent(
            "read",
            "compute.read_console_log",
            target=lambda op: op.input["host"],
            message=lambda op: ReadConsoleLog(server_id=op.subject_id, lines=op.input["lines"]),
            returns=ConsoleLog,
            deadline_s=30,
        ),
    ),
)

SERVER_DIAGNOSE = Saga(
    DIAGNOSE,
    title="Read diagnostics",
    tries=1,
    steps=(
        Agent(
            "read",
            "compute.read_diagnostics",
            target=lambda op: op.input["host"],
            message=lambda op: ReadDiagnostics(server_id=op.subject_id),
            returns=Diagnostics,
            deadline_s=30,
        ),
    ),
)

register(
    SERVER_CREATE,
    SERVER_START,
    SERVER_STOP,
    SERVER_PAUSE,
    SERVER_UNPAUSE,
    SERVER_SUSPEND,
    SERVER_RESUME,
    SERVER_REBOOT,
    SERVER_REBOOT_HARD,
    SERVER_REBUILD,
    SERVER_DELETE,
    SERVER_ATTACH,
    SERVER_DETACH,
    SERVER_REPAIR,
    GUEST_REMOVE,
    HOST_INSPECT,
    CONSOLE_LOG_READ,
    SERVER_DIAGNOSE,
)
