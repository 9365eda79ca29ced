"""Rebuilding a server: its disks anew from an image."""

from __future__ import annotations

import msgspec
from django.db.models.functions import Now

from agents.contracts import Domain, DomainReady, Power, RebuildDisks
from apps.compute.sagas.common import disks_message, domain_message, keep_fault, placed_on, still, take_power
from apps.compute.services.rebuilding import REBUILD
from apps.compute.services.servers import touched
from apps.compute.states import ServerState
from apps.operations.registry import Agent, Saga
from apps.operations.view import Failure, Op


def stop_message(op: Op) -> Domain:
    """The guest switched off: asked first where disks are kept that it may be writing to."""
    message = domain_message(Power.SHUTOFF)(op)
    return message if op.input["keep_ephemeral"] else msgspec.structs.replace(message, hard_stop_after_s=0)


def rebuild_message(op: Op) -> RebuildDisks:
    """The same disks as at creation, from the image that the server has now."""
    wanted = msgspec.to_builtins(disks_message(op))
    return msgspec.convert(wanted | {"keep_ephemeral": op.input["keep_ephemeral"]}, RebuildDisks)


def rebuilt_message(op: Op) -> Domain:
    """The guest from its new disk; one that was off stays off."""
    off = op.input["from"] == ServerState.SHUTOFF
    return domain_message(Power.SHUTOFF if off else Power.RUNNING)(op)


def mark_rebuilt(op: Op) -> None:
    server = still(op)
    if server is None:
        return
    off = op.input["from"] == ServerState.SHUTOFF
    state = ServerState.SHUTOFF if off else ServerState.ACTIVE
    touched(server, state=state, fault=None, launched_at=Now(), one_time_sealed=None)


def keep_image(op: Op, failure: Failure) -> None:
    """The end of a rebuild that failed before the disk was replaced: the server has the image it had."""
    server = still(op)
    if server is not None:
        touched(server, **op.input["before"], one_time_sealed=None)
        keep_fault(op, failure)


SERVER_REBUILD = Saga(
    REBUILD,
    title="Rebuild server",
    on_done=mark_rebuilt,
    on_failed=keep_image,
    task_states={
        "": "rebuilding",
        "stop": "rebuilding",
        "disks": "rebuild_block_device_mapping",
        "domain": "rebuild_spawning",
    },
    steps=(
        Agent(
            "stop",
            "compute.ensure_domain",
            target=placed_on,
            message=stop_message,
            reply=take_power,
            returns=DomainReady,
        ),
        Agent("disks", "compute.rebuild_disks", target=placed_on, message=rebuild_message, long=True, commits=True),
        Agent(
            "domain",
            "compute.ensure_domain",
            target=placed_on,
            message=rebuilt_message,
            reply=take_power,
            returns=DomainReady,
        ),
    ),
)
