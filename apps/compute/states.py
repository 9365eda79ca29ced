"""States of servers, which action is possible in which, and how the API spells them.

What a server is busy with is no state: it is the running operation, shown as `OS-EXT-STS:task_state`.
"""

from __future__ import annotations

import functools
from enum import StrEnum

from agents.contracts import Power


class ServerState(StrEnum):
    """What a server is when nothing happens to it (Nova's vm_state)."""

    BUILDING = "building"
    ACTIVE = "active"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    SHUTOFF = "shutoff"
    ERROR = "error"
    DELETED = "deleted"  # tombstones only


class KeyType(StrEnum):
    """Kinds of key pair."""

    SSH = "ssh"
    X509 = "x509"


class GroupPolicy(StrEnum):
    """Where members of a server group may stand in relation to each other."""

    AFFINITY = "affinity"
    ANTI_AFFINITY = "anti-affinity"
    SOFT_AFFINITY = "soft-affinity"
    SOFT_ANTI_AFFINITY = "soft-anti-affinity"


class ConsoleKind(StrEnum):
    """What a console shows."""

    VNC = "vnc"
    SERIAL = "serial"


# The API's `OS-EXT-STS:vm_state` where it is another word.
VM_STATES = {state: state.value for state in ServerState} | {ServerState.SHUTOFF: "stopped"}
BY_VM_STATE = {word: state for state, word in VM_STATES.items()}

# The API's `status`; while a task runs it may be another (below).
STATUSES = {state: state.value.upper() for state in ServerState} | {ServerState.BUILDING: "BUILD"}
BY_STATUS = {word: state for state, word in STATUSES.items()}
TASK_STATUSES = {
    (ServerState.ACTIVE, "rebooting"): "REBOOT",
    (ServerState.ACTIVE, "rebooting_hard"): "HARD_REBOOT",
} | {
    (state, task): "REBUILD"
    for state in (ServerState.ACTIVE, ServerState.SHUTOFF, ServerState.ERROR)
    for task in ("rebuilding", "rebuild_block_device_mapping", "rebuild_spawning")
}

# Every word that `?status=` may be; one that no server here can have finds nothing.
KNOWN_STATUSES = frozenset(STATUSES.values()) | {
    "REBOOT", "HARD_REBOOT", "MIGRATING", "PASSWORD", "REBUILD", "RESCUE", "RESIZE", "REVERT_RESIZE",
    "SHELVED", "SHELVED_OFFLOADED", "SOFT_DELETED", "UNKNOWN", "VERIFY_RESIZE",
}  # fmt: skip

# libvirt's numbers, as the API shows them.
POWER_NUMBERS = {
    Power.RUNNING: 1,
    Power.PAUSED: 3,
    Power.SHUTOFF: 4,
    Power.CRASHED: 6,
    Power.SUSPENDED: 4,
    Power.MISSING: 0,
}

# The power each settled state asks for; the others ask for nothing that a reconciler could mend.
WANTED_POWER = {
    ServerState.ACTIVE: Power.RUNNING,
    ServerState.PAUSED: Power.PAUSED,
    ServerState.SUSPENDED: Power.SUSPENDED,
    ServerState.SHUTOFF: Power.SHUTOFF,
}
STATE_OF_POWER = {power: state for state, power in WANTED_POWER.items()} | {Power.CRASHED: ServerState.SHUTOFF}

# Action → states from which it is possible; absent: from all.
ALLOWED: dict[str, frozenset[ServerState]] = {
    "start": frozenset({ServerState.SHUTOFF}),
    "stop": frozenset({ServerState.ACTIVE, ServerState.ERROR}),
    "reboot": frozenset({ServerState.ACTIVE}),
    "reboot_hard": frozenset(
        {ServerState.ACTIVE, ServerState.SHUTOFF, ServerState.PAUSED, ServerState.SUSPENDED, ServerState.ERROR}
    ),
    "rebuild": frozenset({ServerState.ACTIVE, ServerState.SHUTOFF, ServerState.ERROR}),
    "pause": frozenset({ServerState.ACTIVE}),
    "unpause": frozenset({ServerState.PAUSED}),
    "suspend": frozenset({ServerState.ACTIVE}),
    "resume": frozenset({ServerState.SUSPENDED}),
    "console_output": frozenset(
        {ServerState.ACTIVE, ServerState.PAUSED, ServerState.SUSPENDED, ServerState.SHUTOFF, ServerState.ERROR}
    ),
    "console": frozenset({ServerState.ACTIVE, ServerState.PAUSED}),
    "get_diagnostics": frozenset({ServerState.ACTIVE}),
    "attach_interface": frozenset({ServerState.ACTIVE, ServerState.PAUSED, ServerState.SHUTOFF}),
}

# Progress is shown in these only.
PROGRESS_STATUSES = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"})
FAULT_STATUSES = frozenset({"ERROR", "DELETED"})


@functools.cache
def status_of(state: str, task_state: str | None) -> str:
    """The API's `status` of a server in `state` that is busy with `task_state`."""
    known = ServerState(state)
    return TASK_STATUSES.get((known, task_state or ""), STATUSES[known])
