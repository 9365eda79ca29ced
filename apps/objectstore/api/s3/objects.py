"""Calls on objects: bytes in and out, copies and deletions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote
from uuid import UUID

from django.http.response import HttpResponseBase
from django.utils.http import http_date

from apps.core.errors import KumoError, NotFound
from apps.objectstore import services
from apps.objectstore.api.downloads import download
from apps.objectstore.api.s3 import checksums, encryption, parts, versions, xml
from apps.objectstore.api.s3.base import Call, Target, answer, bucket_expected, key_checked, last_modified, told
from apps.objectstore.api.s3.documents import expiration_headers, mark_headers, marks_of, version_asked
from apps.objectstore.api.s3.errors import S3Error, as_s3
from apps.objectstore.api.swift import ranges
from apps.objectstore.api.texts import latin
from apps.objectstore.models import Object, ObjectFields, Version
from apps.objectstore.selectors import Found, bucket_row
from apps.objectstore.selectors.marks import object_marks
from apps.objectstore.services import Content, Incoming, New, Reader
from apps.objectstore.states import MAX_FILE_BYTES

UNKNOWN_TYPE = "binary/octet-stream"
KEPT = ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires")
OWN, SHARED = "X-Amz-Meta-", "X-Object-Meta-"  # a caller's own metadata: here, and as both APIs keep it
MOST_METADATA = 2 * 2**10  # bytes of names and values
MOST_DELETES = 1000
# What a caller may ask to be told instead of what is kept.
OVERRIDES = {
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
    "response-content-language": "Content-Language",
    "response-content-type": "Content-Type",
    "response-expires": "Expires",
}
_COPY_CONDITIONS = {
    "X-Amz-Copy-Source-If-Match": "If-Match",
    "X-Amz-Copy-Source-If-None-Match": "If-None-Match",
    "X-Amz-Copy-Source-If-Modified-Since": "If-Modified-Since",
    "X-Amz-Copy-Source-If-Unmodified-Since": "If-Unmodified-Since",
}


# --- bytes out -------------------------------------------------------------------------------------


def object_head(call: Call) -> HttpResponseBase:
    return _told(call, with_bytes=False)


def object_get(call: Call) -> HttpResponseBase:
    return _told(call, with_bytes=True)


def _content(call: Call, at: Found, key: bytes) -> Content:
    return services.content_of(Reader(call.ctx, at.place.account_id, call.headers.get("Referer", ""), key), at.row)


def found_of(call: Call) -> tuple[Found, Content]:
    """The object or version that a reading call names, and its content. Raises S3Error and what services raise."""
    at = versions.found(call, call.bucket, call.key, version_asked(call))
    return at, _content(call, at, encryption.reading_key_of(call))


def etag_of(found: ObjectFields, content: Content) -> str:
    """The ETag as S3 tells it: one with a dash is, to clients, no MD5 of the bytes."""
    return f"{content.etag}-{content.segments}" if content.is_large else found.etag


def _told(call: Call, *, with_bytes: bool) -> HttpResponseBase:
    """The object or the part of it that is asked for, if the request's conditions hold."""
    at, content = found_of(call)
    found, etag = at.row, etag_of(at.row, content)
    headers = object_headers(found) | versions.headers_of(at, call.bucket) | {"ETag": f'"{etag}"'}
    headers |= expiration_headers(call.bucket, found) | _overrides(call)
    headers |= encryption.headers_of(call, found.encryption)
    refused = ranges.unmet(call.headers, etag, found.created_at)
    if refused == 412:
        raise S3Error("PreconditionFailed")
    if refused:
        kept = ("ETag", "Last-Modified", "Cache-Control", "Expires", versions.ID)
        return answer(304, {name: headers[name] for name in kept if name in headers})
    span = _span(call, found, content, etag)
    if span.is_partial:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{content.size}"
    if checksums.is_asked(call):
        headers |= span.checksums
    status, start, end = 206 if span.is_partial else 200, span.start, span.end
    headers |= span.headers | {"Content-Length": str(end - start)}
    if not with_bytes:
        return answer(status, headers)
    return download(call.request, content, start, end, headers=headers, status=status)


@dataclass(frozen=True, slots=True)
class _Span:
    """From where to where of an object an answer goes, and what it says of these bytes."""

    start: int
    end: int
    is_partial: bool = True
    checksums: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def _span(call: Call, found: ObjectFields, content: Content, etag: str) -> _Span:
    """The part or the one range that is asked for; several ranges are answered with the whole, as Amazon does."""
    part = parts.part_of(call, found)
    if part is not None:
        return _Span(part.start, part.end, part.end > part.start, part.checksums, part.headers)
    wanted = ranges.wanted(call.headers, etag, found.created_at, content.size)
    if wanted == []:
        error = S3Error("InvalidRange", RangeRequested=call.headers["Range"], ActualObjectSize=content.size)
        error.headers = {"Content-Range": f"bytes */{content.size}"}
        raise error
    if wanted and len(wanted) == 1:
        return _Span(*wanted[0])
    return _Span(0, content.size, False, checksums.headers_of(found.checksums))


def object_headers(found: ObjectFields) -> dict[str, str]:
    """What an answer says of an object, but its ETag."""
    headers = {name: latin(found.metadata[name]) for name in KEPT if name in found.metadata}
    headers |= {
        f"x-amz-meta-{latin(name.removeprefix(SHARED)).lower()}": latin(value)
        for name, value in found.metadata.items()
        if name.startswith(SHARED)
    }
    return (
        headers
        | {
            "Content-Type": latin(found.content_type),
            "Last-Modified": http_date(last_modified(found.created_at).timestamp()),
            "Accept-Ranges": "bytes",
        }
        | mark_headers(found)
    )


def _overrides(call: Call) -> dict[str, str]:
    found = {header: call.query[name] for name, header in OVERRIDES.items() if name in call.query}
    if found and call.signed.is_anonymous:
        words = "Request specific response headers cannot be used for anonymous GET requests."
        raise S3Error("InvalidRequest", words)
    if any(not value.isprintable() for value in found.values()):
        raise S3Error("InvalidArgument", "A header of an answer is one line of text.")
    return {header: latin(value) for header, value in found.items()}


# --- bytes in --------------------------------------------------------------------------------------


def object_put(call: Call) -> HttpResponseBase:
    """`PUT /{bucket}/{key}`, also as a copy of another object."""
    if "X-Amz-Copy-Source" in call.headers:
        return _copied(call)
    if not call.headers.get("Content-Length"):
        raise S3Error("MissingContentLength")
    digests = checksums.with_default(checksums.digests_of(call))
    made = put(call, call.body, call.body.size, replace(new_of(call), digests=digests))
    said = checksums.headers_of(made.checksums) | encryption.headers_of(call, made.encryption)
    said |= versions.made_headers(made) | expiration_headers(call.bucket, made)
    return answer(200, {"ETag": f'"{made.etag}"'} | said)


def new_of(call: Call) -> New:
    """What the object of a PUT shall be, as its headers say. Raises S3Error."""
    storage = call.headers.get("X-Amz-Storage-Class", "STANDARD")
    if storage != "STANDARD":
        raise S3Error("InvalidStorageClass", StorageClassRequested=storage)
    only_new, only_over = conditions(call)
    return New(
        content_type=call.header("Content-Type") or UNKNOWN_TYPE,
        metadata=metadata_of(call),
        etag=call.md5(),
        only_new=only_new,
        only_over=only_over,
        encryption=encryption.wish_of(call),
        **marks_of(call.headers, call.bucket.container.account_id),
    )


def metadata_of(call: Call) -> dict[str, str]:
    """An object's own headers and metadata, as both APIs keep them: header → value. Raises S3Error."""
    found = {name: call.header(name) for name in KEPT if call.headers.get(name)}
    if encoding := found.pop("Content-Encoding", ""):
        # How the body was sent is over when it has arrived.
        rest = [word for word in (part.strip() for part in encoding.split(",")) if word and word != "aws-chunked"]
        found |= {"Content-Encoding": ", ".join(rest)} if rest else {}
    own = {name.removeprefix(OWN): call.header(name) for name in call.headers if name.startswith(OWN)}
    return found | own_checked(own)


def own_checked(own: Mapping[str, str]) -> dict[str, str]:
    """A caller's own metadata as it is kept. Raises S3Error for more than S3 takes."""
    size = sum(len(name.encode()) + len(value.encode()) for name, value in own.items())
    if size > MOST_METADATA:
        raise S3Error("MetadataTooLarge", MaxSizeAllowed=MOST_METADATA, Size=size)
    if "" in own:
        raise S3Error("InvalidArgument", "Metadata needs a name.", ArgumentName="x-amz-meta-")
    return {f"{SHARED}{name}": value for name, value in own.items()}


def conditions(call: Call) -> tuple[bool, str]:
    """Whether the object must be new, or which one it may replace. Raises S3Error for other conditions."""
    if call.headers.get("If-None-Match", "*") != "*":
        raise S3Error("NotImplemented", Header="If-None-Match")
    return "If-None-Match" in call.headers, etag_wanted(call)


def etag_wanted(call: Call) -> str:
    """The ETag that the object must have, "" where the caller does not say. Raises S3Error for one that none has."""
    found = call.headers.get("If-Match", "").strip().strip('"')
    if not found and "If-Match" in call.headers:
        raise S3Error("PreconditionFailed", Condition="If-Match")
    return found


def put(call: Call, source: Incoming, size: int | None, new: New) -> Object:
    """The call's object, kept; without a size it is as long as it comes. Raises S3Error, as `services.object_put`."""
    if size is not None and size > MAX_FILE_BYTES:
        raise S3Error("EntityTooLarge", MaxSizeAllowed=MAX_FILE_BYTES, ProposedSize=size)
    row = call.bucket.container
    if new.only_over:
        versions.found(call, call.bucket, call.key)  # S3 answers otherwise where there is none
    return services.object_put(
        call.ctx, account=row.account_id, container=row.name, name=call.key, source=source, size=size, new=new
    )


# --- deletions -------------------------------------------------------------------------------------


def object_delete(call: Call) -> HttpResponseBase:
    """`DELETE /{bucket}/{key}`: one that is not there is gone."""
    return answer(204, removed(call, call.key, etag_wanted(call), version_asked(call)))


def removed(call: Call, key: str, etag: str = "", version_id: UUID | None = None) -> dict[str, str]:
    """Remove an object, if it has that ETag, or a version; headers that say which, and whether a marker was left.

    Raises S3Error and as `services.object_delete`.
    """
    row = call.bucket.container
    if version_id is not None:
        if etag:
            raise S3Error("NotImplemented", Header="If-Match")
        return versions.removed(call, key, version_id)
    try:
        gone = services.object_delete(
            call.ctx, account=row.account_id, container=row.name, name=key, etag=etag, null_marker=True
        )
    except NotFound:
        if etag:
            raise S3Error("PreconditionFailed", Condition="If-Match") from None
        return {}
    return versions.marked(gone)


def objects_delete(call: Call) -> HttpResponseBase:
    """`POST /{bucket}?delete`: many at once, each with an outcome of its own."""
    asked = call.document("Delete")
    xml.only(asked, "Object", "Quiet")
    wanted = asked.findall("Object")
    if not 0 < len(wanted) <= MOST_DELETES:
        raise S3Error("MalformedXML")
    done: list[xml.Value] = []
    errors: list[xml.Value] = []
    for element in wanted:
        key = xml.text_of(element, "Key", strip=False)
        try:
            done.append(_delete_one(call, key, element))
        except KumoError as error:
            known = as_s3(error)
            assert known is not None
            version: xml.Value = xml.text_of(element, "VersionId") or None
            errors.append({"Key": key, "VersionId": version, "Code": known.code, "Message": known.message})
    quiet = xml.text_of(asked, "Quiet") == "true"
    return told("DeleteResult", {"Deleted": [] if quiet else done, "Error": errors})


def _delete_one(call: Call, key: str, element: xml.Element) -> dict[str, xml.Value]:
    """Remove one of many; what is told of it."""
    xml.only(element, "Key", "ETag", "VersionId")
    if not key:
        raise S3Error("MalformedXML")
    key_checked(key)
    version_id = versions.of_element(element)
    headers = removed(call, key, xml.text_of(element, "ETag").strip('"'), version_id)
    return versions.deleted_element(key, headers, version_id)


# --- copies ----------------------------------------------------------------------------------------


def _copied(call: Call) -> HttpResponseBase:
    """`PUT` with `x-amz-copy-source: bucket/key`, or `bucket/key?versionId=…`."""
    source, at, content = source_of(call)
    found = at.row
    new = new_of(call)
    replaces = _directive(call, "Metadata") == "REPLACE"
    if not replaces:
        is_same = (source.bucket, source.key) == (call.target.bucket, call.key) and isinstance(found, Object)
        if is_same and new.encryption is None:
            words = "This copy request is illegal because it is trying to copy an object to itself without changing it."
            raise S3Error("InvalidRequest", words)
        kept = {name: value for name, value in found.metadata.items() if name != services.DYNAMIC}
        new = replace(new, content_type=found.content_type, metadata=kept)
    digests = checksums.digests_of_copy(call, found.checksums)
    new = replace(new, digests=digests, encryption=new.encryption or content.wish)
    if _directive(call, "Tagging") == "COPY":
        new = replace(new, tags=_tags_of(call, at) if found.tags else None)
    pieces = services.Pieces(services.content_pieces(content, 0, content.size))
    made = put(call, pieces, content.size, new)
    result: dict[str, xml.Value] = {"LastModified": last_modified(made.created_at), "ETag": f'"{made.etag}"'}
    response = told("CopyObjectResult", result | checksums.elements_of(made.checksums))
    said = encryption.headers_of(call, made.encryption)
    for name, value in (said | versions.made_headers(made) | versions.source_headers(found)).items():
        response[name] = value
    return response


def _tags_of(call: Call, at: Found) -> dict[str, str] | None:
    """The tags that go with a copy, if the caller may see them. Raises Forbidden."""
    version_id = at.row.version_id if isinstance(at.row, Version) else None
    where = {"account": at.place.account_id, "container": at.place.name, "name": at.row.name}
    return object_marks(call.ctx, **where, aspect="Tagging", version_id=version_id).tags


def _directive(call: Call, what: str) -> str:
    header = f"X-Amz-{what}-Directive"
    found = call.headers.get(header, "COPY")
    if found not in {"COPY", "REPLACE"}:
        words = f"Unknown {what.lower()} directive."
        raise S3Error("InvalidArgument", words, ArgumentName=header.lower(), ArgumentValue=found)
    return found


def source_of(call: Call) -> tuple[Target, Found, Content]:
    """What a copy is made of, if the caller may read it and its conditions hold. Raises S3Error."""
    text = call.headers["X-Amz-Copy-Source"]
    path, _, query = text.partition("?")
    version_id = versions.of_source(query)
    try:
        path = unquote(path.encode("latin-1").decode(), errors="strict").removeprefix("/")
    except ValueError:
        path = ""
    bucket, _, key = path.partition("/")
    if not bucket or not key or "\x00" in path:
        words = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        raise S3Error("InvalidArgument", words, ArgumentName="x-amz-copy-source", ArgumentValue=text)
    row = bucket_row(bucket)
    if row is None:
        raise S3Error("NoSuchBucket", BucketName=bucket)
    bucket_expected(call, row, "X-Amz-Source-Expected-Bucket-Owner")
    at = versions.found(call, row, key, version_id)
    content = _content(call, at, encryption.key_of_source(call))
    wanted = {name: call.headers[header] for header, name in _COPY_CONDITIONS.items() if header in call.headers}
    if ranges.unmet(wanted, etag_of(at.row, content), at.row.created_at):
        raise S3Error("PreconditionFailed")
    return Target("", bucket, key), at, content
