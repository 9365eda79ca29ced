"""Deleting a server, which only goes forward."""

from __future__ import annotations

from django.db.models.functions import Now

from agents.contracts import Power
from apps.compute.models import ServerDeleted
from apps.compute.sagas.common import placed_on, remove_disks_message, remove_domain_message, still
from apps.compute.services.servers import DELETE
from apps.compute.states import ServerState
from apps.hosts import services as hosts
from apps.network import services as network
from apps.operations.registry import Agent, Local, Saga
from apps.operations.view import Op


def release_network(op: Op) -> None:
    network.server_ports_release(op.ctx, server_id=op.subject_id)


def release_claim(op: Op) -> None:
    hosts.release(op.ctx, consumer_id=op.subject_id)


def bury(op: Op) -> None:
    """Move the row to the tombstones."""
    server = still(op)
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
