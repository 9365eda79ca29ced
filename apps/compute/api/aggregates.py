"""Aggregates: hosts that an operator counts together."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import selectors, services
from apps.compute.api.base import ComputeView, micros, wrapped, wrapped_object
from apps.compute.models import Aggregate
from apps.core.api import types as t


def _aggregate(row: Aggregate, version: tuple[int, int], *, created: bool = False) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": row.pk,
        "name": row.name,
        "availability_zone": row.metadata.get("availability_zone"),
        "created_at": micros(row.created_at),
        "updated_at": micros(row.updated_at),
        "deleted": False,
        "deleted_at": None,
    }
    if version >= (2, 41):
        shown["uuid"] = str(row.uuid)
    return shown if created else shown | {"hosts": row.hosts, "metadata": row.metadata}


_NAME = t.text(255, least=1, pattern=r"^\S(.*\S)?$").schema
_ZONE = t.text(255, least=1, null=True, pattern=r"^\S(.*\S)?$").schema


class Aggregates(ComputeView):
    """`/os-aggregates`."""

    BODY = wrapped_object("aggregate", {"name": _NAME, "availability_zone": _ZONE}, "name")

    def get(self, request: Request) -> Response:
        return Response({"aggregates": [_aggregate(row, self.version) for row in selectors.aggregate_list(self.ctx)]})

    def post(self, request: Request) -> Response:
        row = services.aggregate_create(self.ctx, **self.body(self.BODY)["aggregate"])
        return Response({"aggregate": _aggregate(row, self.version, created=True)})


class AggregateView(ComputeView):
    """`/os-aggregates/{id}`."""

    BODY = wrapped_object("aggregate", {"name": _NAME, "availability_zone": _ZONE})

    def get(self, request: Request, ident: str) -> Response:
        return Response({"aggregate": _aggregate(selectors.aggregate_get(self.ctx, aggregate_id=ident), self.version)})

    def put(self, request: Request, ident: str) -> Response:
        row = services.aggregate_update(self.ctx, aggregate_id=ident, **self.body(self.BODY)["aggregate"])
        return Response({"aggregate": _aggregate(row, self.version)})

    def delete(self, request: Request, ident: str) -> Response:
        services.aggregate_delete(self.ctx, aggregate_id=ident)
        return Response(status=200)


class AggregateAction(ComputeView):
    """`POST /os-aggregates/{id}/action`."""

    BODY = {
        "type": "object",
        "properties": {
            "add_host": wrapped("host", _NAME),
            "remove_host": wrapped("host", _NAME),
            "set_metadata": {
                "type": "object",
                "properties": {
                    "metadata": {
                        "type": "object",
                        "patternProperties": {
                            r"^[a-zA-Z0-9\-_:. ]{1,255}$": {"type": ["string", "null"], "maxLength": 255}
                        },
                        "additionalProperties": False,
                    }
                },
                "required": ["metadata"],
                "additionalProperties": False,
            },
        },
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }  # fmt: skip

    def post(self, request: Request, ident: str) -> Response:
        ((name, value),) = self.body(self.BODY).items()
        call: Any = {
            "add_host": services.aggregate_add_host,
            "remove_host": services.aggregate_remove_host,
            "set_metadata": services.aggregate_set_metadata,
        }[name]
        return Response({"aggregate": _aggregate(call(self.ctx, aggregate_id=ident, **value), self.version)})
