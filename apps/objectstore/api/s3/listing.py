"""`GET /{bucket}`: the objects of a bucket, in both versions of the call."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from urllib.parse import quote

from django.http.response import HttpResponseBase

from apps.objectstore import selectors
from apps.objectstore.api.s3 import xml
from apps.objectstore.api.s3.base import Call, last_modified, told
from apps.objectstore.api.s3.buckets import number
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.selectors import LAST, Entry, Page
from apps.objectstore.selectors.listing import segments_of

MOST_KEYS = 1000
STANDARD = "STANDARD"


def objects_list(call: Call) -> HttpResponseBase:
    """Version 2 with `list-type=2`, else 1."""
    version = call.query.get("list-type", "")
    if version not in {"", "2"}:
        raise S3Error("InvalidArgument", "list-type is 2 or absent.", ArgumentName="list-type", ArgumentValue=version)
    return _second(call) if version else _first(call)


def _first(call: Call) -> HttpResponseBase:
    marker = call.query.get("marker", "")
    found, is_cut, limit = _page(call, marker)
    encode = encoding_of(call)
    content: dict[str, xml.Value] = {"Marker": encode(marker)}
    if is_cut and call.query.get("delimiter") and found:
        content["NextMarker"] = encode(found[-1].name)
    return told("ListBucketResult", content | _listed(call, found, is_cut, limit, encode, with_owner=True))


def _second(call: Call) -> HttpResponseBase:
    start, token = call.query.get("start-after", ""), call.query.get("continuation-token")
    found, is_cut, limit = _page(call, start if token is None else _name_of(token))
    encode = encoding_of(call)
    content: dict[str, xml.Value] = {
        "ContinuationToken": token,
        "StartAfter": encode(start) if start else None,
        "KeyCount": len(found),
        "NextContinuationToken": token_of(found[-1].name) if is_cut and found else None,
    }
    with_owner = call.query.get("fetch-owner", "") == "true"
    return told("ListBucketResult", content | _listed(call, found, is_cut, limit, encode, with_owner=with_owner))


def _page(call: Call, marker: str) -> tuple[list[Entry], bool, int]:
    """Entries behind the marker, whether there are more, and how many were asked for."""
    limit = number(call, "max-keys", MOST_KEYS)
    page = Page(call.query.get("prefix", ""), delimiter_of(call), marker, limit=limit + 1 if limit else 0)
    row = call.bucket.container
    referrer = call.headers.get("Referer", "")
    found = selectors.object_list(call.ctx, account=row.account_id, container=row.name, page=page, referrer=referrer)
    return found[:limit], len(found) > limit, limit


def _listed(
    call: Call, found: list[Entry], is_cut: bool, limit: int, encode: Callable[[str], str], *, with_owner: bool
) -> dict[str, xml.Value]:
    owner = {"ID": call.bucket.container.account_id, "DisplayName": call.bucket.container.account_id}
    delimiter, segments = call.query.get("delimiter", ""), segments_of(call.bucket.container_id, found)
    members = [
        _member(entry, encode, owner if with_owner else None, segments.get(entry.name, 0))
        for entry in found
        if not entry.is_subdir
    ]
    return {
        "Name": call.bucket.name,
        "Prefix": encode(call.query.get("prefix", "")),
        "Delimiter": encode(delimiter) if delimiter else None,
        "MaxKeys": limit,
        "EncodingType": call.query.get("encoding-type") or None,
        "IsTruncated": is_cut,
        "Contents": members,
        "CommonPrefixes": [{"Prefix": encode(entry.name)} for entry in found if entry.is_subdir],
    }


def _member(
    entry: Entry, encode: Callable[[str], str], owner: dict[str, str] | None, segments: int
) -> dict[str, xml.Value]:
    assert entry.at is not None
    return {
        "Key": encode(entry.name),
        "LastModified": last_modified(entry.at),
        "ETag": f'"{entry.etag}-{segments}"' if segments else f'"{entry.etag}"',
        "Size": entry.bytes,
        "Owner": owner,
        "StorageClass": STANDARD,
    }


def delimiter_of(call: Call) -> str:
    """The delimiter. Raises S3Error for one behind which no name can come."""
    delimiter = call.query.get("delimiter", "")
    if delimiter.endswith(LAST):
        raise S3Error("InvalidArgument", "This delimiter is not supported.", ArgumentName="delimiter")
    return delimiter


def encoding_of(call: Call) -> Callable[[str], str]:
    """How names are written in the answer: as they are, or with `encoding-type=url`. Raises S3Error."""
    match call.query.get("encoding-type", ""):
        case "":
            return str
        case "url":
            return lambda text: quote(text, safe="/-_.~*")
        case other:
            words = "Invalid Encoding Method specified in Request"
            raise S3Error("InvalidArgument", words, ArgumentName="encoding-type", ArgumentValue=other)


def token_of(name: str) -> str:
    """A continuation token; clients do not look inside."""
    return base64.urlsafe_b64encode(name.encode()).decode()


def _name_of(token: str) -> str:
    try:
        name = base64.urlsafe_b64decode(token.encode()).decode()
    except (ValueError, binascii.Error):
        name = ""
    if not name or "\x00" in name:
        raise S3Error(
            "InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token"
        )
    return name
