"""What hosts may ask of compute: what belongs on a guest's config drive, and answers for its metadata service."""

from __future__ import annotations

import ipaddress
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import services
from apps.compute.models import Server
from apps.core.api.host import HostView
from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.network.selectors import port_owner_by_address


class ConfigDrive(HostView):
    """`GET config-drive/{server}`: its files, for the host that has the server."""

    def get(self, request: Request, server_id: UUID) -> Response:
        if not Server.objects.filter(pk=server_id, host_name=self.host.name).exists():
            raise NotFound("Instance", server_id)
        return Response({"files": services.config_drive(_host_context(), server_id=server_id)})


class Metadata(HostView):
    """`metadata/{network}/{address}/{path}`: what the guest behind that address asked, in plain text.

    The guest is found by network and source address; one that is not on the asking host does not exist for it.
    """

    def get(self, request: Request, network_id: UUID, address: str, asked: str = "") -> HttpResponse:
        ctx = _host_context()
        found = _owner(ctx, network_id, address)
        server = Server.objects.filter(pk=found, host_name=self.host.name).first() if found else None
        if server is None:
            return HttpResponse(b"no guest of that address", status=404, content_type="text/plain")
        try:
            body = services.metadata_for(ctx, server_id=server.pk, path=asked)
        except NotFound:
            return HttpResponse(b"not found", status=404, content_type="text/plain")
        kind = "application/json" if asked.endswith(".json") else "text/plain; charset=utf-8"
        return HttpResponse(body, content_type=kind)

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return HttpResponse(b"only GET", status=405, content_type="text/plain")


def _owner(ctx: RequestContext, network_id: UUID, address: str) -> str:
    """The server that alone can have this address on this network, or nothing."""
    try:
        owner = port_owner_by_address(ctx, network_id=network_id, address=str(ipaddress.ip_address(address)))
    except ValueError:
        return ""
    return owner[0] if owner else ""


def _host_context() -> RequestContext:
    """The guest's own question: it acts for nobody, and services that answer it are internal."""
    return RequestContext(user_name="guest")


urlpatterns = [
    path("config-drive/<uuid:server_id>", ConfigDrive.as_view()),
    path("metadata/<uuid:network_id>/<str:address>/", Metadata.as_view()),
    path("metadata/<uuid:network_id>/<str:address>/<path:asked>", Metadata.as_view()),
]
