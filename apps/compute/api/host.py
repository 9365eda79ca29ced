"""What hosts may ask of compute: what belongs on a guest's config drive, and answers for its metadata service."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
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
from apps.core.errors import Conflict, Invalid, NotFound
from apps.network.selectors import port_owner_by_address

PASSWORD = re.compile(r"openstack/[^/]+/password")  # the only thing a guest may post


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
        return self._answer(network_id, address, lambda ctx, server: _read(ctx, server, asked))

    def post(self, request: Request, network_id: UUID, address: str, asked: str = "") -> HttpResponse:
        if not PASSWORD.fullmatch(asked):
            return self.http_method_not_allowed(request)
        posted = request.body
        return self._answer(network_id, address, lambda ctx, server: _take_password(ctx, server, posted))

    def _answer(
        self, network_id: UUID, address: str, answer: Callable[[RequestContext, Server], HttpResponse]
    ) -> HttpResponse:
        ctx = _host_context()
        found = _owner(ctx, network_id, address)
        server = Server.objects.filter(pk=found, host_name=self.host.name).first() if found else None
        return _plain(404, "no guest of that address") if server is None else answer(ctx, server)

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return _plain(405, "only GET")


def _plain(status: int, text: str) -> HttpResponse:
    return HttpResponse(text.encode(), status=status, content_type="text/plain")


def _read(ctx: RequestContext, server: Server, asked: str) -> HttpResponse:
    try:
        body = services.metadata_for(ctx, server_id=server.pk, path=asked)
    except NotFound:
        return _plain(404, "not found")
    kind = "application/json" if asked.endswith(".json") else "text/plain; charset=utf-8"
    return HttpResponse(body, content_type=kind)


def _take_password(ctx: RequestContext, server: Server, posted: bytes) -> HttpResponse:
    try:
        services.server_password_take(ctx, server_id=server.pk, encrypted=posted)
    except (Conflict, Invalid) as error:
        return _plain(error.status, error.message)
    return _plain(200, "")


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
