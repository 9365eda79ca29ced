"""Versions of objects: one by its id, the marker of a delete, and all in order.

A listing goes by names and within a name from the current object back through its versions. It walks both tables at
once, each step one row of an index, so a page costs what it shows, however many versions there are.
"""

# ruff: noqa: S608 - the texts that are put together are this module's own; what callers say travels as values

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector
from apps.objectstore.models import Object, ObjectFields, Version
from apps.objectstore.selectors.access import require
from apps.objectstore.selectors.facts import container_row, facts_of, object_row
from apps.objectstore.selectors.listing import LAST, Page, after
from apps.objectstore.states import MAX_OBJECT_NAME, NO_VERSION


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """One line of a listing of versions. A `subdir` has a name only."""

    name: str
    is_subdir: bool = False
    is_latest: bool = False  # a reader gets it: an object, or that it is deleted
    is_marker: bool = False
    version_id: UUID = NO_VERSION
    bytes: int = 0
    etag: str = ""
    content_type: str = ""
    at: datetime.datetime | None = None


@selector("object_store:public")
def version_list(
    ctx: RequestContext,
    *,
    account: str,
    container: str,
    page: Page,
    version_marker: UUID | None = None,
    referrer: str = "",
) -> list[VersionEntry]:
    """Objects with their versions, and common prefixes; `page.end_marker` and `page.path` have no meaning here.

    With `version_marker` the page goes on within the name that `page.marker` says. Raises Forbidden, NotFound.
    """
    place = container_row(account, container)
    require(ctx, account, place, "s3:ListBucketVersions", referrer=referrer, facts=facts_of(page))
    if place is None:
        raise NotFound("container", container)
    return version_entries(place.pk, page, version_marker)


def version_row(container_id: UUID, name: str, version_id: UUID) -> Object | Version | None:
    """A version's row, whoever asks; not of an object whose time is over."""
    current = object_row(container_id, name)
    if current is not None and current.version_id == version_id:
        return current
    return Version.objects.filter(container_id=container_id, name=name, version_id=version_id).first()


def marker_row(container_id: UUID, name: str) -> Version | None:
    """The marker that stands for an object which is not there, if one does."""
    found = Version.objects.filter(container_id=container_id, name=name).order_by("-created_at").first()
    return found if found is not None and found.is_marker and object_row(container_id, name) is None else None


def version_entries(container_id: UUID, page: Page, version_marker: UUID | None = None) -> list[VersionEntry]:
    """A page of a container's objects and versions."""
    if page.limit <= 0:
        return []
    sql, values = statement(page, _start(container_id, page, version_marker))
    with connection.cursor() as cursor:
        cursor.execute(sql, values | {"ident": container_id, "limit": page.limit})
        found = cursor.fetchall()
    return [VersionEntry(name, is_subdir, *([] if is_subdir else facts)) for name, is_subdir, *facts in found]


@dataclass(frozen=True, slots=True)
class Start:
    """Where a walk begins: at a name, or inside the versions of one.

    `go_on` is the first name it may show (in reverse, the one before which it begins); inside a name, that is
    the one after it, and `at` the time of the version that was shown last, None for the current object.
    """

    go_on: str
    inside: bool = False
    name: str = ""
    at: datetime.datetime | None = None
    is_current: bool = False


def _start(container_id: UUID, page: Page, version_marker: UUID | None) -> Start:
    found = _seen(container_id, page.marker, version_marker) if version_marker is not None else None
    if found is not None:
        is_current = isinstance(found, Object)
        return Start(_behind(page, page.marker), True, page.marker, found.created_at, is_current)
    if not page.marker:
        return Start(LAST * MAX_OBJECT_NAME if page.reverse else "")
    # A version that is gone meanwhile: what is left of its name is shown again, rather than left out.
    if version_marker is not None:
        return Start(f"{page.marker}\x01" if page.reverse else page.marker)
    return Start(_behind(page, page.marker))


def _seen(container_id: UUID, name: str, version_id: UUID) -> ObjectFields | None:
    same = {"container_id": container_id, "name": name, "version_id": version_id}
    return Object.objects.filter(**same).first() or Version.objects.filter(**same).first()


def _behind(page: Page, name: str) -> str:
    """Where to go on after a name, or after a group where it is one."""
    if page.reverse:
        return name
    rest = name.removeprefix(page.prefix)
    if page.delimiter in rest and page.delimiter and rest.index(page.delimiter) + len(page.delimiter) == len(rest):
        return after(name)
    return f"{name}\x01"


_FACTS = "version_id, bytes, etag, content_type, created_at"
_OBJECT = "objectstore_object", f"o.name, 0 AS rank, false AS is_marker, {_FACTS}"
_VERSION = "objectstore_version", f"o.name, 1 AS rank, o.is_marker, {_FACTS}"


def statement(page: Page, start: Start) -> tuple[str, dict[str, Any]]:
    """The query of a page and its values; `ident` and `limit` are to be added."""
    bounds, values = _bounds(page)
    ahead, behind = ("DESC", "ASC") if page.reverse else ("ASC", "DESC")
    beyond = f"o.name {'<' if page.reverse else '>='} w.go_on"
    older = f"w.inside AND o.name = w.name AND o.created_at {'>' if page.reverse else '<'} w.edge"

    def first(table: tuple[str, str], where: str, order: str) -> str:
        return (
            f"(SELECT {table[1]} FROM {table[0]} o WHERE o.container_id = %(ident)s{bounds} AND {where} "
            f"ORDER BY {order} LIMIT 1)"
        )

    arms = [
        first(_OBJECT, beyond, f"o.name {ahead}"),
        first(_VERSION, beyond, f"o.name {ahead}, o.created_at {behind}"),
        first(_VERSION, older, f"o.created_at {behind}"),
    ]
    if page.reverse:  # after the versions of a name comes its object
        arms.append(first(_OBJECT, "w.inside AND w.rank = 1 AND o.name = w.name", "o.name"))
    cut = "position(%(delimiter)s in substr(c.name, %(skip)s))" if page.delimiter else "0"
    group = f"left(c.name, %(skip)s - 1 + {cut} - 1 + length(%(delimiter)s))"
    group_end = group if page.reverse else f"left({group}, -1) || %(next)s"
    name_end = "c.name" if page.reverse else "c.name || chr(1)"
    edge = "CASE WHEN c.rank = 0 THEN 'infinity' ELSE c.created_at END"
    row = (
        f"c.*, {cut} > 0 AS is_subdir, CASE WHEN {cut} > 0 THEN {group} ELSE c.name END AS shown, "
        f"{cut} = 0 AS inside, CASE WHEN {cut} > 0 THEN {group_end} ELSE {name_end} END AS go_on, {edge} AS edge"
    )
    seed = (
        "%(name)s COLLATE \"C\", %(rank)s, false, NULL::uuid, 0::bigint, ''::varchar(64), ''::text, NULL::timestamptz, "
        'true, \'\' COLLATE "C", %(inside)s, %(go_on)s COLLATE "C", %(edge)s::timestamptz'
    )
    names = f"name, rank, is_marker, {_FACTS}, is_subdir, shown, inside, go_on, edge"
    latest = (
        "w.rank = 0 OR (w.is_marker AND NOT EXISTS (SELECT FROM objectstore_object o WHERE "
        "o.container_id = %(ident)s AND o.name = w.name) AND NOT EXISTS (SELECT FROM objectstore_version o WHERE "
        "o.container_id = %(ident)s AND o.name = w.name AND o.created_at > w.created_at))"
    )
    sql = (
        f"WITH RECURSIVE walk ({names}) AS (SELECT {seed} UNION ALL SELECT n.* FROM walk w CROSS JOIN LATERAL ("
        f"SELECT {row} FROM ({' UNION ALL '.join(arms)}) c "
        f"ORDER BY c.name {ahead}, c.rank {ahead}, c.created_at {behind} LIMIT 1) n) "
        f"SELECT w.shown, w.is_subdir, {latest}, w.is_marker, w.version_id, w.bytes, w.etag, w.content_type, "
        "w.created_at FROM walk w OFFSET 1 LIMIT %(limit)s"
    )
    values |= {
        "skip": len(page.prefix) + 1,
        "delimiter": page.delimiter,
        "next": after(page.delimiter[-1]) if page.delimiter else "",
        "name": start.name,
        "rank": 0 if start.is_current else 1,
        "inside": start.inside,
        "go_on": start.go_on,
        "edge": "infinity" if start.is_current else start.at,
    }
    return sql, values


def _bounds(page: Page) -> tuple[str, dict[str, Any]]:
    """Conditions on the name by the prefix."""
    if not page.prefix:
        return "", {}
    behind = after(page.prefix)
    upper = " AND o.name < %(behind)s" if behind else ""
    return f" AND o.name >= %(least)s{upper}", {"least": page.prefix, "behind": behind}
