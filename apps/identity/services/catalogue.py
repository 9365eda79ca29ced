"""Regions, services and endpoints: the rows behind the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid, NotFound
from apps.core.transactions import service
from apps.identity.models import Endpoint, Region, Service
from apps.identity.selectors.access import row_of
from apps.identity.services.common import apply
from apps.identity.services.epoch import change_epoch
from apps.identity.states import new_id

Extra = Mapping[str, Any] | None


@service("identity:create_region")
def region_create(
    ctx: RequestContext,
    *,
    region_id: str | None = None,
    description: str | None = None,
    parent_region_id: str | None = None,
    extra: Extra = None,
) -> Region:
    """A new region. Raises NotFound for the parent, Conflict for the id."""
    parent = row_of(Region, parent_region_id, "region") if parent_region_id else None
    region = Region(pk=region_id or new_id(), description=description or "", parent=parent, extra=dict(extra or {}))
    region.save(force_insert=True)
    change_epoch()
    return region


@service("identity:update_region")
def region_update(
    ctx: RequestContext,
    *,
    region_id: str,
    extra: Extra = None,
    **changes: Any,
) -> Region:
    """Change a region. Raises NotFound, Invalid if it would be inside itself."""
    region = row_of(Region, region_id, "region")
    if "parent_region_id" in changes:
        parent_id = changes.pop("parent_region_id")
        changes["parent"] = row_of(Region, parent_id, "region") if parent_id else None
        above = changes["parent"]
        while above is not None:
            if above.pk == region_id:
                raise Invalid("A region cannot be inside itself.", field="parent_region_id")
            above = above.parent
    apply(region, changes, extra=extra)
    change_epoch()
    return region


@service("identity:delete_region")
def region_delete(ctx: RequestContext, *, region_id: str) -> None:
    """Remove a region. Raises NotFound, Forbidden while endpoints or regions are in it."""
    region = row_of(Region, region_id, "region")
    if region.children.exists() or region.endpoints.exists():
        raise Forbidden(f"Unable to delete region {region_id} because it or its child regions have endpoints.")
    region.delete()
    change_epoch()


@service("identity:create_service")
def service_create(
    ctx: RequestContext,
    *,
    type: str,
    name: str = "",
    description: str | None = None,
    enabled: bool = True,
    extra: Extra = None,
) -> Service:
    """A new service in the catalogue."""
    made = Service.objects.create(
        type=type, name=name, description=description or "", enabled=enabled, extra=dict(extra or {})
    )
    change_epoch()
    return made


@service("identity:update_service")
def service_update(ctx: RequestContext, *, service_id: str, extra: Extra = None, **changes: Any) -> Service:
    """Change a service. Raises NotFound."""
    row = row_of(Service, service_id, "service")
    apply(row, changes, extra=extra)
    change_epoch()
    return row


@service("identity:delete_service")
def service_delete(ctx: RequestContext, *, service_id: str) -> None:
    """Remove a service with its endpoints. Raises NotFound."""
    row_of(Service, service_id, "service").delete()
    change_epoch()


@service("identity:create_endpoint")
def endpoint_create(
    ctx: RequestContext,
    *,
    service_id: str,
    interface: str,
    url: str,
    region_id: str | None = None,
    region: str | None = None,
    enabled: bool = True,
    name: str = "",
    description: str | None = None,
    extra: Extra = None,
) -> Endpoint:
    """A new address of a service; the older `region` makes that region if there is none.

    Raises Invalid for an unknown service or region, or an unusable URL.
    """
    made = Endpoint.objects.create(
        service=_service(service_id),
        interface=interface,
        url=_usable(url),
        region=_region(region_id, region),
        enabled=enabled,
        name=name,
        description=description or "",
        extra=dict(extra or {}),
    )
    change_epoch()
    return made


@service("identity:update_endpoint")
def endpoint_update(
    ctx: RequestContext,
    *,
    endpoint_id: str,
    region_id: str | None = None,
    region: str | None = None,
    extra: Extra = None,
    **changes: Any,
) -> Endpoint:
    """Change an endpoint. Raises NotFound, Invalid for an unknown service or region, or an unusable URL."""
    row = row_of(Endpoint, endpoint_id, "endpoint")
    if "service_id" in changes:
        changes["service"] = _service(changes.pop("service_id"))
    if "url" in changes:
        _usable(changes["url"])
    if region_id or region:
        changes["region"] = _region(region_id, region)
    apply(row, changes, extra=extra)
    change_epoch()
    return row


@service("identity:delete_endpoint")
def endpoint_delete(ctx: RequestContext, *, endpoint_id: str) -> None:
    """Remove an endpoint. Raises NotFound."""
    row_of(Endpoint, endpoint_id, "endpoint").delete()
    change_epoch()


def _service(service_id: str) -> Service:
    try:
        return row_of(Service, service_id, "service")
    except NotFound as error:
        raise Invalid(error.message, field="service_id") from error


def _region(region_id: str | None, region: str | None) -> Region | None:
    if region_id:
        try:
            return row_of(Region, region_id, "region")
        except NotFound as error:
            raise Invalid(error.message, field="region_id") from error
    return Region.objects.get_or_create(pk=region)[0] if region else None


def _usable(url: str) -> str:
    """Refuse what no client could call."""
    if any(c.isspace() for c in url) or url.count("$(") + url.count("%(") != url.count(")s"):
        raise Invalid(f"Cannot create an endpoint with an invalid URL: {url}.", field="url")
    return url
