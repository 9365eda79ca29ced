"""Changing power: one verb that makes the host match what the operation wants."""

from __future__ import annotations

from agents.contracts import DomainReady, Power, RebootDomain
from apps.compute.sagas.common import domain_message, keep_fault, placed_on, settle, take_power
from apps.compute.states import ServerState
from apps.operations.registry import Agent, Saga


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
