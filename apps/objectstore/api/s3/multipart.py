"""Objects in parts: uploading them, listing what has arrived, and telling of what parts an object is."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from django.utils.http import http_date

from apps.objectstore import selectors, services
from apps.objectstore.api.s3 import checksums, encryption, objects, versions, xml
from apps.objectstore.api.s3.base import Call, answer, last_modified, told
from apps.objectstore.api.s3.buckets import number
from apps.objectstore.api.s3.documents import version_asked
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.api.s3.listing import STANDARD, delimiter_of, encoding_of
from apps.objectstore.api.s3.parts import part_number, sizes_of
from apps.objectstore.models import ObjectFields, Upload, UploadPart
from apps.objectstore.selectors import UploadPage
from apps.objectstore.selectors.access import require
from apps.objectstore.services import Content, Incoming, Listed
from apps.objectstore.states import MAX_FILE_BYTES, MAX_PARTS, version_word

MOST = 1000  # entries of a list
MOST_BYTES = 4 * 2**20  # of the list of all parts
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})", re.ASCII)
_ATTRIBUTES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


# --- uploads ---------------------------------------------------------------------------------------


def upload_create(call: Call) -> HttpResponseBase:
    """`POST /{bucket}/{key}?uploads`."""
    made = services.upload_create(call.ctx, **_place(call), new=objects.new_of(call), sums=checksums.sums_of(call))
    sums = made.wanted["sums"]
    response = told("InitiateMultipartUploadResult", _named(call) | {"UploadId": made.pk.hex})
    if sums["asked"]:
        response["x-amz-checksum-algorithm"], response["x-amz-checksum-type"] = sums["algorithm"], sums["kind"]
    for name, value in encryption.headers_of(call, made.wanted.get("encryption")).items():
        response[name] = value
    return response


def part_put(call: Call) -> HttpResponseBase:
    """`PUT /{bucket}/{key}?partNumber=…&uploadId=…`, also as a copy of (a range of) an object."""
    if "X-Amz-Copy-Source" in call.headers:
        return _part_copied(call)
    if not call.headers.get("Content-Length"):
        raise S3Error("MissingContentLength")
    made = _part_stored(call, call.body, call.body.size, etag=call.md5(), digests=checksums.digests_of(call))
    said = checksums.headers_of(made.checksums, is_part=True)
    return answer(200, {"ETag": f'"{made.etag}"'} | said | _encryption_of(call, made))


def _part_copied(call: Call) -> HttpResponseBase:
    _, _, content = objects.source_of(call)
    start, end = _copied_range(call, content)
    made = _part_stored(call, services.Pieces(services.content_pieces(content, start, end)), end - start)
    result: dict[str, xml.Value] = {"LastModified": last_modified(made.created_at), "ETag": f'"{made.etag}"'}
    response = told("CopyPartResult", result | checksums.elements_of(made.checksums, is_part=True))
    for name, value in _encryption_of(call, made).items():
        response[name] = value
    return response


def _encryption_of(call: Call, part: UploadPart) -> dict[str, str]:
    mode = encryption.CUSTOMER if encryption.key_of(call) else encryption.AES256
    return encryption.headers_of(call, {"mode": mode}) if part.salt else {}


def _part_stored(call: Call, source: Incoming, size: int, **more: Any) -> UploadPart:
    if size > MAX_FILE_BYTES:
        raise S3Error("EntityTooLarge", MaxSizeAllowed=MAX_FILE_BYTES, ProposedSize=size)
    return services.upload_part_put(
        call.ctx,
        **_place(call),
        upload_id=_upload_id(call),
        number=part_number(call),
        source=source,
        size=size,
        key=encryption.reading_key_of(call),
        **more,
    )


def _copied_range(call: Call, content: Content) -> tuple[int, int]:
    """The bytes of the source that a part is made of. Raises S3Error for a range that is not wholly within."""
    text = call.headers.get("X-Amz-Copy-Source-Range", "")
    if not text:
        return 0, content.size
    match = _RANGE.fullmatch(text)
    if match is None or int(match[1]) > int(match[2]):
        words = (
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy"
        )
        raise S3Error("InvalidArgument", words, ArgumentName="x-amz-copy-source-range", ArgumentValue=text)
    if int(match[2]) >= content.size:
        words = f"Range specified is not valid for source object of size: {content.size}"
        raise S3Error("InvalidArgument", words, ArgumentName="x-amz-copy-source-range", ArgumentValue=text)
    return int(match[1]), int(match[2]) + 1


def upload_complete(call: Call) -> HttpResponseBase:
    """`POST /{bucket}/{key}?uploadId=…`."""
    listed = _listed(call)
    only_new, only_over = objects.conditions(call)
    if only_over:
        versions.found(call, call.bucket, call.key)  # S3 answers otherwise where there is none
    made = services.upload_complete(
        call.ctx,
        **_place(call),
        upload_id=_upload_id(call),
        listed=listed,
        whole=checksums.whole_of(call),
        only_new=only_new,
        only_over=only_over,
    )
    location = call.request.build_absolute_uri(call.request.path)
    content = {"Location": location} | _named(call) | {"ETag": f'"{made.etag}"'}
    response = told("CompleteMultipartUploadResult", content | checksums.elements_of(made.checksums))
    if made.encryption and made.encryption["mode"] == encryption.AES256:
        response["x-amz-server-side-encryption"] = encryption.AES256
    for name, value in versions.made_headers(made).items():
        response[name] = value
    return response


def _listed(call: Call) -> list[Listed]:
    """The parts that the completing caller names. Raises S3Error."""
    asked = xml.parsed(call.whole_body(MOST_BYTES, summed=False), "CompleteMultipartUpload")
    found = asked.findall("Part")
    if not 0 < len(found) <= MAX_PARTS or len(found) != len(asked):
        raise S3Error("MalformedXML")
    listed = []
    for part in found:
        text, etag = xml.text_of(part, "PartNumber"), xml.text_of(part, "ETag").strip('"')
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and etag):
            raise S3Error("MalformedXML")
        listed.append(Listed(int(text), etag, checksums.from_element(part)))
    return listed


def upload_abort(call: Call) -> HttpResponseBase:
    """`DELETE /{bucket}/{key}?uploadId=…`."""
    services.upload_abort(call.ctx, **_place(call), upload_id=_upload_id(call))
    return answer(204)


def _place(call: Call) -> dict[str, Any]:
    row = call.bucket.container
    return {"account": row.account_id, "container": row.name, "name": call.key}


def _named(call: Call) -> dict[str, xml.Value]:
    return {"Bucket": call.bucket.name, "Key": call.key}


def _upload_id(call: Call) -> UUID:
    found = _uuid(call.query["uploadId"])
    if found is None:
        raise S3Error("NoSuchUpload", UploadId=call.query["uploadId"])
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(hex=text)
    except ValueError:
        return None


# --- lists -----------------------------------------------------------------------------------------


def parts_list(call: Call) -> HttpResponseBase:
    """`GET /{bucket}/{key}?uploadId=…`."""
    encode = encoding_of(call)
    marker = number(call, "part-number-marker", MAX_PARTS) if "part-number-marker" in call.query else 0
    limit = number(call, "max-parts", MOST)
    found = selectors.upload_part_list(call.ctx, **_place(call), upload_id=_upload_id(call), marker=marker, limit=limit)
    content = _named(call) | {
        "Key": encode(call.key),
        "UploadId": found.upload.pk.hex,
        **_people(call, found.upload),
        "StorageClass": STANDARD,
        "PartNumberMarker": marker,
        "NextPartNumberMarker": found.parts[-1].number if found.parts else 0,
        "MaxParts": limit,
        "IsTruncated": found.is_truncated,
        **_sums(found.upload),
        "Part": [_part(part) for part in found.parts],
    }
    return told("ListPartsResult", content)


def _part(part: UploadPart) -> dict[str, xml.Value]:
    return {
        "PartNumber": part.number,
        "LastModified": part.created_at,
        "ETag": f'"{part.etag}"',
        "Size": part.bytes,
        **checksums.elements_of(part.checksums, is_part=True),
    }


def uploads_list(call: Call) -> HttpResponseBase:
    """`GET /{bucket}?uploads`."""
    encode, query, row = encoding_of(call), call.query, call.bucket.container
    limit, name_marker = number(call, "max-uploads", MOST), query.get("key-marker", "")
    id_marker = query.get("upload-id-marker", "") if name_marker else ""  # says nothing without a key
    if id_marker and _uuid(id_marker) is None:
        words = "Invalid uploadId marker"
        raise S3Error("InvalidArgument", words, ArgumentName="upload-id-marker", ArgumentValue=id_marker)
    page = UploadPage(query.get("prefix", ""), delimiter_of(call), name_marker, _uuid(id_marker), limit)
    found = selectors.upload_list(call.ctx, account=row.account_id, container=row.name, page=page)
    last = found.entries[-1] if found.is_truncated and found.entries else None
    content: dict[str, xml.Value] = {
        "Bucket": call.bucket.name,
        "KeyMarker": encode(name_marker),
        "UploadIdMarker": id_marker,
        "NextKeyMarker": encode(last if isinstance(last, str) else last.name) if last else None,
        "NextUploadIdMarker": last.pk.hex if isinstance(last, Upload) else None,
        "Prefix": encode(page.prefix),
        "Delimiter": encode(page.delimiter) if page.delimiter else None,
        "MaxUploads": limit,
        "EncodingType": query.get("encoding-type") or None,
        "IsTruncated": found.is_truncated,
        "Upload": [_upload(call, entry, encode) for entry in found.entries if isinstance(entry, Upload)],
        "CommonPrefixes": [{"Prefix": encode(entry)} for entry in found.entries if isinstance(entry, str)],
    }
    return told("ListMultipartUploadsResult", content)


def _upload(call: Call, upload: Upload, encode: Callable[[str], str]) -> dict[str, xml.Value]:
    return {
        "Key": encode(upload.name),
        "UploadId": upload.pk.hex,
        **_people(call, upload),
        "StorageClass": STANDARD,
        "Initiated": upload.created_at,
        **_sums(upload),
    }


def _people(call: Call, upload: Upload) -> dict[str, xml.Value]:
    owner, initiator = call.bucket.container.account_id, upload.wanted["initiator"]
    return {
        "Initiator": {"ID": initiator, "DisplayName": initiator},
        "Owner": {"ID": owner, "DisplayName": owner},
    }


def _sums(upload: Upload) -> dict[str, xml.Value]:
    sums = upload.wanted["sums"]
    return {"ChecksumAlgorithm": sums["algorithm"], "ChecksumType": sums["kind"]}


# --- parts of objects ------------------------------------------------------------------------------


def attributes_get(call: Call) -> HttpResponseBase:
    """`GET /{bucket}/{key}?attributes`: what `x-amz-object-attributes` names."""
    wanted = {name.strip() for name in call.headers.get("X-Amz-Object-Attributes", "").split(",") if name.strip()}
    if not wanted or wanted - set(_ATTRIBUTES):
        words = "Invalid attribute name specified."
        raise S3Error("InvalidArgument", words, ArgumentName="x-amz-object-attributes")
    _may_see_attributes(call)
    at, content = objects.found_of(call)
    found = at.row
    attributes: dict[str, xml.Value] = {
        "ETag": objects.etag_of(found, content),
        "Checksum": checksums.elements_of(found.checksums) or None,
        "ObjectParts": _object_parts(call, found),
        "StorageClass": STANDARD,
        "ObjectSize": content.size,
    }
    response = told("GetObjectAttributesResponse", {name: attributes[name] for name in attributes if name in wanted})
    response["Last-Modified"] = http_date(last_modified(found.created_at).timestamp())
    for name, value in versions.headers_of(at, call.bucket).items():
        response[name] = value
    return response


def _may_see_attributes(call: Call) -> None:
    """Raise Forbidden for who may not, even if they may read the object."""
    row, version_id = call.bucket.container, version_asked(call)
    facts = {} if version_id is None else {"s3:versionid": [version_word(version_id)]}
    action = f"s3:GetObject{'' if version_id is None else 'Version'}Attributes"
    require(call.ctx, row.account_id, row, action, call.key, referrer=call.headers.get("Referer", ""), facts=facts)


def _object_parts(call: Call, found: ObjectFields) -> dict[str, xml.Value] | None:
    if found.parts is None and found.segments is None:
        return None
    marker, limit = _header_number(call, "X-Amz-Part-Number-Marker", 0), _header_number(call, "X-Amz-Max-Parts", MOST)
    sizes = sizes_of(found)
    shown = range(marker, min(marker + min(limit, MOST), len(sizes)))
    return {
        "PartsCount": len(sizes),
        "PartNumberMarker": marker,
        "NextPartNumberMarker": shown[-1] + 1 if shown else 0,
        "MaxParts": min(limit, MOST),
        "IsTruncated": bool(shown) and shown[-1] + 1 < len(sizes),
        "Part": [_object_part(found, index, sizes[index]) for index in shown],
    }


def _object_part(found: ObjectFields, index: int, size: int) -> dict[str, xml.Value]:
    kept = found.parts[index]["checksums"] if found.parts else None
    return {"PartNumber": index + 1, "Size": size} | checksums.elements_of(kept, is_part=True)


def _header_number(call: Call, name: str, default: int) -> int:
    text = call.headers.get(name, "") or str(default)
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise S3Error("InvalidArgument", f"{name.lower()} is not a number.", ArgumentName=name.lower())
    return int(text)
