"""Events that other services tell of servers.

The network is Kumo's own and needs no telling; an event about it makes operations that wait for it look again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.compute.models import Server
from apps.compute.selectors._common import key
from apps.core.context import RequestContext
from apps.core.transactions import service
from apps.operations.services import operation_wake

NETWORK = ("network-changed", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted")


@service("os_compute_api:os-server-external-events:create")
def server_events_take(ctx: RequestContext, *, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Take events and return them with a `code` and a `status` each, as Nova does.

    200: taken. 404: no such server. 422: it is on no host, or nothing here listens to such events.
    """
    idents = {key(event["server_uuid"]) for event in events}
    hosts = dict(Server.objects.filter(pk__in=idents).values_list("pk", "host_name"))
    told = []
    for event in events:
        ident = key(event["server_uuid"])
        code = 404 if ident not in hosts else 200 if hosts[ident] and event["name"] in NETWORK else 422
        if code == 200:
            operation_wake(ctx, subject_type="server", subject_id=ident)
        told.append({**event, "code": code, "status": "completed" if code == 200 else "failed"})
    return told
