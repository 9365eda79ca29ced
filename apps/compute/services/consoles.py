"""Consoles: reading what a guest printed, and one-time tokens for its screen and serial line.

Neither is kept: a console may show passwords. The log passes through an operation that is forgotten once read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from django.conf import settings
from django.db.models.functions import Now

from agents.contracts import OpenConsole
from apps.compute.models import ConsoleSession
from apps.compute.selectors._common import server_for
from apps.compute.services.asking import host_answer
from apps.compute.services.servers import check_placed, check_state, check_unlocked
from apps.compute.states import ConsoleKind
from apps.core.context import RequestContext
from apps.core.tokens import new_token, token_hash
from apps.core.transactions import internal, service, streaming
from apps.operations.services import host_send

READ_LOG = "compute.server.read_console_log"
TOKEN_MINUTES = 10


@dataclass(frozen=True, slots=True)
class Console:
    """Where to go, once."""

    kind: ConsoleKind
    url: str


@streaming("os_compute_api:os-console-output")
def server_console_log(ctx: RequestContext, *, server_id: str, length: int | None = None) -> str:
    """The end of what the guest printed on its serial line; `length` in lines, none for all that is kept.

    Raises Conflict before the server is placed, Unavailable where its host does not answer.
    """
    server = server_for(ctx, server_id, "os_compute_api:os-console-output")
    check_state(server, "console_output")
    check_placed(server, "console_output")
    if length == 0:
        return ""
    answer = host_answer(
        ctx,
        kind=READ_LOG,
        subject=("console_log", str(server.pk)),
        project_id=str(server.project_id),
        given={"host": server.host_name, "lines": length if length and length > 0 else None},
        what="The console log cannot be read",
    )
    return str(answer.get("text", ""))


@service("os_compute_api:os-remote-consoles")
def server_console_open(ctx: RequestContext, *, server_id: str, kind: ConsoleKind = ConsoleKind.VNC) -> Console:
    """A one-time address, good for ten minutes, of a guest's screen or serial line."""
    server = server_for(ctx, server_id, "os_compute_api:os-remote-consoles")
    check_unlocked(ctx, server)
    check_placed(server, "console")
    check_state(server, "console")
    token = new_token()
    ConsoleSession.objects.create(
        token_hash=token_hash(token),
        server_id=server.pk,
        project_id=str(server.project_id),
        user_id=ctx.user_id,
        host_name=server.host_name,
        kind=kind,
        expires_at=Now() + timedelta(minutes=TOKEN_MINUTES),
    )
    # `path` is how noVNC's own page, and clients that imitate it, find the WebSocket.
    query = urlencode({"path": f"console/ws?token={token}"})
    return Console(kind, f"{settings.CONFIG.public.url}/console?{query}")


@internal("the daemon that hears of browsers which used their token")
def console_dial(ctx: RequestContext, *, session_id: str) -> None:
    """Ask the host to dial in for a session whose token was just used; for others nothing happens."""
    session = ConsoleSession.objects.filter(pk=session_id, used_at__gt=Now() - timedelta(minutes=1)).first()
    if session is not None:
        host_send(
            ctx,
            host=session.host_name,
            verb="compute.open_console",
            message=OpenConsole(server_id=str(session.server_id), session_id=str(session.pk), kind=session.kind),
        )
