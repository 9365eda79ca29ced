"""`/audit`: the log of who changed what. Nothing can be written here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.audit import selectors
from apps.audit.resources import CADF_MEDIA, EVENT, cadf
from apps.core.api import types as t
from apps.core.api.listing import Param
from apps.core.api.service import Api, Page, keystone_fault, nova_links
from apps.core.api.views import ApiView, Crud, ResourceView

AUDIT = Api(name="audit", prefix="/audit", fault=keystone_fault, links=nova_links, strict_filters=True)


class Versions(ApiView):
    """`GET /audit`: the versions there are."""

    api = AUDIT
    public = True

    def get(self, request: Request) -> Response:
        return Response({"versions": [_version(self.base)]})


class Version(ApiView):
    """`GET /audit/v1`."""

    api = AUDIT
    public = True

    def get(self, request: Request) -> Response:
        return Response({"version": _version(self.base)})


def _version(base: str) -> dict[str, Any]:
    links = [{"rel": "self", "href": f"{base}/audit/v1/"}]
    return {"id": "v1.0", "status": "CURRENT", "version": "", "min_version": "", "links": links}


class Events(ResourceView):
    """Events, newest first; with `Accept: application/cadf+json` in CADF's form."""

    api = AUDIT
    resource = EVENT
    calls = Crud(list=selectors.event_list, get=selectors.event_get)
    params = (
        Param("since", t.time),
        Param("until", t.time),
        Param("target_type", t.text(64)),
        Param("target_id", t.text(255)),
    )

    @property
    def _as_cadf(self) -> bool:
        return CADF_MEDIA in self.request.headers.get("Accept", "")

    def wrap_list(self, members: Sequence[Any], page: Page) -> Any:
        return super().wrap_list([cadf(one) for one in members] if self._as_cadf else members, page)

    def wrap(self, member: Any) -> Any:
        return super().wrap(cadf(member) if self._as_cadf else member)
