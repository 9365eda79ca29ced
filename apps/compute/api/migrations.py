"""Moves of servers between hosts. Nothing moves yet, so that the lists are empty and no migration can be found."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import selectors
from apps.compute.api.base import ComputeView, Query, moment_of
from apps.core.api.listing import limit_of
from apps.core.errors import Invalid, NotFound

_OLDEST = ("hidden", "host", "instance_uuid", "source_compute", "status", "migration_type")


class Migrations(ComputeView):
    """`GET /os-migrations`."""

    takes = Query(
        dict.fromkeys(_OLDEST, (2, 1))
        | dict.fromkeys(("limit", "marker", "changes-since"), (2, 59))
        | {"changes-before": (2, 66), "user_id": (2, 80), "project_id": (2, 80)},
        strict=(2, 59),
    )

    def get(self, request: Request) -> Response:
        selectors.migration_check(self.ctx)
        limit_of(self.query)
        for name in ("changes-since", "changes-before"):
            moment_of(self.query, name)
        if "marker" in self.query:
            raise Invalid(f"Marker {self.query['marker']} could not be found.", field="marker")
        return Response({"migrations": []})


class ServerMigrations(ComputeView):
    """`GET /servers/{id}/migrations`, since 2.23."""

    since = (2, 23)

    def get(self, request: Request, server_id: str) -> Response:
        selectors.server_migration_check(self.ctx, server_id=server_id, verb="index")
        return Response({"migrations": []})


class ServerMigration(ComputeView):
    """`GET` (since 2.23) and `DELETE` (since 2.24) `/servers/{id}/migrations/{migration}`."""

    since = (2, 23)

    def get(self, request: Request, server_id: str, migration_id: str) -> Response:
        selectors.server_migration_check(self.ctx, server_id=server_id, verb="show")
        raise NotFound("Migration", migration_id)

    def delete(self, request: Request, server_id: str, migration_id: str) -> Response:
        if self.version < (2, 24):
            raise NotFound("The resource")
        selectors.server_migration_check(self.ctx, server_id=server_id, verb="delete")
        raise NotFound("Migration", migration_id)


class ServerMigrationAction(ComputeView):
    """`POST /servers/{id}/migrations/{migration}/action`, since 2.22."""

    since = (2, 22)
    BODY = {
        "type": "object",
        "properties": {"force_complete": {"type": "null"}},
        "required": ["force_complete"],
        "additionalProperties": False,
    }

    def post(self, request: Request, server_id: str, migration_id: str) -> Response:
        self.body(self.BODY)
        selectors.server_migration_check(self.ctx, server_id=server_id, verb="force_complete")
        raise NotFound("Migration", migration_id)
