"""What compute's views have in common: versions between which a call exists, and what a query string may hold."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django.http import QueryDict
from rest_framework.request import Request

from apps.compute.api.versions import COMPUTE
from apps.core.api import resource as r
from apps.core.api import types as t
from apps.core.api.resource import Version
from apps.core.api.views import ApiView, ResourceView
from apps.core.errors import Invalid, NotFound
from apps.hosts.models import Host

UUIDS = (2, 53)  # services and hypervisors are named by UUID from here on
STRICT = (2, 75)  # unknown parameters of a query are refused from here on


@dataclass(frozen=True, slots=True)
class Query:
    """Parameters of a query string with the version each came with; unknown ones are ignored until `strict`."""

    known: Mapping[str, Version]
    strict: Version = STRICT

    def read(self, query: QueryDict, version: Version) -> QueryDict:
        """What this version takes of a query string. Raises Invalid."""
        taken = QueryDict(mutable=True)
        for name in query:
            if name in self.known and version >= self.known[name]:
                taken.setlist(name, query.getlist(name))
            elif version >= self.strict:
                raise Invalid(f"Additional query parameters are not allowed: {name}", field=name)
        return taken


class ComputeView(ApiView):
    """A call of compute, which exists from `since` to `until`."""

    api = COMPUTE
    since: ClassVar[Version] = r.FIRST
    until: ClassVar[Version] = r.LAST
    takes: ClassVar[Query | None] = None
    _query: QueryDict | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.since <= self.version <= self.until:
            raise NotFound("The resource")
        takes = self.takes_now()
        if takes is not None and request.method != "POST":
            self._query = takes.read(request.query_params, self.version)

    @property
    def query(self) -> QueryDict:
        return super().query if self._query is None else self._query

    def takes_now(self) -> Query | None:
        """What the query string of this call may hold; None: anything."""
        return self.takes


class ComputeResourceView(ComputeView, ResourceView):
    """A collection of compute and its members."""


def micros(moment: datetime.datetime | None) -> str | None:
    """A time as these calls show it: UTC without a zone."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") if moment else None


def flag(query: Mapping[str, str], name: str) -> bool:
    """A parameter that is true or false; absent: false. Raises Invalid."""
    if name not in query:
        return False
    try:
        return t.parse_flag(query[name])
    except ValueError as error:
        raise Invalid(str(error), field=name) from error


def moment_of(query: Mapping[str, str], name: str) -> datetime.datetime | None:
    """A parameter that is a time; absent: None. Raises Invalid."""
    if name not in query:
        return None
    try:
        return t.parse_time(query[name])
    except ValueError as error:
        raise Invalid(f"Invalid value for {name}: {query[name]!r}", field=name) from error


def wrapped(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a body whose only member is this one."""
    return {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}


def wrapped_object(
    name: str, properties: Mapping[str, Any], *required: str, least: int = 1, closed: bool = True
) -> dict[str, Any]:
    """The same for an object of these properties; `closed`: and no others."""
    inner: dict[str, Any] = {"type": "object", "properties": dict(properties), "required": list(required)}
    return wrapped(name, inner | {"minProperties": least, "additionalProperties": not closed})


def host_by(version: Version, ident: str, noun: str) -> Host:
    """A host by UUID since 2.53, by number before. Raises Invalid for what is no UUID since then, NotFound."""
    if version >= UUIDS:
        try:
            found = Host.objects.filter(pk=t.uuid.parse(ident)).first()
        except ValueError as error:
            raise Invalid(f"Invalid uuid {ident}", field="id") from error
    else:
        number = int(ident) if ident.isdecimal() and len(ident) < 10 else -1
        found = Host.objects.filter(number=number).first()
    if found is None:
        raise NotFound(noun, ident)
    return found
