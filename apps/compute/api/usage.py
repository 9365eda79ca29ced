"""What projects used."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import selectors
from apps.compute.api.base import ComputeView, Query, micros
from apps.compute.models import ServerAny
from apps.compute.states import VM_STATES, ServerState
from apps.core.api import types as t
from apps.core.api.listing import limit_of, next_query
from apps.core.clock import database_time
from apps.core.errors import Invalid

_PERIOD = {"start": (2, 1), "end": (2, 1), "limit": (2, 40), "marker": (2, 40)}


@dataclass(frozen=True, slots=True)
class _Period:
    """What is asked for, and when."""

    start: datetime.datetime
    stop: datetime.datetime
    now: datetime.datetime


def _period(query: Mapping[str, str]) -> _Period:
    """`start` and `end`, by default the last four weeks. Raises Invalid."""
    now = database_time()
    found = {}
    for name, default in (("start", now - datetime.timedelta(weeks=4)), ("end", now)):
        try:
            found[name] = t.parse_time(query[name]) if query.get(name) else default
        except ValueError as error:
            raise Invalid(f"Datetime is in invalid format: {query[name]!r}", field=name) from error
    if found["end"] < found["start"]:
        raise Invalid("Invalid start time. The start time cannot occur after the end time.", field="start")
    return _Period(found["start"], found["end"], now)


def _server_usage(row: ServerAny, period: _Period) -> dict[str, Any]:
    ended = row.deleted_at or row.deleting_at
    launched = row.launched_at
    assert launched is not None
    seconds = max((min(ended or period.stop, period.stop) - max(launched, period.start)).total_seconds(), 0)
    return {
        "instance_id": str(row.pk),
        "name": row.name,
        "tenant_id": row.project_id,
        "flavor": row.flavor["name"],
        "vcpus": row.vcpus,
        "memory_mb": row.ram_mib,
        "local_gb": row.flavor["disk"] + row.flavor["ephemeral"],
        "hours": seconds / 3600,
        "started_at": micros(launched),
        "ended_at": micros(ended),
        "state": "terminated" if ended else VM_STATES[ServerState(row.state)],
        "uptime": int(((ended or period.now) - launched).total_seconds()),
    }


def _usage(project_id: str, rows: Iterable[ServerAny], period: _Period, *, detailed: bool) -> dict[str, Any]:
    servers = [_server_usage(row, period) for row in rows]
    shown: dict[str, Any] = {
        "tenant_id": project_id,
        "start": micros(period.start),
        "stop": micros(period.stop),
        "total_hours": sum(one["hours"] for one in servers),
        "total_vcpus_usage": sum(one["hours"] * one["vcpus"] for one in servers),
        "total_memory_mb_usage": sum(one["hours"] * one["memory_mb"] for one in servers),
        "total_local_gb_usage": sum(one["hours"] * one["local_gb"] for one in servers),
    }
    return shown | {"server_usages": servers} if detailed else shown


class _Paged(ComputeView):
    """Servers are what is counted for a page, not projects; until 2.40 there is one page."""

    @property
    def limit(self) -> int:
        asked = limit_of(self.query, self.api.max_page)
        return self.api.max_page if asked is None else asked

    def _links(self, rows: Sequence[ServerAny], name: str) -> dict[str, Any]:
        """A full page may have another one after it."""
        if self.version < (2, 40) or not rows or len(rows) < self.limit:
            return {}
        link = f"{self.base}{self.request.path}?{next_query(self.query, rows[-1].pk)}"
        return {name: [{"rel": "next", "href": link}]}


class Usages(_Paged):
    """`GET /os-simple-tenant-usage`."""

    takes = Query(_PERIOD | {"detailed": (2, 1)})

    def get(self, request: Request) -> Response:
        period = _period(self.query)
        marker = self.query.get("marker", "")
        found = selectors.usage_list(self.ctx, start=period.start, stop=period.stop, marker=marker)
        rows = list(found[: self.limit])
        by_project: dict[str, list[ServerAny]] = {}
        for row in rows:
            by_project.setdefault(row.project_id, []).append(row)
        detailed = self.query.get("detailed") == "1"
        usages = [_usage(name, used, period, detailed=detailed) for name, used in by_project.items()]
        return Response({"tenant_usages": usages, **self._links(rows, "tenant_usages_links")})


class Usage(_Paged):
    """`GET /os-simple-tenant-usage/{project}`."""

    takes = Query(_PERIOD)

    def get(self, request: Request, project_id: str) -> Response:
        period = _period(self.query)
        marker = self.query.get("marker", "")
        found = selectors.usage_get(
            self.ctx, project_id=project_id, start=period.start, stop=period.stop, marker=marker
        )
        rows = list(found[: self.limit])
        shown = _usage(project_id, rows, period, detailed=True) if rows else {}
        return Response({"tenant_usage": shown, **self._links(rows, "tenant_usage_links")})
