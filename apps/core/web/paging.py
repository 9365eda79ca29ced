"""Keyset paging of pages: the cursor holds the values of the last row seen, never an offset."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldError, ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DataError
from django.db.models import Q, QuerySet

from apps.core.errors import Invalid
from apps.core.web.cells import pick

_STRANGE = "This page's address is not one that the list hands out."


@dataclass(frozen=True, slots=True)
class Slice:
    """One page of rows with the cursors of its neighbours, empty where there is none."""

    rows: list[Any]
    before: str
    after: str


def cut(rows: QuerySet[Any], *, sort: str, descending: bool, cursor: str, size: int, key: str = "pk") -> Slice:
    """The page that `cursor` names; rows are ordered by `sort` and then by their key.

    Raises Invalid for a cursor that this list did not hand out.
    """
    backwards, edge = _read(cursor)
    down = descending != backwards
    order = [f"-{sort}" if down else sort] + ([f"-{key}" if backwards else key] if key != sort else [])
    try:
        rows = rows.filter(_beyond(sort, key, edge, down)) if edge else rows
        found = list(rows.order_by(*order)[: size + 1])
    except (ValidationError, ValueError, TypeError, FieldError, DataError) as error:
        raise Invalid(_STRANGE, field="cursor") from error
    return _slice(found, backwards, bool(edge), size, sort, key)


def cut_by(
    fetch: Callable[[str, bool, int], list[Any]], *, descending: bool, cursor: str, size: int, key: str = "name"
) -> Slice:
    """The same of what `fetch(marker, backwards, limit)` gives from behind a marker, which is the `key` of a row."""
    backwards, edge = _read(cursor)
    if edge and not isinstance(edge[0], str):
        raise Invalid(_STRANGE, field="cursor")
    found = fetch(edge[0] if edge else "", descending != backwards, size + 1)
    return _slice(found, backwards, bool(edge), size, key, key)


def _slice(found: list[Any], backwards: bool, begun: bool, size: int, sort: str, key: str) -> Slice:
    """A page of up to `size` of the rows, which are one more where there is a next page in the same direction."""
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    has_before, has_after = (more, begun) if backwards else (begun, more)
    return Slice(
        found,
        _write("b", found[0], sort, key) if found and has_before else "",
        _write("a", found[-1], sort, key) if found and has_after else "",
    )


def _beyond(sort: str, key: str, edge: list[Any], down: bool) -> Q:
    compare = "lt" if down else "gt"
    if sort == key:
        return Q(**{f"{key}__{compare}": edge[1]})
    tie = edge[2]
    beyond = Q(**{f"{sort}__{compare}": edge[0]}) | Q(**{sort: edge[0], f"{key}__{tie}": edge[1]})
    return Q(**{f"{sort}__{compare}e": edge[0]}) & beyond  # the first alone is where an index can be read from


def _write(side: str, row: Any, sort: str, key: str) -> str:
    values = [side, pick(row, sort.replace("__", ".")), pick(row, "id" if key == "pk" else key)]
    return base64.urlsafe_b64encode(json.dumps(values, cls=DjangoJSONEncoder).encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[bool, list[Any]]:
    if not cursor:
        return False, []
    try:
        side, value, ident = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError) as error:
        raise Invalid(_STRANGE, field="cursor") from error
    return side == "b", [value, ident, "lt" if side == "b" else "gt"]
