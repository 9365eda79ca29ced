"""`POST /os-server-external-events`: what other services tell of servers."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import services
from apps.compute.api.base import ComputeView, wrapped
from apps.core.api import types as t
from apps.core.api.resource import Version

# Name of an event, and since when it is one.
NAMES: dict[str, Version] = {
    "network-changed": (2, 1),
    "network-vif-plugged": (2, 1),
    "network-vif-unplugged": (2, 1),
    "network-vif-deleted": (2, 1),
    "volume-extended": (2, 51),
    "power-update": (2, 76),
    "accelerator-request-bound": (2, 82),
    "volume-reimaged": (2, 93),
}


class ServerExternalEvents(ComputeView):
    """Each event is answered for itself; 207 where not all were taken."""

    def post(self, request: Request) -> Response:
        asked = self.body(_body(self.version))["events"]
        told = services.server_events_take(self.ctx, events=asked)
        return Response({"events": told}, status=200 if all(one["code"] == 200 for one in told) else 207)


def _body(version: Version) -> dict[str, Any]:
    event = {
        "type": "object",
        "properties": {
            "name": {"enum": [name for name, since in NAMES.items() if version >= since]},
            "server_uuid": t.uuid.schema,
            "status": {"enum": ["failed", "completed", "in-progress"]},
            "tag": t.text(255).schema,
        },
        "required": ["name", "server_uuid"],
        "additionalProperties": False,
    }
    return wrapped("events", {"type": "array", "minItems": 1, "items": event})
