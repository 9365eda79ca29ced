"""Changing, deleting and locking servers, and what power they have."""

from __future__ import annotations

import ipaddress
from typing import Any
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Now

from apps.compute.models import Server
from apps.compute.selectors._common import enforce_on, server_for
from apps.compute.states import ALLOWED, VM_STATES, ServerState
from apps.core import live
from apps.core.context import RequestContext
from apps.core.errors import Conflict
from apps.core.transactions import service
from apps.operations.models import Operation
from apps.operations.services import operation_start, operation_supersede

DELETE = "compute.server.delete"
OWNER, ADMIN = "owner", "admin"


# --- what every action checks ----------------------------------------------------------------------


def check_unlocked(ctx: RequestContext, server: Server) -> None:
    """A locked server does what administrators say only. Raises Conflict."""
    if server.locked_at is not None and not ctx.is_admin:
        raise Conflict(f"Instance {server.pk} is locked", hint="Unlock it first.")


def check_state(server: Server, action: str) -> None:
    """Raises Conflict where the action is not possible in the server's state."""
    allowed = ALLOWED.get(action)
    if allowed is not None and ServerState(server.state) not in allowed:
        word = VM_STATES[ServerState(server.state)]
        raise Conflict(f"Cannot '{action}' instance {server.pk} while it is in vm_state {word}")


def check_placed(server: Server, action: str) -> None:
    """Raises Conflict for a server that no host has."""
    if not server.host_name:
        raise Conflict(f"Cannot '{action}' instance {server.pk}: it is on no host.")


def canonical_address(text: str) -> str:
    """An address as RFC 5952 wants it written; empty stays empty."""
    return ipaddress.ip_address(text).compressed if text else ""


def locked_row(server_id: UUID | str) -> Server:
    """The row, locked after the operation's locks as the order demands."""
    return Server.objects.select_for_update(no_key=True).get(pk=server_id)


def touched(server: Server, **columns: Any) -> None:
    """Write columns, the time of the change, and tell open pages."""
    Server.objects.filter(pk=server.pk).update(updated_at=Now(), **columns)
    for name, value in columns.items():
        setattr(server, name, value)
    live.notify(str(server.project_id), "server", server.pk)


def begin(ctx: RequestContext, server_id: str, *, rule: str, action: str, kind: str, **given: Any) -> Operation:
    """Check and start a change of a placed server; what is wanted of its host rises by a generation."""
    server = server_for(ctx, server_id, rule)
    check_unlocked(ctx, server)
    check_state(server, action)
    check_placed(server, action)
    operation = operation_start(
        ctx,
        kind=kind,
        subject_type="server",
        subject_id=server.pk,
        project_id=str(server.project_id),
        input={**given, "from": server.state},
    )
    server = locked_row(server.pk)
    check_state(server, action)
    touched(server, generation=F("generation") + 1)
    return operation


# --- power -----------------------------------------------------------------------------------------


@service("os_compute_api:servers:start")
def server_start(ctx: RequestContext, *, server_id: str) -> Operation:
    """Start a server that is shut off."""
    return begin(ctx, server_id, rule="os_compute_api:servers:start", action="start", kind="compute.server.start")


@service("os_compute_api:servers:stop")
def server_stop(ctx: RequestContext, *, server_id: str) -> Operation:
    """Ask the guest to shut down, and cut its power if it does not."""
    return begin(ctx, server_id, rule="os_compute_api:servers:stop", action="stop", kind="compute.server.stop")


@service("os_compute_api:servers:reboot")
def server_reboot(ctx: RequestContext, *, server_id: str, type: str) -> Operation:
    """Reboot: SOFT asks the guest, HARD makes its machine anew."""
    hard = type.upper() == "HARD"
    return begin(
        ctx,
        server_id,
        rule="os_compute_api:servers:reboot",
        action="reboot_hard" if hard else "reboot",
        kind="compute.server.reboot_hard" if hard else "compute.server.reboot",
    )


@service("os_compute_api:os-pause-server:pause")
def server_pause(ctx: RequestContext, *, server_id: str) -> Operation:
    """Stop a guest's CPUs; its memory stays."""
    return begin(
        ctx, server_id, rule="os_compute_api:os-pause-server:pause", action="pause", kind="compute.server.pause"
    )


@service("os_compute_api:os-pause-server:unpause")
def server_unpause(ctx: RequestContext, *, server_id: str) -> Operation:
    """Let a paused guest run on."""
    return begin(
        ctx, server_id, rule="os_compute_api:os-pause-server:unpause", action="unpause", kind="compute.server.unpause"
    )


@service("os_compute_api:os-suspend-server:suspend")
def server_suspend(ctx: RequestContext, *, server_id: str) -> Operation:
    """Save a guest's memory to disk and switch it off."""
    return begin(
        ctx, server_id, rule="os_compute_api:os-suspend-server:suspend", action="suspend", kind="compute.server.suspend"
    )


@service("os_compute_api:os-suspend-server:resume")
def server_resume(ctx: RequestContext, *, server_id: str) -> Operation:
    """Let a suspended guest run on."""
    return begin(
        ctx, server_id, rule="os_compute_api:os-suspend-server:resume", action="resume", kind="compute.server.resume"
    )


# --- rows ------------------------------------------------------------------------------------------

_UPDATABLE = ("name", "description", "hostname", "access_ipv4", "access_ipv6", "disk_config")


@service("os_compute_api:servers:update")
def server_update(ctx: RequestContext, *, server_id: str, **values: Any) -> Server:
    """Change name, description, host name, access addresses or disk configuration."""
    server = server_for(ctx, server_id, "os_compute_api:servers:update")
    server = locked_row(server.pk)
    changes = {name: value for name, value in values.items() if name in _UPDATABLE}
    for name in sorted({"access_ipv4", "access_ipv6"} & set(changes)):
        changes[name] = canonical_address(changes[name])
    touched(server, **changes)
    return server


@service("os_compute_api:servers:delete")
def server_delete(ctx: RequestContext, *, server_id: str) -> None:
    """Delete a server, whatever it is busy with. Asked again while that goes on, it answers the same."""
    _delete(ctx, server_id, "os_compute_api:servers:delete")


@service("os_compute_api:os-deferred-delete:force")
def server_force_delete(ctx: RequestContext, *, server_id: str) -> None:
    """The same, by its other name: nothing is kept for later restoring."""
    _delete(ctx, server_id, "os_compute_api:os-deferred-delete:force")


def _delete(ctx: RequestContext, server_id: str, rule: str) -> None:
    server = server_for(ctx, server_id, rule)
    check_unlocked(ctx, server)
    operation_supersede(
        ctx, kind=DELETE, subject_type="server", subject_id=server.pk, project_id=str(server.project_id), input={}
    )
    server = locked_row(server.pk)
    if server.deleting_at is None:
        touched(server, deleting_at=Now())


@service("os_compute_api:os-lock-server:lock")
def server_lock(ctx: RequestContext, *, server_id: str, locked_reason: str | None = None) -> None:
    """Keep a server from changes by anybody but administrators."""
    server = server_for(ctx, server_id, "os_compute_api:os-lock-server:lock")
    server = locked_row(server.pk)
    if server.locked_at is not None and server.locked_by == ADMIN and not ctx.is_admin:
        return
    by = ADMIN if ctx.is_admin and str(server.project_id) != ctx.project_id else OWNER
    touched(server, locked_at=Now(), locked_by=by, locked_reason=locked_reason)


@service("os_compute_api:os-lock-server:unlock")
def server_unlock(ctx: RequestContext, *, server_id: str) -> None:
    """Take the lock away. What an administrator of another project locked needs the overriding rule."""
    server = server_for(ctx, server_id, "os_compute_api:os-lock-server:unlock")
    server = locked_row(server.pk)
    if server.locked_by == ADMIN:
        enforce_on(ctx, "os_compute_api:os-lock-server:unlock:unlock_override", server)
    touched(server, locked_at=None, locked_by="", locked_reason=None)


@service("os_compute_api:os-admin-actions:reset_state")
def server_reset_state(ctx: RequestContext, *, server_id: str, state: str) -> None:
    """Write the state an administrator knows to be right; the host is not asked."""
    server = server_for(ctx, server_id, "os_compute_api:os-admin-actions:reset_state")
    server = locked_row(server.pk)
    touched(server, state=ServerState.ACTIVE if state == "active" else ServerState.ERROR)
