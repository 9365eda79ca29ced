"""Uploads in progress and the parts of them that have arrived."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector
from apps.objectstore.models import Container, Upload, UploadPart
from apps.objectstore.selectors.access import require
from apps.objectstore.selectors.facts import container_row, facts_of
from apps.objectstore.selectors.listing import Page, after


@dataclass(frozen=True, slots=True)
class UploadPage:
    """Which uploads a caller wants: those behind a name, and of this name behind an id."""

    prefix: str = ""
    delimiter: str = ""
    name_marker: str = ""
    id_marker: UUID | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class UploadListing:
    """Uploads and the parts that names share, in order; whether there are more."""

    entries: list[Upload | str]
    is_truncated: bool


@selector("object_store:public")
def upload_list(ctx: RequestContext, *, account: str, container: str, page: UploadPage) -> UploadListing:
    """Uploads in progress by name and time. Raises Forbidden, NotFound for the container."""
    place = container_row(account, container)
    facts = facts_of(Page(prefix=page.prefix, delimiter=page.delimiter, limit=page.limit))
    require(ctx, account, place, "s3:ListBucketMultipartUploads", facts=facts)
    if place is None:
        raise NotFound("container", container)
    entries: list[Upload | str] = []
    for entry in _entries(place, page):
        if len(entries) == page.limit:
            return UploadListing(entries, True)
        entries.append(entry)
    return UploadListing(entries, False)


def _entries(place: Container, page: UploadPage) -> Iterator[Upload | str]:
    """All from the page's beginning on; names that share the part up to the delimiter are one."""
    rows = Upload.objects.filter(container=place, name__gte=page.prefix).order_by("name", "id")
    if behind := after(page.prefix):
        rows = rows.filter(name__lt=behind)
    rest, group = _first(rows, page)
    while batch := list(rest[: page.limit + 1]):
        for row in batch:
            if group and row.name.startswith(group):
                continue
            if group := _group(row.name, page):
                yield group
            else:
                yield row
        rest = rows.filter(name__gte=after(group)) if group else _behind(rows, row.name, row.pk)


def _first(rows: QuerySet[Upload], page: UploadPage) -> tuple[QuerySet[Upload], str]:
    """The rows behind the marker, and the group that is the marker and was shown before."""
    if not page.name_marker:
        return rows, ""
    if page.id_marker is not None:
        return _behind(rows, page.name_marker, page.id_marker), ""
    group = _group(page.name_marker, page)
    if group == page.name_marker:
        return rows.filter(name__gte=after(group)), group
    return rows.filter(name__gt=page.name_marker), ""


def _behind(rows: QuerySet[Upload], name: str, upload_id: UUID) -> QuerySet[Upload]:
    return rows.filter(Q(name__gt=name) | Q(name=name, id__gt=upload_id))


def _group(name: str, page: UploadPage) -> str:
    """The beginning of a name up to the first delimiter behind the prefix, if there is one."""
    if not page.delimiter or not name.startswith(page.prefix):
        return ""
    at = name.find(page.delimiter, len(page.prefix))
    return name[: at + len(page.delimiter)] if at >= 0 else ""


@dataclass(frozen=True, slots=True)
class PartListing:
    """An upload, parts of it by number, and whether there are more."""

    upload: Upload
    parts: list[UploadPart]
    is_truncated: bool


@selector("object_store:public")
def upload_part_list(
    ctx: RequestContext, *, account: str, container: str, name: str, upload_id: UUID, marker: int = 0, limit: int = 1000
) -> PartListing:
    """The parts that have arrived, behind the number `marker`. Raises Forbidden, NotFound."""
    place = container_row(account, container)
    require(ctx, account, place, "s3:ListMultipartUploadParts", name)
    if place is None:
        raise NotFound("container", container)
    upload = upload_row(place, name, upload_id)
    rows = UploadPart.objects.filter(upload=upload, number__gt=marker).order_by("number")
    found = list(rows[: limit + 1])
    return PartListing(upload, found[:limit], len(found) > limit)


def upload_row(place: Container, name: str, upload_id: UUID) -> Upload:
    """An upload in progress, whoever asks. Raises NotFound."""
    found = Upload.objects.filter(pk=upload_id, container=place, name=name).first()
    if found is None:
        raise no_upload(upload_id)
    return found


def no_upload(upload_id: UUID) -> NotFound:
    """What is said of an upload that is not there, or not any more."""
    hint = "It may have been completed or aborted."
    return NotFound("upload", upload_id, hint=hint, code="NoSuchUpload")
