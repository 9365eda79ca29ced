"""Making hosts match the database again, and taking their inventory."""

from __future__ import annotations

from django.db.models import F

from agents.contracts import Inventory, ReportInventory
from apps.compute.models import Server
from apps.compute.sagas.common import (
    domain_message,
    domain_step,
    keep_fault,
    remove_disks_message,
    remove_domain_message,
)
from apps.compute.services.inspecting import INSPECT
from apps.operations.registry import Agent, Local, Saga
from apps.operations.view import Op

REPAIR = "compute.server.repair"
REMOVE = "compute.guest.remove"


def raise_generation(op: Op) -> None:
    Server.objects.filter(pk=op.subject_id).update(generation=F("generation") + 1)


SERVER_REPAIR = Saga(
    REPAIR,
    title="Repair server",
    on_failed=keep_fault,
    steps=(Local("generation", do=raise_generation), domain_step(domain_message())),
)


GUEST_REMOVE = Saga(
    REMOVE,
    title="Remove a guest that is left over",
    forward_only=True,
    cancellable=False,
    locks=None,
    steps=(
        Agent("domain", "compute.remove_domain", target=lambda op: op.input["host"], message=remove_domain_message),
        Agent("disks", "compute.remove_disks", target=lambda op: op.input["host"], message=remove_disks_message),
    ),
)
HOST_INSPECT = Saga(
    INSPECT,
    title="Inspect host",
    tries=1,
    steps=(
        Agent(
            "report",
            "inventory.report",
            target=lambda op: op.subject_id,
            message=lambda op: ReportInventory(asked_at=op.input["asked_at"]),
            returns=Inventory,
            deadline_s=30,
        ),
    ),
)
