"""Reading servers: who sees which, and what can be filtered."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable
from typing import Any

from django.db.models import DateTimeField, F, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from apps.compute.models import Server, ServerAny, ServerDeleted
from apps.compute.resources.expressions import progress, task, zone
from apps.compute.selectors._common import as_uuid, server_for, visible_server
from apps.compute.states import BY_STATUS, BY_VM_STATE, KNOWN_STATUSES, POWER_NUMBERS
from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid, NotFound
from apps.core.transactions import selector
from apps.network.models import Port
from apps.operations.models import Operation
from apps.operations.registry import SAGAS
from apps.operations.states import ACTIVE

ALL_FILTERS = "os_compute_api:servers:allow_all_filters"
NEVER = Value(None, output_field=DateTimeField())  # when living servers were terminated
REBOOTS = {"REBOOT": "compute.server.reboot", "HARD_REBOOT": "compute.server.reboot_hard"}


# --- lists -----------------------------------------------------------------------------------------


@selector("os_compute_api:servers:index")
def server_list(
    ctx: RequestContext,
    *,
    detailed: bool = False,
    all_tenants: bool = False,
    deleted: bool | None = None,
    project_id: str = "",
    strict_status: bool = False,
    status: Iterable[str] = (),
    changes_since: datetime.datetime | None = None,
    changes_before: datetime.datetime | None = None,
    **filters: Any,
) -> QuerySet[Any]:
    """Servers of the caller's project, or of all; with `changes_since` the deleted ones too.

    `filters` are those of `FILTERS` below. Raises Forbidden for other projects' or deleted servers without the
    rule, Invalid for an unknown status where `strict_status`.
    """
    may_all = policy.allowed(ctx, ALL_FILTERS)
    statuses = [word.upper() for word in status]
    if "DELETED" in statuses:
        if not may_all:
            raise Forbidden("Only administrators may list deleted instances", rule=ALL_FILTERS)
        deleted = True
        statuses = [word for word in statuses if word != "DELETED"]
    rows = _table(deleted if may_all else None, changes_since, changes_before)
    rows = _scope(ctx, rows, all_tenants, project_id if may_all else "", detailed)
    if changes_since:
        rows = rows.filter(updated_at__gte=changes_since)
    if changes_before:
        rows = rows.filter(updated_at__lte=changes_before)
    if statuses:
        rows = rows.filter(_with_status(statuses, strict_status))
    for name, value in filters.items():
        rows = FILTERS[name](rows, value)
    return rows


def _table(
    deleted: bool | None, since: datetime.datetime | None, before: datetime.datetime | None
) -> QuerySet[Server] | QuerySet[ServerDeleted] | QuerySet[ServerAny]:
    """Which rows: living ones; asked for changes, deleted ones as well; or deleted ones alone."""
    if deleted:
        return ServerDeleted.objects.annotate(terminated=F("deleted_at"))
    if deleted is None and (since or before):
        return ServerAny.objects.annotate(terminated=F("deleted_at"))
    return Server.objects.annotate(terminated=NEVER)


def _scope(
    ctx: RequestContext, rows: QuerySet[Any], all_tenants: bool, project_id: str, detailed: bool
) -> QuerySet[Any]:
    if all_tenants:
        policy.enforce(ctx, f"os_compute_api:servers:{'detail' if detailed else 'index'}:get_all_tenants")
        return rows.filter(project_id=project_id) if project_id else rows
    return rows.filter(project_id=ctx.project_id)


def _with_status(statuses: Iterable[str], strict: bool) -> Q:
    query = Q(pk__in=[])
    for word in statuses:
        if word not in KNOWN_STATUSES and strict:
            raise Invalid(f"Invalid status value: {word}", field="status")
        if word in REBOOTS:
            busy = Operation.objects.filter(kind=REBOOTS[word], subject_type="server", status__in=ACTIVE)
            query |= Q(pk__in=[uuid.UUID(ident) for ident in busy.values_list("subject_id", flat=True)])
        elif word in BY_STATUS:
            query |= Q(state=BY_STATUS[word])
    return query


def _address(version: int) -> Any:
    def by(rows: QuerySet[Any], pattern: str) -> QuerySet[Any]:
        ports = Port.objects.filter(
            fixed_ips__address__regex=pattern,
            fixed_ips__subnet__ip_version=version,
            server_id__isnull=False,
        )
        return rows.filter(pk__in=ports.values("server_id"))

    return by


def _image(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    found = as_uuid(text.rsplit("/", 1)[-1])
    return rows.filter(image_id=found) if found else rows.none()


def _number(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    if not text.isdigit():
        raise Invalid(f"Invalid power state: {text}", field="power_state")
    return rows.filter(power__in=[power for power, number in POWER_NUMBERS.items() if number == int(text)])


def _task(rows: QuerySet[Any], word: str) -> QuerySet[Any]:
    """Servers that are busy with a step of that name."""
    steps = [
        f"{saga.kind}/{step.name}"
        for saga in SAGAS.values()
        for step in saga.steps
        if saga.task_states.get(step.name, saga.task_states.get("")) == word
    ]
    return rows.annotate(_task=task()).filter(_task__in=steps)


def _identifiers(rows: QuerySet[Any], texts: Iterable[str]) -> QuerySet[Any]:
    return rows.filter(pk__in=[found for found in map(as_uuid, texts) if found])


def _split(text: str) -> list[str]:
    return [tag for tag in text.split(",") if tag]


def _column(lookup: str) -> Any:
    return lambda rows, value: rows.filter(**{lookup: value})


# What `server_list` takes besides scope, status and times.
FILTERS: dict[str, Any] = {
    "name": _column("name__regex"),
    "hostname": _column("hostname__regex"),
    "description": _column("description__regex"),
    "image": _image,
    "flavor": lambda rows, value: rows.filter(flavor_id=value.rsplit("/", 1)[-1]),
    "host": _column("host_name"),
    "node": _column("host_name"),
    "user_id": _column("user_id"),
    "reservation_id": _column("reservation_id"),
    "key_name": _column("key_name"),
    "zone": lambda rows, value: rows.annotate(_zone=zone()).filter(_zone=value),
    "config_drive": _column("config_drive"),
    "launch_index": _column("launch_index"),
    "launched_at": _column("launched_at"),
    "created_at": _column("created_at"),
    "terminated_at": lambda rows, value: rows.none() if rows.model is Server else rows.filter(deleted_at=value),
    "locked": lambda rows, value: rows.filter(locked_at__isnull=not value),
    "power_state": _number,
    "vm_state": lambda rows, value: rows.filter(state=BY_VM_STATE.get(value, "")),
    "task_state": _task,
    "progress": lambda rows, value: rows.annotate(_percent=Coalesce(progress(), Value(0))).filter(_percent=value),
    "ip": _address(4),
    "ip6": _address(6),
    "uuid": _identifiers,
    "access_ip_v4": _column("access_ipv4"),
    "access_ip_v6": _column("access_ipv6"),
    "tags": lambda rows, value: rows.filter(tags__contains=_split(value)),
    "tags_any": lambda rows, value: rows.filter(tags__overlap=_split(value)),
    "not_tags": lambda rows, value: rows.exclude(tags__contains=_split(value)),
    "not_tags_any": lambda rows, value: rows.exclude(tags__overlap=_split(value)),
}


# --- one -------------------------------------------------------------------------------------------


@selector("os_compute_api:servers:show")
def server_get_query(ctx: RequestContext, *, server_id: str) -> QuerySet[Server]:
    """A server the caller may see."""
    return visible_server(ctx, server_id).annotate(terminated=NEVER)


@selector("os_compute_api:servers:show")
def server_get(ctx: RequestContext, *, server_id: str) -> Server:
    """The same as an instance. Raises NotFound."""
    return server_for(ctx, server_id, "os_compute_api:servers:show")


# --- parts -----------------------------------------------------------------------------------------


@selector("os_compute_api:server-metadata:index")
def server_metadata_list(ctx: RequestContext, *, server_id: str) -> dict[str, str]:
    """All metadata of a server."""
    return server_for(ctx, server_id, "os_compute_api:server-metadata:index").metadata


@selector("os_compute_api:server-metadata:show")
def server_metadata_get(ctx: RequestContext, *, server_id: str, key: str) -> dict[str, str]:
    """One item as `{key: value}`. Raises NotFound."""
    metadata = server_for(ctx, server_id, "os_compute_api:server-metadata:show").metadata
    if key not in metadata:
        raise NotFound("metadata item", key)
    return {key: metadata[key]}


@selector("os_compute_api:os-server-tags:index")
def server_tag_list(ctx: RequestContext, *, server_id: str) -> list[str]:
    """Tags of a server."""
    return server_for(ctx, server_id, "os_compute_api:os-server-tags:index").tags


@selector("os_compute_api:os-server-tags:show")
def server_tag_check(ctx: RequestContext, *, server_id: str, tag: str) -> None:
    """Raises NotFound unless the server has the tag."""
    if tag not in server_for(ctx, server_id, "os_compute_api:os-server-tags:show").tags:
        raise NotFound(f"Server {server_id} has no tag '{tag}': it")
