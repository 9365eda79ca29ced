"""Glance's own filters of lists: `in:`, comparisons of times, sizes from and to, the user's properties."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db.models import Q

from apps.core.api import types as t
from apps.core.api.listing import Param
from apps.image.states import MemberStatus, Visibility

_COMPARISONS = {"gt": "__gt", "gte": "__gte", "lt": "__lt", "lte": "__lte", "eq": "", "neq": "neq"}


def _one_of(column: str) -> Callable[[str], Q]:
    """`value`, or `in:a,"b, with comma",c`."""

    def parse(text: str) -> Q:
        if not text.startswith("in:"):
            return Q(**{column: text})
        try:
            values = next(csv.reader([text[3:]], strict=True), [])
        except csv.Error as error:
            raise ValueError(str(error)) from error
        return Q(**{f"{column}__in": values})

    return parse


def _ids(text: str) -> Q:
    """Ids, as `_one_of`; ValueError for what is none."""
    texts = text[3:].split(",") if text.startswith("in:") else [text]
    return Q(pk__in=[UUID(one.strip()) for one in texts])


def _moment(column: str) -> Callable[[str], Q]:
    """`2026-01-01T00:00:00Z`, or with `gt:`, `gte:`, `lt:`, `lte:`, `eq:`, `neq:` before it."""

    def parse(text: str) -> Q:
        word, colon, rest = text.partition(":")
        if not colon or word not in _COMPARISONS:
            word, rest = "eq", text
        moment = t.parse_time(rest)
        if word in {"eq", "neq"}:  # shown in whole seconds, so compared in them
            within = Q(**{f"{column}__gte": moment, f"{column}__lt": moment + datetime.timedelta(seconds=1)})
            return ~within if word == "neq" else within
        if word in {"gt", "lte"}:
            after = Q(**{f"{column}__gte": moment + datetime.timedelta(seconds=1)})
            return after if word == "gt" else ~after
        return Q(**{f"{column}{_COMPARISONS[word]}": moment})

    return parse


def _number(column: str) -> Callable[[str], Q]:
    def parse(text: str) -> Q:
        value = int(text)
        if value < 0:
            raise ValueError("negative")
        return Q(**{column: value})

    return parse


def _flag(column: str) -> Callable[[str], Q]:
    return lambda text: Q(**{column: t.parse_flag(text)})


def _word(*words: str) -> t.Type:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return t.Type({"enum": list(words)}, parse=parse)


# Parameter → how its text becomes a condition.
CONDITIONS: dict[str, Callable[[str], Q]] = {
    "id": _ids,
    "name": _one_of("name"),
    "status": _one_of("status"),
    "container_format": _one_of("container_format"),
    "disk_format": _one_of("disk_format"),
    "owner": _one_of("project_id"),
    "checksum": _one_of("checksum"),
    "os_hash_value": _one_of("hash_value"),
    "created_at": _moment("created_at"),
    "updated_at": _moment("updated_at"),
    "size": _number("size"),
    "size_min": _number("size__gte"),
    "size_max": _number("size__lte"),
    "min_disk": _number("min_disk_gib"),
    "min_ram": _number("min_ram_mib"),
    "protected": _flag("protected"),
}

# Parameters that the selector takes by keyword.
PARAMS = (
    Param("visibility", _word("all", *(str(v) for v in Visibility))),
    Param("member_status", _word("all", *(str(s) for s in MemberStatus))),
    Param("os_hidden", t.flag, arg="is_hidden"),
    Param("tag", t.text(), arg="tags", many=True),
    *(
        Param(name, t.Type({"type": "string"}, parse=parse), arg=f"condition_{name}")
        for name, parse in CONDITIONS.items()
    ),
)


def arguments(parsed: dict[str, Any]) -> dict[str, Any]:
    """Keywords of `image_list`: single conditions gathered into one list."""
    conditions = [value for name, value in parsed.items() if name.startswith("condition_")]
    rest = {name: value for name, value in parsed.items() if not name.startswith("condition_")}
    return {**rest, "conditions": conditions}
