"""Version documents, which clients read before they have a token. They touch no table."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.views import ApiView
from apps.identity.api.base import IDENTITY


def _version(base: str) -> dict[str, Any]:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base}/identity/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


class Versions(ApiView):
    """`GET /identity`: the versions there are, with 300 as Keystone."""

    api = IDENTITY
    public = True

    def get(self, request: Request) -> Response:
        return Response({"versions": {"values": [_version(self.base)]}}, status=300)


class Version(ApiView):
    """`GET /identity/v3`."""

    api = IDENTITY
    public = True

    def get(self, request: Request) -> Response:
        return Response({"version": _version(self.base)})
