"""`/operations`: Kumo's own API, to watch long changes and to stop them."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.resource import SHOW
from apps.core.api.service import Api, keystone_fault, nova_links
from apps.core.api.views import Call, Crud, ResourceView
from apps.operations import selectors, services
from apps.operations.resources import OPERATION

OPERATIONS = Api(name="operations", prefix="/operations", fault=keystone_fault, links=nova_links)


class Operations(ResourceView):
    """Operations of the caller's project; for administrators all."""

    api = OPERATIONS
    resource = OPERATION
    calls = Crud(list=selectors.operation_list, get=selectors.operation_get_query)


class _Command(ResourceView):
    """`POST /operations/{id}/<verb>` without a body; answers with the operation as it then is."""

    api = OPERATIONS
    resource = OPERATION
    calls = Crud(get=selectors.operation_get_query)
    service: Call
    http_method_names = ["post", "options"]

    def _handler(self, method: str) -> Any:
        return self.command if method == "post" else None

    def command(self, request: Request, **_: Any) -> Response:
        """Call the service."""
        type(self).service(self.ctx, operation_id=self.kwargs["ident"])
        found = self._render_one(selectors.operation_get_query(self.ctx, operation_id=self.kwargs["ident"]), SHOW)
        return Response(found, status=202)


class Cancel(_Command):
    service = staticmethod(services.operation_cancel)


class Retry(_Command):
    service = staticmethod(services.operation_retry)


class Abandon(_Command):
    service = staticmethod(services.operation_abandon)
