"""The password a guest made for itself and encrypted with its user's key: posted once, then read or cleared."""

from __future__ import annotations

from uuid import UUID

from apps.compute.models import ServerPassword
from apps.compute.selectors._common import server_for
from apps.compute.services.servers import locked_row
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid
from apps.core.transactions import internal, service

PASSWORD_CLEAR = "os_compute_api:os-server-password:clear"
LONGEST = 1020  # characters, as much as Nova keeps


@service(PASSWORD_CLEAR)
def server_password_clear(ctx: RequestContext, *, server_id: str) -> None:
    """Forget the password, so that the guest may post another one; the guest itself is not told."""
    ServerPassword.objects.filter(server=server_for(ctx, server_id, PASSWORD_CLEAR)).delete()


@internal("the host's view, which has checked that the guest is on the host that asks")
def server_password_take(ctx: RequestContext, *, server_id: UUID | str, encrypted: bytes) -> None:
    """Keep what a guest posted to its metadata. Raises Conflict where one is kept, Invalid for what cannot be one."""
    if len(encrypted) > LONGEST or not encrypted.isascii() or b"\0" in encrypted:
        raise Invalid(f"A password has at most {LONGEST} ASCII characters.")
    server = locked_row(server_id)
    if ServerPassword.objects.filter(server=server).exists():
        raise Conflict(f"Instance {server.pk} has a password already.")
    ServerPassword.objects.create(server=server, encrypted=encrypted.decode())
