"""What the views of identity share: its API, extra attributes in members, and a target for its rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.core.api.service import Api, Page, keystone_fault, keystone_links
from apps.core.api.views import ResourceView

IDENTITY = Api(name="identity", prefix="/identity", fault=keystone_fault, links=keystone_links)


class IdentityView(ResourceView):
    """A resource whose unknown attributes are kept in `extra` and shown beside the known ones."""

    api = IDENTITY
    update_methods = ("patch",)

    def wrap(self, member: Mapping[str, Any]) -> Any:
        return super().wrap(with_extra(member))

    def wrap_list(self, members: Sequence[Any], page: Page) -> Any:
        return super().wrap_list([with_extra(member) for member in members], page)


def with_extra(member: Mapping[str, Any]) -> dict[str, Any]:
    """Known attributes win over extra ones of the same name."""
    known = dict(member)
    extra = known.pop("extra", None) or {}
    return {**extra, **known}
