"""Asking a host what it has now, for people who wait for the answer: `reconcile` and `doctor`."""

from __future__ import annotations

import msgspec
from django.db import transaction

from agents.contracts import Inventory
from apps.compute.services.servers import database_time
from apps.core.context import RequestContext
from apps.core.errors import NotFound, Unavailable
from apps.core.transactions import streaming
from apps.hosts.models import Host
from apps.operations.models import Step
from apps.operations.services import operation_forget, operation_start, operation_wait
from apps.operations.states import Status

INSPECT = "compute.host.inspect"
TIMEOUT_S = 20.0


@streaming("os_compute_api:os-services:list")
def inventory_of(ctx: RequestContext, *, host_name: str) -> tuple[Host, Inventory]:
    """A host and its inventory of this moment. Raises NotFound, and Unavailable where the host does not answer."""
    host = Host.objects.filter(name=host_name).first()
    if host is None:
        raise NotFound("host", host_name)
    if not host.is_up:
        raise Unavailable(f"Host {host_name} is {host.state}.")
    with transaction.atomic():
        operation = operation_start(
            ctx,
            kind=INSPECT,
            subject_type="host",
            subject_id=host_name,
            project_id="",
            input={"asked_at": database_time().isoformat()},
            locks=(),
        )
    try:
        ended = operation_wait(ctx, operation_id=operation.pk, timeout_s=TIMEOUT_S)
        if ended.status != Status.DONE:
            raise Unavailable(f"Host {host_name}: {(ended.error or {}).get('message', ended.status)}")
        output = Step.objects.filter(operation_id=ended.pk, name="report").values_list("output", flat=True).get()
        return host, msgspec.convert(output, Inventory)
    finally:
        operation_forget(ctx, operation_id=operation.pk)
