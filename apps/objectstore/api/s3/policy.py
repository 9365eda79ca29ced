"""Bucket policies in and out, and what policies can ask of a request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import orjson
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from apps.objectstore import services
from apps.objectstore.api.s3.base import Call, answer, told
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.selectors.access import Asked
from apps.objectstore.selectors.bucket_policy import MAX_BYTES, malformed, policy_document, policy_is_public
from apps.objectstore.selectors.conditions import GRANT_HEADERS
from apps.objectstore.selectors.documents import bucket_document

# Condition keys that are headers of the request.
_HEADERS = {
    f"s3:{name}": name
    for name in (
        "x-amz-acl",
        *(f"x-amz-grant-{name}" for name in GRANT_HEADERS),
        "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-customer-algorithm",
        "x-amz-copy-source",
        "x-amz-metadata-directive",
        "x-amz-content-sha256",
        "if-match",
        "if-none-match",
    )
} | {"aws:referer": "referer"}


def asked_of(call: Call) -> Asked:
    """What conditions can say of a request: what it carries, and how it is signed."""
    found: dict[str, Sequence[str]] = {
        key: [call.headers[name]] for key, name in _HEADERS.items() if name in call.headers
    }
    if "max-keys" in call.query:
        found["s3:max-keys"] = [call.query["max-keys"]]
    signed = call.signed
    if not signed.is_anonymous:
        found |= {"s3:signatureversion": [signed.version], "s3:authtype": [signed.place]}
    if signed.at is not None:
        age = datetime.now(UTC) - signed.at
        found["s3:signatureage"] = [str(max(0, int(age.total_seconds() * 1000)))]
    return Asked(found)


def policy_get(call: Call) -> HttpResponseBase:
    """`GET /{bucket}?policy`."""
    found = bucket_document(call.ctx, bucket=call.target.bucket, kind="policy")
    if found is None:
        raise S3Error("NoSuchBucketPolicy", BucketName=call.target.bucket)
    return HttpResponse(orjson.dumps(found), content_type="application/json")


def policy_put(call: Call) -> HttpResponseBase:
    """`PUT /{bucket}?policy`: refused where it says something that would not be enforced."""
    if call.body.size > MAX_BYTES:
        raise malformed(f"A policy has at most {MAX_BYTES} bytes.")
    try:
        text = call.whole_body().decode()
    except UnicodeDecodeError:
        raise malformed("Policies must be valid JSON and the first byte must be '{'.") from None
    document = policy_document(text, call.target.bucket)
    services.bucket_document_put(call.ctx, bucket=call.target.bucket, kind="policy", document=document)
    return answer(204)


def policy_delete(call: Call) -> HttpResponseBase:
    """`DELETE /{bucket}?policy`."""
    services.bucket_document_delete(call.ctx, bucket=call.target.bucket, kind="policy")
    return answer(204)


def policy_status(call: Call) -> HttpResponseBase:
    """`GET /{bucket}?policyStatus`."""
    found = bucket_document(call.ctx, bucket=call.target.bucket, kind="policy")
    if found is None:
        raise S3Error("NoSuchBucketPolicy", BucketName=call.target.bucket)
    return told("PolicyStatus", {"IsPublic": policy_is_public(found, call.target.bucket)})
