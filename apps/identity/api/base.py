"""What the views of identity share: its API, extra attributes in members, and joining one thing to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.service import Api, Page, keystone_fault, keystone_links
from apps.core.api.views import ApiView, ResourceView

IDENTITY = Api(name="identity", prefix="/identity", fault=keystone_fault, links=keystone_links)


class IdentityView(ResourceView):
    """A resource whose unknown attributes are kept in `extra` and shown beside the known ones."""

    api = IDENTITY
    update_methods = ("patch",)

    def wrap(self, member: Mapping[str, Any]) -> Any:
        return super().wrap(with_extra(member))

    def wrap_list(self, members: Sequence[Any], page: Page) -> Any:
        return super().wrap_list([with_extra(member) for member in members], page)


class Association(ApiView):
    """Two things that belong together or not: checked, joined, parted by the ids of the address."""

    api = IDENTITY
    check: Callable[..., Any]
    join: Callable[..., Any]
    part: Callable[..., Any]

    def get(self, request: Request, **ids: Any) -> Response:
        type(self).check(self.ctx, **ids)
        return Response(status=204)

    def put(self, request: Request, **ids: Any) -> Response:
        type(self).join(self.ctx, **ids)
        return Response(status=204)

    def delete(self, request: Request, **ids: Any) -> Response:
        type(self).part(self.ctx, **ids)
        return Response(status=204)


def with_extra(member: Mapping[str, Any]) -> dict[str, Any]:
    """Known attributes win over extra ones of the same name."""
    known = dict(member)
    extra = known.pop("extra", None) or {}
    return {**extra, **known}
