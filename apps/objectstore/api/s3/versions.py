"""Versions of objects in the S3 API: the setting of a bucket, their listing, and what `versionId` names."""

from __future__ import annotations

from uuid import UUID

from django.http.response import HttpResponseBase
from django.utils.http import http_date

from apps.core.errors import Forbidden, KumoError, NotFound
from apps.objectstore import selectors, services
from apps.objectstore.api.s3 import xml
from apps.objectstore.api.s3.base import Call, answer, last_modified, told
from apps.objectstore.api.s3.buckets import number
from apps.objectstore.api.s3.documents import version_named
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.api.s3.listing import MOST_KEYS, STANDARD, delimiter_of, encoding_of
from apps.objectstore.api.s3.lock import bypass_asked
from apps.objectstore.models import Bucket, ObjectFields, Version
from apps.objectstore.selectors import Found, Page, VersionEntry
from apps.objectstore.selectors.access import GET, LIST, Why, decide, require
from apps.objectstore.services import Removed
from apps.objectstore.states import NO_VERSION, Versioning, version_word

ID, MARKER = "x-amz-version-id", "x-amz-delete-marker"
_STATES = {Versioning.ENABLED: "Enabled", Versioning.SUSPENDED: "Suspended"}


# --- buckets ---------------------------------------------------------------------------------------


def versioning_get(call: Call) -> HttpResponseBase:
    """`GET /{bucket}?versioning`: nothing for a bucket that never kept versions."""
    row = call.bucket.container
    require(call.ctx, row.account_id, row, "s3:GetBucketVersioning")
    return told("VersioningConfiguration", {"Status": _STATES.get(Versioning(row.versioning))})


def versioning_put(call: Call) -> HttpResponseBase:
    """`PUT /{bucket}?versioning`. Raises S3Error, also where deletes shall need a second factor."""
    asked = call.document("VersioningConfiguration")
    xml.only(asked, "Status", "MfaDelete")
    if xml.text_of(asked, "MfaDelete", "Disabled") != "Disabled":
        raise S3Error("NotImplemented", Resource="MfaDelete")
    wanted = {word: state for state, word in _STATES.items()}.get(xml.text_of(asked, "Status"))
    if wanted is None:
        raise S3Error("MalformedXML")
    row = call.bucket.container
    services.container_versioning(call.ctx, account=row.account_id, container=row.name, versioning=wanted)
    return answer(200)


def versions_list(call: Call) -> HttpResponseBase:
    """`GET /{bucket}?versions`."""
    limit, encode = number(call, "max-keys", MOST_KEYS), encoding_of(call)
    key, marker = call.query.get("key-marker", ""), call.query.get("version-id-marker", "")
    if marker and not key:
        words = "A version-id marker cannot be specified without a key marker."
        raise S3Error("InvalidArgument", words, ArgumentName="version-id-marker", ArgumentValue=marker)
    page = Page(call.query.get("prefix", ""), delimiter_of(call), key, limit=limit + 1 if limit else 0)
    row = call.bucket.container
    entries = selectors.version_list(
        call.ctx,
        account=row.account_id,
        container=row.name,
        page=page,
        version_marker=version_named(marker, "version-id-marker") if marker else None,
        referrer=call.headers.get("Referer", ""),
    )
    found, is_cut = entries[:limit], len(entries) > limit
    last = found[-1] if is_cut else None
    content: dict[str, xml.Value] = {
        "Name": call.bucket.name,
        "Prefix": encode(page.prefix),
        "KeyMarker": encode(key),
        "VersionIdMarker": marker,
        "NextKeyMarker": encode(last.name) if last else None,
        "NextVersionIdMarker": version_word(last.version_id) if last and not last.is_subdir else None,
        "MaxKeys": limit,
        "Delimiter": encode(page.delimiter) if page.delimiter else None,
        "EncodingType": call.query.get("encoding-type") or None,
        "IsTruncated": is_cut,
    }
    owner = {"ID": row.account_id, "DisplayName": row.account_id}
    # Versions and markers of a key are one sequence, the youngest first.
    rows = [(_tag(entry), _member(entry, encode(entry.name), owner)) for entry in found]
    return told("ListVersionsResult", xml.elements([*content.items(), *rows]))


def _tag(entry: VersionEntry) -> str:
    return "CommonPrefixes" if entry.is_subdir else "DeleteMarker" if entry.is_marker else "Version"


def _member(entry: VersionEntry, key: str, owner: dict[str, str]) -> dict[str, xml.Value]:
    if entry.is_subdir:
        return {"Prefix": key}
    assert entry.at is not None
    facts: dict[str, xml.Value] = {"ETag": f'"{entry.etag}"', "Size": entry.bytes, "StorageClass": STANDARD}
    found: dict[str, xml.Value] = {
        "Key": key,
        "VersionId": version_word(entry.version_id),
        "IsLatest": entry.is_latest,
        "LastModified": last_modified(entry.at),
        "Owner": owner,
    }
    return found | ({} if entry.is_marker else facts)


# --- objects ---------------------------------------------------------------------------------------


def of_source(query: str) -> UUID | None:
    """The version that stands behind a copy's source: `versionId=…`, or nothing. Raises S3Error."""
    if not query:
        return None
    name, _, text = query.partition("=")
    if name != "versionId":
        raise S3Error("InvalidArgument", "Unsupported copy source parameter.", ArgumentName="x-amz-copy-source")
    return version_named(text, "versionId")


def found(call: Call, bucket: Bucket, key: str, version_id: UUID | None = None) -> Found:
    """An object or a version of it, through symbolic links. Raises S3Error for a marker, which it says it is."""
    row = bucket.container
    try:
        at = selectors.object_find(
            call.ctx,
            account=row.account_id,
            container=row.name,
            name=key,
            version_id=version_id,
            referrer=call.headers.get("Referer", ""),
        )
    except (Forbidden, NotFound) as error:
        told = missing(call, bucket, key, error, version_id)
        marker = selectors.marker_row(row.pk, key) if isinstance(told, NotFound) and version_id is None else None
        if marker is None:
            raise told from None
        raise _deleted(marker, S3Error("NoSuchKey", Key=key)) from None
    if isinstance(at.row, Version) and at.row.is_marker:
        refusal = S3Error("MethodNotAllowed", Method=call.request.method or "", ResourceType="DeleteMarker")
        refusal = _deleted(at.row, refusal)
        refusal.headers = {**refusal.headers, "Allow": "DELETE"}
        raise refusal
    return at


def missing(call: Call, bucket: Bucket, key: str, error: KumoError, version_id: UUID | None) -> KumoError:
    """What is said where an object cannot be read: that it is not there, only to those who may list the bucket.

    Source: "Permissions" of GetObject in Amazon's S3 API reference.
    """
    row, referrer = bucket.container, call.headers.get("Referer", "")
    who = call.ctx, row.account_id, row
    may_list = decide(*who, LIST, facts={"s3:prefix": [key]}, referrer=referrer).allowed
    if isinstance(error, NotFound):
        return error if may_list else S3Error("AccessDenied")
    if version_id is None:
        is_there, action, facts = selectors.object_row(row.pk, key) is not None, GET, {}
    else:
        is_there, action = selectors.version_row(row.pk, key, version_id) is not None, "s3:GetObjectVersion"
        facts = {"s3:versionid": [version_word(version_id)]}
    is_denied = decide(*who, action, key, facts=facts, referrer=referrer).why == Why.DENIED
    if is_there or is_denied or not may_list:
        return error
    return NotFound("object" if version_id is None else "version", key)


def _deleted(marker: Version, error: S3Error) -> S3Error:
    modified = http_date(last_modified(marker.created_at).timestamp())
    error.headers = {MARKER: "true", ID: version_word(marker.version_id), "Last-Modified": modified}
    return error


def headers_of(at: Found, bucket: Bucket) -> dict[str, str]:
    """What an answer says of the version that it gives."""
    if bucket.container.versioning == Versioning.NEVER or at.is_linked:
        return {}
    return {ID: version_word(at.row.version_id)}


def made_headers(made: ObjectFields) -> dict[str, str]:
    """What an answer says of the version that a call made."""
    return {} if made.version_id == NO_VERSION else {ID: version_word(made.version_id)}


def source_headers(found: ObjectFields) -> dict[str, str]:
    """What the answer to a copy says of the version that it was made of."""
    return {} if found.version_id == NO_VERSION else {"x-amz-copy-source-version-id": version_word(found.version_id)}


def marked(gone: Removed) -> dict[str, str]:
    """What an answer says of the marker that a delete left."""
    return {MARKER: "true", ID: version_word(gone.version_id)} if gone.version_id is not None else {}


def of_element(element: xml.Element) -> UUID | None:
    """The version that one of many deletes is of, if of one. Raises S3Error."""
    text = xml.text_of(element, "VersionId")
    return version_named(text, "VersionId") if text else None


def deleted_element(key: str, headers: dict[str, str], version_id: UUID | None) -> dict[str, xml.Value]:
    """The same as `headers` for one of many deletes."""
    found: dict[str, xml.Value] = {"Key": key}
    if version_id is not None:
        found["VersionId"] = version_word(version_id)
    if MARKER in headers:
        found |= {"DeleteMarker": True, "DeleteMarkerVersionId": headers[ID]}
    return found


def removed(call: Call, key: str, version_id: UUID) -> dict[str, str]:
    """Remove a version for good; one that is not there is gone. Returns the headers that say so."""
    row = call.bucket.container
    said = {ID: version_word(version_id)}
    try:
        gone = services.version_delete(
            call.ctx,
            account=row.account_id,
            container=row.name,
            name=key,
            version_id=version_id,
            promote=True,
            bypass=bypass_asked(call.headers),
        )
    except NotFound:
        return said
    return said | ({MARKER: "true"} if gone.is_marker else {})
