"""Names in order: of an account's containers and of a container's objects.

A page is one index scan, however much there is. With a delimiter, names that share the part up to it become one
entry, and the scan jumps behind them all: it touches as many rows as it returns entries.
"""

# ruff: noqa: S608 - the texts that are put together are this module's own; what callers say travels as values

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import connection

LAST = chr(0x10FFFF)
_SURROGATES = range(0xD800, 0xE000)


@dataclass(frozen=True, slots=True)
class Page:
    """Which names a caller wants. `path` is Swift's older manner: what lies directly below, without folders.

    A delimiter cannot end with LAST: nothing comes behind it.
    """

    prefix: str = ""
    delimiter: str = ""
    marker: str = ""
    end_marker: str = ""
    limit: int = 10_000
    reverse: bool = False
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing. A `subdir` has a name only."""

    name: str
    is_subdir: bool = False
    bytes: int = 0
    count: int = 0  # objects of a container
    etag: str = ""
    content_type: str = ""
    at: datetime.datetime | None = None
    links: Mapping[str, Any] | None = None  # of a symbolic link: its target


_TOTALS = """
  c.base_objects + coalesce((SELECT sum(d.objects_change) FROM objectstore_delta d WHERE d.container_id = c.id), 0),
  c.base_bytes + coalesce((SELECT sum(d.bytes_change) FROM objectstore_delta d WHERE d.container_id = c.id), 0)
"""
OBJECTS = ("objectstore_object", "container_id", "bytes, 0, etag, content_type, created_at, links")
CONTAINERS = ("objectstore_container", "account_id", "id")


def objects(container_id: UUID, page: Page) -> list[Entry]:
    """Objects and common prefixes of a container."""
    return [
        Entry(name, True) if is_subdir else Entry(name, False, size, 0, etag, kind, at, links and orjson.loads(links))
        for name, is_subdir, size, _, etag, kind, at, links in _walk(*OBJECTS, container_id, page)
    ]


def segments_of(container_id: UUID, found: Sequence[Entry]) -> dict[str, int]:
    """How many segments the static large objects among these entries have, by name."""
    names = [entry.name for entry in found if not entry.is_subdir]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, jsonb_array_length(segments) FROM objectstore_object "
            "WHERE container_id = %s AND name = ANY(%s) AND segments IS NOT NULL",
            [container_id, names],
        )
        return dict(cursor.fetchall())


def containers(account: str, page: Page) -> list[Entry]:
    """Containers of an account with their totals, and common prefixes of their names."""
    found = _walk(*CONTAINERS, account, page)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT c.name, {_TOTALS}, c.created_at FROM objectstore_container c WHERE c.id = ANY(%s)",
            [[row[2] for row in found if not row[1]]],
        )
        facts = {name: (count, size, at) for name, count, size, at in cursor.fetchall()}
    entries = []
    for name, is_subdir, _ in found:
        if is_subdir:
            entries.append(Entry(name, True))
        elif name in facts:  # not deleted meanwhile
            count, size, at = facts[name]
            entries.append(Entry(name, False, int(size), int(count), at=at))
    return entries


def after(text: str) -> str:
    """The smallest text greater than all that begin with `text`; "" where there is none."""
    while text:
        following = ord(text[-1]) + 1
        if following in _SURROGATES:
            following = _SURROGATES.stop
        if following <= ord(LAST):
            return text[:-1] + chr(following)
        text = text[:-1]
    return ""


def _walk(table: str, owner: str, columns: str, ident: Any, page: Page) -> list[tuple[Any, ...]]:
    """Rows of (name, is_subdir, *columns)."""
    if page.limit <= 0:
        return []
    sql, values = statement(page)
    text = sql.format(table=table, owner=owner, columns=columns)
    with connection.cursor() as cursor:
        cursor.execute(text, values | {"ident": ident, "limit": page.limit})
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
    return list(rows)


def statement(page: Page) -> tuple[str, dict[str, Any]]:
    """The query of a page, with `{table}`, `{owner}` and `{columns}` to be filled in, and its values."""
    page = resolved(page)
    return _skipping(page) if page.delimiter else _plain(page)


def resolved(page: Page) -> Page:
    """The same page with its `path`, if any, said as prefix and delimiter."""
    if page.path is None:
        return page
    folder = f"{page.path.rstrip('/')}/" if page.path else ""
    return Page(folder, "/", page.marker, page.end_marker, page.limit, page.reverse, folder)


def _bounds(page: Page) -> tuple[str, dict[str, Any]]:
    """Conditions on the name, as SQL with its values."""
    lower, upper = (page.marker, page.end_marker) if not page.reverse else (page.end_marker, page.marker)
    wanted: list[tuple[str, str, str]] = []
    if lower:
        wanted.append(("lower", ">", lower))
    if upper:
        wanted.append(("upper", "<", upper))
    if page.prefix:
        wanted.append(("least", ">=", page.prefix))
        if behind := after(page.prefix):
            wanted.append(("behind", "<", behind))
    return "".join(f" AND o.name {sign} %({key})s" for key, sign, _ in wanted), {key: text for key, _, text in wanted}


def _plain(page: Page) -> tuple[str, dict[str, Any]]:
    bounds, values = _bounds(page)
    order = "DESC" if page.reverse else "ASC"
    sql = (
        "SELECT o.name, false, {columns} FROM {table} o WHERE o.{owner} = %(ident)s"
        f"{bounds} ORDER BY o.name {order} LIMIT %(limit)s"
    )
    return sql, values


def _skipping(page: Page) -> tuple[str, dict[str, Any]]:
    bounds, values = _bounds(page)
    order = "DESC" if page.reverse else "ASC"
    rest = "substr(o.name, %(skip)s)"
    cut = f"position(%(delimiter)s in {rest})"
    group = f"left(o.name, %(skip)s - 1 + {cut} - 1 + length(%(delimiter)s))"
    # Where the next name is looked for: behind the whole group, or behind this one name.
    behind = f"left({group}, -1) || %(next)s" if not page.reverse else group
    one = "o.name || chr(1)" if not page.reverse else "o.name"
    row = (
        f"o.name, {cut} > 0 AS is_subdir, CASE WHEN {cut} > 0 THEN {group} ELSE o.name END AS shown, "
        f"CASE WHEN {cut} > 0 THEN {behind} ELSE {one} END AS go_on, {{columns}}"
    )
    start = f"FROM {{table}} o WHERE o.{{owner}} = %(ident)s{bounds}"
    sign = "<" if page.reverse else ">="
    # A marker that is itself a group was the last entry of the page before.
    seen = " AND NOT (o.is_subdir AND o.shown = %(marker)s)"
    # In Swift's older manner a group is shown only if an object bears its very name.
    only = " AND (NOT o.is_subdir OR o.name = o.shown) AND o.name <> %(path)s" if page.path is not None else ""
    flag = "false" if page.path is not None else "o.is_subdir"
    values |= {
        "skip": len(page.prefix) + 1,
        "delimiter": page.delimiter,
        "next": after(page.delimiter[-1]),
        "marker": page.marker,
        "path": page.path or "",
    }
    sql = (
        "WITH RECURSIVE walk AS ("
        f"(SELECT {row} {start} ORDER BY o.name {order} LIMIT 1) UNION ALL "
        f"SELECT n.* FROM walk w CROSS JOIN LATERAL (SELECT {row} {start} AND o.name {sign} w.go_on "
        f"ORDER BY o.name {order} LIMIT 1) n) "
        f"SELECT o.shown, {flag}, {{columns}} FROM walk o WHERE true{seen}{only} LIMIT %(limit)s"
    )
    return sql, values
