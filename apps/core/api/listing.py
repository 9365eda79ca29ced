"""Collections: filters, sorting and keyset paging over a query set, described by the resource's table.

A page is one SQL query whatever the size of the collection: the marker's row supplies the values after which to go on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import FieldDoesNotExist, FieldError, ValidationError
from django.db import DataError
from django.db.models import F as Column
from django.db.models import Q, QuerySet
from django.http import QueryDict

from apps.core.api.resource import F, Resource, Row, Version
from apps.core.api.types import Type
from apps.core.errors import Invalid

PAGING = frozenset({"limit", "marker", "sort_key", "sort_dir", "sort", "page_reverse", "fields"})


@dataclass(frozen=True, slots=True, eq=False)
class Param:
    """A query parameter that is not a column's filter: it becomes a keyword of the list selector."""

    name: str
    type: Type
    arg: str = ""
    since: Version = (0, 0)
    until: Version = (9999, 9999)
    many: bool = False


@dataclass(slots=True)
class Listing:
    """A parsed query string."""

    filters: list[Q] = field(default_factory=list)
    order: list[tuple[str, bool]] = field(default_factory=list)  # column, descending
    limit: int | None = None
    marker: str = ""
    reverse: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()  # fields=…: attributes to return; empty: all


@dataclass(slots=True)
class Found:
    """One page of rows, and whether there are more."""

    rows: list[Row]
    more: bool


def parse(
    query: QueryDict,
    *,
    resource: Resource,
    fields: Sequence[F],
    params: Sequence[Param],
    version: Version,
    max_page: int,
    strict: bool,
) -> Listing:
    """Read a query string by the tables. Raises Invalid, naming the parameter."""
    listing = Listing(limit=limit_of(query, max_page), marker=query.get("marker", ""))
    listing.reverse = query.get("page_reverse", "").lower() == "true"
    listing.wanted = tuple(query.getlist("fields"))
    listing.order = _order(query, resource, fields)
    by_filter = {f.name: f for f in fields if f.filter}
    by_param = {p.name: p for p in params if p.since <= version <= p.until}
    for name in query:
        if name in by_param:
            found = by_param[name]
            texts = query.getlist(name)
            listing.arguments[found.arg or found.name] = (
                [_read(name, found.type, v) for v in texts] if found.many else _read(name, found.type, texts[-1])
            )
        elif name in by_filter:
            listing.filters.append(_filter(by_filter[name], query.getlist(name)))
        elif strict and name not in PAGING:
            raise Invalid(f"[{name!r}] is invalid attribute for filtering", field=name)
    return listing


def limit_of(query: QueryDict, max_page: int = sys.maxsize) -> int | None:
    """`limit`, at most `max_page`; None where none was asked for. Raises Invalid."""
    asked = query.get("limit")
    if asked in (None, ""):
        return None
    try:
        number = int(str(asked))
    except ValueError as error:
        raise Invalid(f"limit must be a whole number, not {asked!r}", field="limit") from error
    if number < 0:
        raise Invalid("limit must not be negative", field="limit")
    return min(number, max_page)


def _order(query: QueryDict, resource: Resource, fields: Sequence[F]) -> list[tuple[str, bool]]:
    """`sort_key`/`sort_dir` pairs, or `sort=key:dir,key:dir`; the primary key always comes last."""
    columns = {**resource.sorts, **{f.name: f.sort for f in fields if f.sort}}
    pairs = [tuple(item.split(":", 1)) for text in query.getlist("sort") for item in text.split(",") if item]
    keys = [(p[0], p[1] if len(p) > 1 else "") for p in pairs]
    directions = query.getlist("sort_dir")
    for index, key in enumerate(query.getlist("sort_key")):
        keys.append((key, directions[min(index, len(directions) - 1)] if directions else ""))
    order: list[tuple[str, bool]] = []
    fallback_descending = bool(resource.default_sort) and resource.default_sort[0].startswith("-")
    for key, direction in keys:
        if key not in columns:
            raise Invalid(f"Unsupported sort key '{key}'. Supported: {', '.join(sorted(columns))}.", field="sort_key")
        if direction not in {"", "asc", "desc"}:
            raise Invalid(f"Unknown sort direction '{direction}', must be 'asc' or 'desc'.", field="sort_dir")
        order.append((columns[key], direction == "desc" if direction else fallback_descending))
    if not order:
        order = [(name.lstrip("-"), name.startswith("-")) for name in resource.default_sort]
    if all(column not in {"id", "pk"} for column, _ in order):
        order.append((resource.ident, order[-1][1] if order else False))
    return order


def _read(name: str, kind: Type, text: str) -> Any:
    try:
        return kind.parse(text)
    except ValueError as error:
        raise Invalid(f"Invalid value for {name}: {text!r}", field=name) from error


def _filter(found: F, texts: list[str]) -> Q:
    if found.filter.endswith(("__regex", "__iregex", "__icontains", "__startswith")):
        query = Q()
        for text in texts:
            query |= Q(**{found.filter: text})
        return query
    values = [_read(found.name, found.type, text) for text in texts]
    if len(values) == 1:
        return Q(**{found.filter: values[0]})
    return Q(**{f"{found.filter}__in": values})


def fetch(
    rows: QuerySet[Any],
    listing: Listing,
    *,
    columns: tuple[str, ...],
    annotations: Mapping[str, Any],
    default_limit: int,
    ident: str = "pk",
) -> Found:
    """One page as dicts of the columns. Raises Invalid for an unknown marker or an unusable filter value."""
    try:
        matching = rows.filter(*listing.filters)
        order = [(c, not d) for c, d in listing.order] if listing.reverse else listing.order
        if listing.marker:
            matching = matching.filter(_after(rows, listing.marker, order, ident))
        ordered = matching.order_by(*(Column(c).desc() if d else Column(c).asc() for c, d in order))
        limit = default_limit if listing.limit is None else listing.limit
        if limit == 0:
            return Found([], False)
        taken = list(ordered.annotate(**annotations).values(*columns)[: limit + 1])
    except (DataError, ValidationError, FieldError) as error:
        raise Invalid(f"A filter's value cannot be used: {str(error).splitlines()[0]}") from error
    more = len(taken) > limit
    page = taken[:limit]
    return Found(page[::-1] if listing.reverse else page, more)


def _after(rows: QuerySet[Any], marker: str, order: list[tuple[str, bool]], ident: str) -> Q:
    """The rows after the marker's: PostgreSQL sorts nulls last when ascending and first when descending.

    It cannot begin to read an index at a choice of conditions, only filter by it. So the bound of the first column is
    said once more by itself: with it a page costs the same wherever in the list it lies.
    """
    try:
        at = rows.filter(**{ident: marker}).values(*(column for column, _ in order)).first()
    except (ValueError, ValidationError):
        at = None
    if at is None:
        raise Invalid(f"marker [{marker}] not found", field="marker")
    query = Q(**{f"{ident}__in": []})
    tied = Q()
    for column, descending in order:
        value = at[column]
        if descending:
            beyond = Q(**{f"{column}__isnull": False}) if value is None else Q(**{f"{column}__lt": value})
        elif value is None:
            beyond = Q(**{f"{ident}__in": []})
        else:
            beyond = Q(**{f"{column}__gt": value}) | Q(**{f"{column}__isnull": True})
        query |= tied & beyond
        tied &= Q(**{f"{column}__isnull": True}) if value is None else Q(**{column: value})
    column, descending = order[0]
    if at[column] is not None and (descending or not _nullable(rows, column)):
        query &= Q(**{f"{column}__{'lte' if descending else 'gte'}": at[column]})
    return query


def _nullable(rows: QuerySet[Any], column: str) -> bool:
    try:
        return bool(rows.model._meta.get_field(column).null)
    except FieldDoesNotExist:  # an annotation, or a path to another table
        return True


def page_of(rows: Sequence[Row], listing: Listing, default_limit: int) -> Found:
    """The same for a collection that is computed rather than stored: marker and limit over its ids."""
    start = 0
    if listing.marker:
        ids = [str(row.get("id")) for row in rows]
        if listing.marker not in ids:
            raise Invalid(f"marker [{listing.marker}] not found", field="marker")
        start = ids.index(listing.marker) + 1
    limit = default_limit if listing.limit is None else listing.limit
    return Found(list(rows[start : start + limit]), limit > 0 and len(rows) > start + limit)


def next_query(query: QueryDict, marker: object, *, reverse: bool = False) -> str:
    """The query string of the page that begins after `marker`."""
    items = [(k, v) for k in query for v in query.getlist(k) if k not in {"marker", "page_reverse"}]
    items.append(("marker", str(marker)))
    if reverse:
        items.append(("page_reverse", "True"))
    return urlencode(items)
