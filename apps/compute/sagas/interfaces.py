"""Plugging ports in and out."""

from __future__ import annotations

import contextlib

from agents.contracts import Domain, DomainReady
from apps.compute.models import Server
from apps.compute.sagas.common import (
    PROJECTED_WITHIN_S,
    domain_message,
    domain_step,
    is_projected,
    placed_on,
    take_power,
)
from apps.compute.services.interfaces import ATTACH, DETACH
from apps.compute.services.servers import locked_row
from apps.core.errors import NotFound
from apps.network import services as network
from apps.operations.registry import QUEUE, Agent, Local, Saga, Wait
from apps.operations.view import Failure, Op


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
    steps=(domain_step(unplug_message), Local("port", do=release_port)),
)
