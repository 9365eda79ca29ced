"""What several sagas of servers share: the subject, messages to its host, and ends of an operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models.functions import Now

from agents.contracts import Domain, DomainReady, EnsureDisks, Power, RemoveDisks, RemoveDomain
from apps.compute.models import Server
from apps.compute.services.servers import touched
from apps.compute.states import STATE_OF_POWER, WANTED_POWER, ServerState
from apps.core.clock import database_time
from apps.core.errors import Conflict, NotFound
from apps.image.models import Image
from apps.image.selectors import image_source
from apps.network import services as network
from apps.operations.registry import Agent
from apps.operations.view import Failure, Op

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


# --- ends ------------------------------------------------------------------------------------------


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


def still(op: Op) -> Server | None:
    return Server.objects.select_for_update(no_key=True).filter(pk=op.subject_id).first()


def settle(state: ServerState) -> Callable[[Op], None]:
    """The end of a change that worked: the state, and no fault."""

    def done(op: Op) -> None:
        server = still(op)
        if server is None:
            return
        started = {"launched_at": Now()} if server.launched_at is None and state == ServerState.ACTIVE else {}
        touched(server, state=state, fault=None, **started)

    return done


def keep_fault(op: Op, failure: Failure) -> None:
    """The end of a change that failed: the guest is as the host last said, or in error where nobody knows."""
    server = still(op)
    if server is None:
        return
    state = STATE_OF_POWER.get(Power(server.power), ServerState.ERROR)
    if server.state == ServerState.ERROR or failure.kind == "cancelled":
        state = ServerState(server.state)
    touched(server, state=state, fault=fault_of(op, failure, failure.traceback))


# --- steps -----------------------------------------------------------------------------------------


def is_projected(op: Op) -> bool:
    return network.projected(server_id=op.subject_id)


def take_power(op: Op, reply: DomainReady) -> None:
    """Write what the host saw."""
    Server.objects.filter(pk=op.subject_id).update(power=reply.power)


def domain_step(message: Callable[[Op], Domain]) -> Agent:
    return Agent(
        "domain", "compute.ensure_domain", target=placed_on, message=message, reply=take_power, returns=DomainReady
    )
