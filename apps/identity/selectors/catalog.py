"""The catalogue of services as a token shows it."""

from __future__ import annotations

from typing import Any

from apps.identity.backends.urls import endpoint_url
from apps.identity.models import Endpoint, Service
from apps.identity.selectors.endpoint_filter import own_endpoints

_read: tuple[int, list[Service]] | None = None


def catalog(epoch: int, *, project_id: str, user_id: str) -> list[dict[str, Any]]:
    """Services with their endpoints, for one project; endpoints that need a project are left out without one.

    A project that has endpoints of its own sees only those, and only the services they are of.
    """
    values = {"project_id": project_id, "tenant_id": project_id, "user_id": user_id}
    chosen = own_endpoints(project_id) if project_id else None
    own = None if chosen is None else set(Endpoint.objects.filter(chosen).values_list("pk", flat=True))
    return [
        {
            "endpoints": [
                {"id": e.pk, "interface": e.interface, "region_id": e.region_id, "url": url, "region": e.region_id}
                for e in service.endpoints.all()
                if e.enabled and (own is None or e.pk in own) and (url := endpoint_url(e.url, values))
            ],
            "id": service.pk,
            "type": service.type,
            "name": service.name,
        }
        for service in _services(epoch)
        if own is None or any(e.pk in own for e in service.endpoints.all())
    ]


def _services(epoch: int) -> list[Service]:
    global _read
    held = _read
    if held is None or held[0] != epoch:
        held = (epoch, list(Service.objects.filter(enabled=True).prefetch_related("endpoints").order_by("type", "id")))
        _read = held
    return held[1]


def forget_catalog() -> None:
    """Drop what this process keeps."""
    global _read
    _read = None
