"""What the views of the network API share: Neutron's bulk create, conditional updates, and loose booleans."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import policy
from apps.core.api import resource as r
from apps.core.api import schema as schemas
from apps.core.api import types as t
from apps.core.api.listing import Param
from apps.core.api.service import Api, neutron_fault, neutron_links
from apps.core.api.views import ResourceView
from apps.core.errors import Invalid, NotFound
from apps.network import services
from apps.network.resources import convert

NETWORK_API = Api(
    name="network",
    prefix="/networking",
    fault=neutron_fault,
    links=neutron_links,
    max_page=10_000,
    strict_filters=True,
)

TAG_PARAMS = tuple(
    Param(name, t.text(), arg=name.replace("-", "_"), many=True)
    for name in ("tags", "tags-any", "not-tags", "not-tags-any")
)
_IF_MATCH = re.compile(r'^"?revision_number=(\d+)"?$')
_MAX_BULK = 1000


class NeutronView(ResourceView):
    """A collection of this API."""

    api = NETWORK_API
    params = TAG_PARAMS
    update_methods = ("put",)

    def create(self, request: Request, **parents: Any) -> Response:
        if isinstance(request.data, Mapping) and self.resource.collection in request.data:
            return self._create_many(request.data)
        return super().create(request, **parents)

    def _create_many(self, body: Mapping[str, Any]) -> Response:
        """All of them, or none."""
        items = body[self.resource.collection]
        if not isinstance(items, list) or not items or len(body) != 1:
            raise Invalid(f"Bulk operation needs a list of {self.resource.collection} and nothing else.")
        if len(items) > _MAX_BULK:
            raise Invalid(f"At most {_MAX_BULK} {self.resource.collection} at once.")
        assert self.calls.create is not None
        arguments = [self._arguments(r.CREATE, {self.resource.member: item}) for item in items]
        made = services.create_many(self.ctx, call=self.calls.create, items=arguments)
        members = [self._written(one, self.show_view)[self.resource.member] for one in made]
        return Response({self.resource.collection: members}, status=self.create_status)

    def _arguments(self, view: str, body: Any) -> dict[str, Any]:
        schemas.validate(self.resource.schema(view, self.version), body)
        for rule in self.resource.guarded(view, self.version, body):
            policy.enforce(self.ctx, rule)
        kinds = {f.name: f.type for f in self.resource.taken(view, self.version)}
        inner = {name: convert(kinds[name], value) for name, value in body[self.resource.member].items()}
        arguments = self.resource.arguments(view, self.version, {self.resource.member: inner})
        return arguments | self._condition() if view == r.UPDATE else arguments

    def _row(self, found: Any, fields: tuple[r.F, ...]) -> r.Row:
        try:
            return super()._row(found, fields)
        except NotFound as error:
            raise services.missing(self.resource.member, self.kwargs.get("ident", "")) from error

    def destroy(self, request: Request, **_: Any) -> Response:
        assert self.calls.delete is not None
        self.calls.delete(self.ctx, **self.target, **self._condition())
        return Response(status=self.delete_status)

    def _condition(self) -> dict[str, int]:
        """`If-Match: revision_number=7`."""
        text = self.request.headers.get("If-Match")
        if text is None:
            return {}
        found = _IF_MATCH.match(text.strip())
        if not found:
            raise Invalid("If-Match must be of the form revision_number=N.", field="If-Match")
        return {"if_revision": int(found.group(1))}
