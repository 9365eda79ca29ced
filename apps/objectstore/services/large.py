"""Large objects: several objects read as one.

A static one lists its segments, each with the hash it had; it is refused when one has changed since. A dynamic one
names a prefix and is whatever lies below it now. Either is read with the reader's own rights to the segments.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict
from urllib.parse import quote, unquote
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Now

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, KumoError, NotFound
from apps.core.transactions import internal, streaming
from apps.objectstore.models import Container, Object, ObjectFields
from apps.objectstore.selectors import Found, container_row, object_followed, object_row
from apps.objectstore.selectors.access import require_read, require_write
from apps.objectstore.selectors.facts import THERE
from apps.objectstore.services import history
from apps.objectstore.services.encryption import AES256, Wish, require_key
from apps.objectstore.services.errors import Unprocessable
from apps.objectstore.services.history import Removed
from apps.objectstore.services.lock import release_checked
from apps.objectstore.services.objects import (
    Body,
    New,
    begin_put,
    commit_put,
    md5_of,
    object_lent,
    object_pieces,
)
from apps.objectstore.states import DYNAMIC, number_of

MOST_SEGMENTS = 1000  # of a static large object
MOST_BYTES = 8 * 2**20  # of its manifest
MOST_DEPTH = 10  # large objects within large objects
MOST_GOING = 10 * MOST_SEGMENTS  # objects that go with one, counting those of nested ones
MOST_PARTS = 100_000  # objects that are read as one
MOST_LINKED = 1000  # segments that are symbolic links: each is looked up by itself
MOST_NESTED = 1000  # large objects within one, at any depth
MOST_STEPS = 10 * MOST_PARTS  # parts that are looked at to find those
PAGE = 1000  # segments of a dynamic one that are looked up at once
_NEEDED = (
    *("container_id", "name", "blob_id", "bytes", "etag", "content_type", "created_at"),
    *("segments", "parts", "links", "encryption"),
)


class Segment(TypedDict, total=False):
    """A segment as it is kept: an object's `name` (`/container/object`) with its facts, or `data` of its own."""

    name: str
    hash: str
    bytes: int  # of the part that is used
    range: str
    content_type: str
    last_modified: str
    sub_slo: bool
    data: str  # base64


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of one object, or bytes themselves, from `start` up to `end`."""

    source: ObjectFields | bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Content:
    """What a GET of an object gives."""

    size: int
    etag: str
    parts: tuple[Part, ...]
    is_large: bool = False
    segments: int = 0
    key: bytes = field(default=b"", repr=False)  # the caller's, of an object that is encrypted with one

    @property
    def wish(self) -> Wish | None:
        """How a copy is encrypted unless its caller says: what was encrypted stays so, by the store's own keys."""
        sources = (part.source for part in self.parts)
        return Wish(AES256) if any(not isinstance(s, bytes) and s.encryption for s in sources) else None


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads from which account."""

    ctx: RequestContext
    account: str
    referrer: str = ""
    key: bytes = field(default=b"", repr=False)  # to decrypt with


def is_large(found: ObjectFields) -> bool:
    return found.segments is not None or DYNAMIC in found.metadata


@internal("reads of an object that the caller was given", atomic=False)
def content_of(reader: Reader, found: ObjectFields) -> Content:
    """The bytes of an object, which may lie in others.

    Raises Forbidden, Conflict for a segment that changed, Invalid where a key is missing or does not belong here.
    """
    require_key(found.encryption, reader.key)
    if not is_large(found):
        return Content(found.bytes, found.etag, (Part(found, 0, found.bytes),), key=reader.key)
    parts, hashes = _Walk().resolved(reader, found, MOST_DEPTH)
    etag = found.etag if found.segments is not None else md5_of("".join(hashes).encode())
    size, segments = sum(part.end - part.start for part in parts), len(hashes) or len(found.segments or [])
    return Content(size, etag, tuple(parts), True, segments)


def content_pieces(content: Content, start: int, end: int) -> Iterator[bytes]:
    """The bytes from `start` up to `end` of the whole; the first piece is there when this returns."""
    rest = _pieces(content, start, end)
    first = next(rest, b"")

    def pieces() -> Iterator[bytes]:
        yield first
        yield from rest

    return pieces()


def content_lent(content: Content) -> str:
    """Where below `lent_links` nginx finds all bytes of this content as one file; nothing where there is no such.

    There is for bytes as they came in, in one blob on a disk. What is in the file nobody checks.
    """
    if len(content.parts) != 1:
        return ""
    part = content.parts[0]
    if isinstance(part.source, bytes) or (part.start, part.end) != (0, part.source.bytes):
        return ""
    return object_lent(part.source)


def _pieces(content: Content, start: int, end: int) -> Iterator[bytes]:
    at = 0
    for part in content.parts:
        size = part.end - part.start
        low, high = max(start - at, 0), min(end - at, size)
        at += size
        if low >= high:
            continue
        if isinstance(part.source, bytes):
            yield part.source[part.start + low : part.start + high]
        else:
            yield from object_pieces(part.source, part.start + low, part.start + high, content.key)


class _Walk:
    """One read through all that is in a large object.

    Each large object within is gone through once, however often it is named, and all steps together are bounded:
    ranges of ranges, and large objects of nothing, would take any time and leave no part behind.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, UUID, str], list[Part]] = {}
        self._steps = self._links = 0

    def resolved(self, reader: Reader, found: ObjectFields, depth: int) -> tuple[list[Part], list[str]]:
        """The parts of a large object, and the hashes of a dynamic one's segments."""
        if depth == 0:
            raise Conflict("Large objects are nested too deeply.")
        if found.segments is None:
            return self._below(reader, found, depth)
        parts: list[Part] = []
        for segment, inner in zip(found.segments, self.rows(reader, found.segments), strict=True):
            if "data" in segment:
                data = base64.b64decode(segment["data"])
                parts.append(Part(data, 0, len(data)))
                continue
            if inner is None or inner[1].etag != segment["hash"]:
                raise Conflict(f"The segment {segment['name']} is not what it was.")
            parts += _cut(self._parts_of(*inner, depth), segment.get("range", ""))
            _bounded(parts)
        return parts, []

    def rows(self, reader: Reader, segments: Sequence[Segment]) -> list[tuple[Reader, ObjectFields] | None]:
        """The objects that segments name, None for those that are not there; two queries for each container."""
        wanted: dict[str, set[str]] = {}
        names = [_split(segment["name"]) if "data" not in segment else ("", "") for segment in segments]
        for container, name in names:
            wanted.setdefault(container, set()).add(name)
        found: dict[tuple[str, str], tuple[Reader, ObjectFields] | None] = {}
        for container, inner in wanted.items():
            if not container:
                continue
            place = container_row(reader.account, container)
            for name in inner:
                require_read(reader.ctx, reader.account, place, referrer=reader.referrer, name=name)
            if place is not None:
                rows = Object.objects.filter(THERE, container_id=place.pk, name__in=inner)
                found |= {(container, row.name): self._through(reader, place, row) for row in _lean(rows)}
        return [found.get(pair) for pair in names]

    def _below(self, reader: Reader, found: ObjectFields, depth: int) -> tuple[list[Part], list[str]]:
        container, _, prefix = unquote(found.metadata[DYNAMIC]).partition("/")
        place = container_row(reader.account, container)
        facts = {"s3:prefix": [prefix]}
        require_read(reader.ctx, reader.account, place, referrer=reader.referrer, facts=facts)
        parts: list[Part] = []
        hashes: list[str] = []
        for inner in _named(place, prefix) if place else ():
            if (inner.container_id, inner.name) == (found.container_id, found.name):
                continue
            require_read(reader.ctx, reader.account, place, referrer=reader.referrer, name=inner.name)
            segment = self._through(reader, place, inner) if place else None
            if segment is None:
                raise Conflict(f"The segment {inner.name} is a symbolic link to nothing.")
            hashes.append(segment[1].etag)
            parts += self._parts_of(*segment, depth)
            _bounded(parts)
        return parts, hashes

    def _through(self, reader: Reader, place: Container, inner: Object) -> tuple[Reader, ObjectFields] | None:
        """A segment, or what it is a symbolic link to, and who reads it where; None where that is not there."""
        if inner.links is None:
            return reader, inner
        self._links += 1
        if self._links > MOST_LINKED:
            raise Conflict(f"More than {MOST_LINKED} segments are symbolic links.")
        try:
            found = object_followed(reader.ctx, Found(inner, place), referrer=reader.referrer)
        except NotFound:
            return None
        return replace(reader, account=found.place.account_id), found.row

    def _parts_of(self, reader: Reader, inner: ObjectFields, depth: int) -> list[Part]:
        require_key(inner.encryption, b"")
        if not is_large(inner):
            return self._stepped([Part(inner, 0, inner.bytes)])
        same = (reader.account, inner.container_id, inner.name)
        if same not in self._known:
            if len(self._known) == MOST_NESTED:
                raise Conflict(f"The large object has more than {MOST_NESTED} large objects within.")
            self._known[same] = self.resolved(reader, inner, depth - 1)[0]
        return self._stepped(self._known[same])

    def _stepped(self, parts: list[Part]) -> list[Part]:
        """The same parts, counted: whoever names them goes through them."""
        self._steps += 1 + len(parts)
        if self._steps > MOST_STEPS:
            raise Conflict(f"To read the large object takes more than {MOST_STEPS} steps.")
        return parts


def _named(place: Container, prefix: str) -> Iterator[Object]:
    rows = Object.objects.filter(THERE, container_id=place.pk, name__gte=prefix).order_by("name")
    marker = ""
    while page := list(_lean((rows.filter(name__gt=marker) if marker else rows)[:PAGE])):
        for row in page:
            if not row.name.startswith(prefix):
                return
            yield row
        marker = page[-1].name


def _lean(rows: QuerySet[Object]) -> Iterator[Object]:
    """The rows with what it takes to read them: there may be many, and each could bring 4 KiB of metadata along."""
    for row in rows.annotate(manifest=KeyTextTransform(DYNAMIC, "metadata")).only(*_NEEDED):
        row.metadata = {} if row.manifest is None else {DYNAMIC: row.manifest}
        yield row


def _bounded(parts: Sequence[Part]) -> None:
    if len(parts) > MOST_PARTS:
        raise Conflict(f"The large object has more than {MOST_PARTS} segments.")


def _cut(parts: list[Part], text: str) -> list[Part]:
    """The parts of a range, written as in HTTP, of what these parts are together."""
    if not text:
        return parts
    low, high = bounds(text, sum(part.end - part.start for part in parts))
    found, at = [], 0
    for part in parts:
        size = part.end - part.start
        start, end = max(low - at, 0), min(high - at, size)
        at += size
        if start < end:
            found.append(Part(part.source, part.start + start, part.start + end))
    return found


def bounds(text: str, size: int) -> tuple[int, int]:
    """`5-9`, `5-` or `-5` of so many bytes, as (first, one past the last). Raises Invalid where it takes no byte."""
    first, dash, last = text.partition("-")
    if not dash or not (first or last) or not all(not n or (n.isascii() and n.isdecimal()) for n in (first, last)):
        raise Invalid("Invalid Range")
    low = number_of(first) if first else max(size - number_of(last), 0)
    high = min(number_of(last) + 1, size) if first and last else size
    if low >= high:
        raise Invalid("Unsatisfiable Range")
    return low, high


def _split(path: str) -> tuple[str, str]:
    container, _, name = path.removeprefix("/").partition("/")
    return container, name


# --- static large objects --------------------------------------------------------------------------


class Wanted(TypedDict, total=False):
    """A segment as a caller asks for it."""

    path: str
    etag: str | None
    size_bytes: int | None
    range: str
    data: str


class WrongSegmentsError(Invalid):
    """Segments are not what the caller says: pairs of a path and what is wrong with it."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("Errors:\n" + "\n".join(", ".join(problem) for problem in problems))
        self.problems = problems


@streaming("object_store:public")
def object_manifest_put(
    ctx: RequestContext, *, account: str, container: str, name: str, segments: Sequence[Wanted], new: New
) -> Object:
    """Make an object of others, which must be as the caller says.

    Raises as `object_put`; WrongSegmentsError, naming every segment that is wrong.
    """
    place = begin_put(ctx, account, container, name, 0, new)
    rows = _Walk().rows(
        Reader(ctx, account), [Segment(name=s["path"]) if "path" in s else Segment(data="") for s in segments]
    )
    kept: list[Segment] = []
    problems: list[tuple[str, str]] = []
    for number, (wanted, row) in enumerate(zip(segments, rows, strict=True), 1):
        try:
            kept.append(_kept(wanted, row[1] if row else None, is_last=number == len(rows)))
        except Invalid as error:
            problems.append((wanted.get("path", "data"), error.message))
    if problems:
        raise WrongSegmentsError(problems)
    etag = _etag(kept)
    if new.etag and new.etag != etag:
        raise Unprocessable(f"The segments have the ETag {etag}, which is not the one that was announced.")
    size = sum(segment["bytes"] for segment in kept)
    return commit_put(place, name, Body(etag, size, segments=kept), new)


def _kept(wanted: Wanted, row: ObjectFields | None, *, is_last: bool) -> Segment:
    if "data" in wanted:
        data = base64.b64decode(wanted["data"])
        return Segment(data=wanted["data"], bytes=len(data), hash=md5_of(data))
    if row is None:
        raise Invalid("404 Not Found")
    if row.segments is None and DYNAMIC in row.metadata:
        raise Invalid("a dynamic large object has no size to rely on")
    if wanted.get("etag") and str(wanted["etag"]).strip('"') != row.etag:
        raise Invalid("Etag Mismatch")
    if wanted.get("size_bytes") is not None and wanted["size_bytes"] != row.bytes:
        raise Invalid("Size Mismatch")
    if row.bytes == 0 and not is_last:
        raise Invalid("Too small; each segment must be at least 1 byte.")
    low, high = bounds(wanted["range"], row.bytes) if wanted.get("range") else (0, row.bytes)
    segment = Segment(
        name="/" + wanted["path"].lstrip("/"),
        hash=row.etag,
        bytes=high - low,
        content_type=row.content_type,
        last_modified=f"{row.created_at:%Y-%m-%dT%H:%M:%S.%f}",
    )
    if (low, high) != (0, row.bytes):  # a range of all bytes is none, and does not count in the ETag
        segment["range"] = f"{low}-{high - 1}"
    if row.segments is not None:
        segment["sub_slo"] = True
    return segment


def _etag(segments: Sequence[Segment]) -> str:
    text = "".join(s["hash"] + (f":{s['range']};" if "range" in s else "") for s in segments)
    return md5_of(text.encode())


@streaming("object_store:public")
def manifest_paths(ctx: RequestContext, *, account: str, container: str, name: str) -> list[tuple[str, str]]:
    """What goes with a static large object: container and name of its segments, of theirs, and, last, of itself.

    Raises Forbidden, NotFound, Invalid.
    """
    paths: dict[tuple[str, str], None] = {}
    waiting = [_manifest(ctx, account, container, name).segments or []]
    while waiting:
        for segment in waiting.pop():
            path = _split(segment.get("name", ""))
            if "data" in segment or path in paths:
                continue
            if len(paths) == MOST_GOING:
                raise Invalid(f"More than {MOST_GOING} segments would go with it.")
            paths[path] = None
            if segment.get("sub_slo"):
                with contextlib.suppress(KumoError):  # is told when it is deleted
                    waiting.append(_manifest(ctx, account, *path).segments or [])
    paths.pop((container, name), None)
    return [*paths, (container, name)]


def _manifest(ctx: RequestContext, account: str, container: str, name: str) -> ObjectFields:
    """A static large object that the caller may delete. Raises Forbidden, NotFound, Invalid."""
    place = container_row(account, container)
    require_write(ctx, account, place, name, "s3:DeleteObject")
    found = object_row(place.pk, name) if place else None
    if found is None:
        raise NotFound("object", name)
    if found.segments is None:
        raise Invalid("Not an SLO manifest")
    return found


@streaming("object_store:public")
def object_manifest_expire(ctx: RequestContext, *, account: str, container: str, name: str) -> Removed:
    """Remove a static large object at once; its segments are no more either, and are removed by and by.

    Raises Forbidden, NotFound; Invalid unless all segments are plain objects of one container.
    """
    segments = [s for s in _manifest(ctx, account, container, name).segments or [] if "data" not in s]
    paths = dict.fromkeys(_split(s["name"]) for s in segments)
    containers = sorted({inner for inner, _ in paths})
    if len(containers) > 1:
        listed = ", ".join(f'"{quote(inner)}"' for inner in containers)
        raise Invalid(f"All segments must be in one container. Found segments in {listed}")
    if any(segment.get("sub_slo") for segment in segments):
        raise Invalid("No segments may be large objects.")
    inner = container_row(account, containers[0]) if containers else None
    for _, segment_name in paths:
        require_write(ctx, account, inner, segment_name, "s3:DeleteObject")
    return _removed_with_segments(container_row(account, container), name, inner, [segment for _, segment in paths])


@internal("second part of object_manifest_expire, after the rules")
def _removed_with_segments(
    place: Container | None, name: str, inner: Container | None, segments: Sequence[str]
) -> Removed:
    if place is None:
        raise NotFound("object", name)
    removed = history.delete(place, name)
    if inner is not None:
        rows = Object.objects.filter(container_id=inner.pk, name__in=segments)
        for row in rows.order_by("name").select_for_update():
            release_checked(row)
        rows.update(delete_at=Now())
    return removed
