"""Conditions and ranges of a GET (RFC 9110), as Swift understands them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from datetime import datetime

from django.utils.http import parse_http_date_safe

from apps.objectstore.states import number_of

_ONE = re.compile(r"^(\d*)-(\d*)$", re.ASCII)
MOST = 50  # ranges in one request
_OVERLAPS = 2
_DESCENTS = 8


def unmet(headers: Mapping[str, str], etag: str, at: datetime) -> int:
    """412 or 304 where a condition of the request says so, else 0."""
    changed = math.ceil(at.timestamp())
    if (wanted := headers.get("If-Match", "")) and not _names(wanted, etag):
        return 412
    since = parse_http_date_safe(headers.get("If-Unmodified-Since", ""))
    if since is not None and not wanted and changed > since:
        return 412
    if (known := headers.get("If-None-Match", "")) and _names(known, etag):
        return 304
    since = parse_http_date_safe(headers.get("If-Modified-Since", ""))
    if since is not None and not known and changed <= since:
        return 304
    return 0


def _names(header: str, etag: str) -> bool:
    tags = {tag.strip().removeprefix("W/").strip('"') for tag in header.split(",")}
    return "*" in tags or etag in tags


def wanted(headers: Mapping[str, str], etag: str, at: datetime, size: int) -> list[tuple[int, int]] | None:
    """The parts asked for as (first, one past the last); None for the whole, empty where none can be had.

    What is no range of bytes asks for the whole. Too many, or ranges meant to cost, can not be had.
    """
    header = headers.get("Range", "").strip()
    if not header.startswith("bytes=") or not _fresh(headers.get("If-Range", ""), etag, at):
        return None
    return spans(header, size)


def spans(header: str, size: int) -> list[tuple[int, int]] | None:
    """The same for a header that begins with `bytes=`."""
    found: list[tuple[int, int]] = []
    for text in header.removeprefix("bytes=").split(","):
        match = _ONE.match(text.strip())
        if not match or not (match[1] or match[2]):
            return None
        first, last = number_of(match[1]), number_of(match[2])
        if match[1] and match[2] and last < first:
            return None
        if not match[1]:
            if last and size:
                found.append((max(size - last, 0), size))
        elif first < size:
            found.append((first, min(last + 1, size) if match[2] else size))
    return [] if _costly(found) else found


def _fresh(condition: str, etag: str, at: datetime) -> bool:
    if not condition:
        return True
    date = parse_http_date_safe(condition)
    return math.ceil(at.timestamp()) <= date if date is not None else condition.strip('"') == etag


def _costly(found: list[tuple[int, int]]) -> bool:
    if len(found) > MOST:
        return True
    overlaps = sum(
        any(a < other_end and other < end for other, other_end in found[:n]) for n, (a, end) in enumerate(found)
    )
    descents = sum(later[0] < earlier[0] for earlier, later in itertools.pairwise(found))
    return overlaps > _OVERLAPS or descents > _DESCENTS
