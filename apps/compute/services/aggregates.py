"""Aggregates: hosts that operators count together. One with `availability_zone` in its metadata is a zone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models.functions import Now

from apps.compute.models import Aggregate, Server
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.transactions import on_violation, service
from apps.hosts import services as hosts
from apps.hosts.models import Host
from apps.hosts.states import DEFAULT_ZONE

ZONE = "availability_zone"
on_violation("compute_aggregate_name", lambda detail: Conflict("An aggregate with this name exists already."))


def _row(aggregate_id: str) -> Aggregate:
    if not str(aggregate_id).isdigit() or int(aggregate_id) >= 2**63:
        raise NotFound("Aggregate", aggregate_id)
    found = Aggregate.objects.select_for_update(no_key=True).filter(pk=int(aggregate_id)).first()
    if found is None:
        raise NotFound("Aggregate", aggregate_id)
    return found


def _save(row: Aggregate) -> Aggregate:
    row.updated_at = Now()
    row.save()
    row.refresh_from_db()
    return row


def _check_zone(name: str) -> None:
    if ":" in name:
        raise Invalid("The name of an availability zone must not hold a colon.", field=ZONE)


def _rezone(ctx: RequestContext, names: list[str], zone: str) -> None:
    """Hosts of a zone carry its name. Raises Conflict where servers run on one that would change."""
    for host in Host.objects.filter(name__in=names).exclude(zone=zone):
        if Server.objects.filter(host_name=host.name).exists():
            raise Conflict(f"The availability zone of host {host.name} cannot change while servers are on it.")
        hosts.host_set_zone(ctx, host_id=host.pk, zone=zone)


@service("os_compute_api:os-aggregates:create")
def aggregate_create(ctx: RequestContext, *, name: str, availability_zone: str | None = None) -> Aggregate:
    """Make an empty aggregate. Raises Conflict for a taken name."""
    _check_zone(availability_zone or "")
    metadata = {ZONE: availability_zone} if availability_zone else {}
    row = Aggregate.objects.create(name=name, metadata=metadata)
    row.refresh_from_db()
    return row


@service("os_compute_api:os-aggregates:update")
def aggregate_update(ctx: RequestContext, *, aggregate_id: str, **values: Any) -> Aggregate:
    """Change the name or the zone. Raises NotFound, Conflict."""
    row = _row(aggregate_id)
    row.name = values.get("name", row.name)
    if ZONE in values:
        return _with_metadata(ctx, row, {ZONE: values[ZONE]})
    return _save(row)


@service("os_compute_api:os-aggregates:delete")
def aggregate_delete(ctx: RequestContext, *, aggregate_id: str) -> None:
    """Delete an empty aggregate. Raises NotFound, Conflict while hosts are in it."""
    row = _row(aggregate_id)
    if row.hosts:
        raise Conflict(f"Cannot remove aggregate {row.pk}: it has hosts.", hint="Remove them from it first.")
    row.delete()


@service("os_compute_api:os-aggregates:set_metadata")
def aggregate_set_metadata(ctx: RequestContext, *, aggregate_id: str, metadata: Mapping[str, str | None]) -> Aggregate:
    """Set items; null removes one. Raises NotFound, Conflict."""
    return _with_metadata(ctx, _row(aggregate_id), metadata)


def _with_metadata(ctx: RequestContext, row: Aggregate, items: Mapping[str, str | None]) -> Aggregate:
    before = row.metadata.get(ZONE, "")
    merged = {**row.metadata, **items}
    row.metadata = {key: value for key, value in merged.items() if value is not None}
    after = row.metadata.get(ZONE, "")
    _check_zone(after)
    if after != before:
        _rezone(ctx, row.hosts, after or DEFAULT_ZONE)
    return _save(row)


@service("os_compute_api:os-aggregates:add_host")
def aggregate_add_host(ctx: RequestContext, *, aggregate_id: str, host: str) -> Aggregate:
    """Put a host in. Raises NotFound, Conflict where it is in already or in another zone."""
    row = _row(aggregate_id)
    if not Host.objects.filter(name=host).exists():
        raise NotFound("Compute host", host)
    if host in row.hosts:
        raise Conflict(f"Cannot add host {host} in aggregate {row.pk}: it is there already.")
    zone = row.metadata.get(ZONE, "")
    if zone:
        others = Aggregate.objects.filter(hosts__contains=[host], metadata__has_key=ZONE).exclude(
            metadata__availability_zone=zone
        )
        if others.exists():
            raise Conflict(f"Host {host} is in another availability zone already.")
        _rezone(ctx, [host], zone)
    row.hosts = sorted([*row.hosts, host])
    return _save(row)


@service("os_compute_api:os-aggregates:remove_host")
def aggregate_remove_host(ctx: RequestContext, *, aggregate_id: str, host: str) -> Aggregate:
    """Take a host out. Raises NotFound."""
    row = _row(aggregate_id)
    if host not in row.hosts:
        raise NotFound(f"Aggregate {row.pk} has no host {host}: it")
    row.hosts = [one for one in row.hosts if one != host]
    zone = row.metadata.get(ZONE, "")
    keeps = Aggregate.objects.filter(hosts__contains=[host], metadata__availability_zone=zone).exclude(pk=row.pk)
    if zone and not keeps.exists():
        _rezone(ctx, [host], DEFAULT_ZONE)
    return _save(row)
