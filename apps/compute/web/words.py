"""Servers in words: states, tasks, addresses, and the command line that would do the same."""

from __future__ import annotations

import shlex
from typing import Any

from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from apps.compute.models import Server
from apps.compute.states import ServerState
from apps.core.web import cells

STATES: dict[str, tuple[str, Any]] = {
    ServerState.BUILDING: ("busy", _("Building")),
    ServerState.ACTIVE: ("ok", _("Active")),
    ServerState.PAUSED: ("idle", _("Paused")),
    ServerState.SUSPENDED: ("idle", _("Suspended")),
    ServerState.SHUTOFF: ("off", _("Shut off")),
    ServerState.ERROR: ("bad", _("Error")),
    ServerState.DELETED: ("off", _("Deleted")),
}

# What a server is busy with, by the kind of its operation.
TASKS: dict[str, Any] = {
    "create": _("Building"),
    "start": _("Starting"),
    "stop": _("Stopping"),
    "reboot": _("Rebooting"),
    "reboot_hard": _("Rebooting"),
    "pause": _("Pausing"),
    "unpause": _("Resuming"),
    "suspend": _("Suspending"),
    "resume": _("Resuming"),
    "delete": _("Deleting"),
    "rebuild": _("Rebuilding"),
    "repair": _("Repairing"),
}


def verb(task: str) -> str:
    """`compute.server.create/disks` → `create`."""
    return task.partition("/")[0].rpartition(".")[2]


def badge(row: Any) -> Any:
    """State, or what it is busy with and how far; an error's reason below."""
    if getattr(row, "deleting_at", None):
        return cells.badge("busy", TASKS["delete"])
    if row.task and verb(row.task) in TASKS:
        return cells.badge("busy", TASKS[verb(row.task)], row.percent or None)
    return cells.badge(*STATES.get(row.state, ("idle", row.state)))


def status(row: Any, page: Any) -> Any:
    """The list's cell."""
    fault = format_html('<span class="why">{}</span>', why(row)) if row.state == ServerState.ERROR and row.fault else ""
    locked = cells.icon("lock") if row.locked_at else ""
    return format_html("{} {}{}", badge(row), locked, fault)


def why(row: Server) -> str:
    """The fault in words."""
    return str((row.fault or {}).get("message", ""))


def addresses(row: Any) -> list[dict[str, Any]]:
    """All addresses, floating ones last."""
    return sorted(row.addresses_json or [], key=lambda a: (a["type"] == "floating", a["version"], a["ip"]))


def address_cell(row: Any, page: Any) -> Any:
    """Two addresses at most, the rest as a number."""
    found = addresses(row)
    if not found:
        return cells.NOTHING
    shown = cells.lines(
        format_html(
            '<span class="nowrap"><span class="mono">{}</span> {}</span>',
            a["ip"],
            cells.icon("globe") if a["type"] == "floating" else "",
        )
        for a in found[:2]
    )
    return format_html(
        "{}{}", shown, format_html('<span class="sub">+{}</span>', len(found) - 2) if len(found) > 2 else ""
    )


def flavor_cell(row: Any, page: Any) -> Any:
    """The flavor's name with what it stands for."""
    size = f"{row.vcpus} vCPU · {cells.size_mib(row.ram_mib)}"
    return format_html('{}<span class="sub">{}</span>', row.flavor.get("name") or row.flavor_id, size)


def as_command(row: Server, networks: list[str], groups: list[str]) -> str:
    """The `openstack` command that would make a server like this one."""
    parts = ["openstack server create", f"--flavor {shlex.quote(row.flavor.get('name') or row.flavor_id)}"]
    if row.image_id:
        parts.append(f"--image {row.image_id}")
    parts += [f"--network {shlex.quote(name)}" for name in networks]
    parts += [f"--security-group {shlex.quote(name)}" for name in groups]
    parts += [f"--key-name {shlex.quote(row.key_name)}"] if row.key_name else []
    parts += [f"--property {shlex.quote(f'{k}={v}')}" for k, v in sorted(row.metadata.items())]
    parts += ["--config-drive"] if row.config_drive else []
    return " \\\n    ".join([*parts, shlex.quote(row.name)])
