"""Calls on the service and on buckets themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.http.response import HttpResponseBase

from apps.objectstore import backends, selectors, services
from apps.objectstore.api.s3 import xml
from apps.objectstore.api.s3.base import Call, Handler, answer, told
from apps.objectstore.api.s3.documents import of_new_bucket
from apps.objectstore.api.s3.errors import S3Error

_MOST_BUCKETS = 10_000


def buckets_list(call: Call) -> HttpResponseBase:
    """`GET /`."""
    if call.signed.is_anonymous:
        raise S3Error("AccessDenied")
    limit = number(call, "max-buckets", _MOST_BUCKETS, least=1)
    prefix, marker = call.query.get("prefix", ""), call.query.get("continuation-token", "")
    rows = selectors.bucket_list(call.ctx, account=call.ctx.project_id, prefix=prefix, marker=marker, limit=limit + 1)
    found = [{"Name": row.name, "CreationDate": row.created_at, "BucketRegion": _region()} for row in rows[:limit]]
    content: dict[str, xml.Value] = {
        "Owner": {"ID": call.ctx.project_id, "DisplayName": call.ctx.project_name},
        "Buckets": {"Bucket": found},
        "ContinuationToken": rows[limit - 1].name if len(rows) > limit else None,
        "Prefix": prefix or None,
    }
    return told("ListAllMyBucketsResult", content)


def number(call: Call, name: str, most: int, *, least: int = 0) -> int:
    """A parameter that is a number; more than the most is the most. Raises S3Error."""
    text = call.query.get(name, "") or str(most)
    if not (text.isascii() and text.isdecimal() and len(text) < 10) or int(text) < least:
        raise S3Error(
            "InvalidArgument",
            f"Provided {name} not an integer or within integer range",
            ArgumentName=name,
            ArgumentValue=text,
        )
    return min(int(text), most)


def bucket_put(call: Call) -> HttpResponseBase:
    """`PUT /{bucket}`."""
    if call.signed.is_anonymous:
        raise S3Error("AccessDenied")
    policy = _policy_asked(call) if call.body.size else ""
    lock = call.headers.get("X-Amz-Bucket-Object-Lock-Enabled", "").lower() == "true"
    documents = of_new_bucket(call.headers, call.ctx.project_id)
    services.bucket_create(
        call.ctx,
        account=call.ctx.project_id,
        name=call.target.bucket,
        policy=policy,
        lock_enabled=lock,
        documents=documents,
    )
    return answer(200, {"Location": f"/{call.target.bucket}"})


def _policy_asked(call: Call) -> str:
    """The storage policy of `region:policy`; the region is this one, or what the caller takes it for.

    Source of the form: LocationConstraint of Ceph's Object Gateway, where a colon comes before the placement.
    """
    asked = xml.parsed(call.whole_body(), "CreateBucketConfiguration")
    xml.only(asked, "LocationConstraint")
    text = xml.text_of(asked, "LocationConstraint")
    region, colon, policy = text.partition(":")
    if region not in {"", _region(), call.signed.region} or (colon and policy not in backends.policies()):
        raise S3Error("InvalidLocationConstraint", LocationConstraint=text)
    return policy


def bucket_head(call: Call) -> HttpResponseBase:
    """`HEAD /{bucket}`."""
    selectors.bucket_get(call.ctx, name=call.target.bucket, referrer=call.headers.get("Referer", ""))
    return answer(200)


def bucket_delete(call: Call) -> HttpResponseBase:
    """`DELETE /{bucket}`."""
    row = call.bucket.container
    services.container_delete(call.ctx, account=row.account_id, container=row.name)
    return answer(204)


def location_get(call: Call) -> HttpResponseBase:
    """`GET /{bucket}?location`. The root element itself has the text."""
    return told("LocationConstraint", _region())


def _region() -> str:
    return str(settings.CONFIG.public.region)


# --- what no bucket has here -----------------------------------------------------------------------


def _without(root: str, content: Mapping[str, Any]) -> Handler:
    return lambda call: told(root, content)


def _absent(call: Call) -> HttpResponseBase:
    raise S3Error("ReplicationConfigurationNotFoundError", BucketName=call.target.bucket)


# Features that are left out and can be asked about: the answer of a bucket without them, which tools rely on. To set
# them is not implemented.
WITHOUT: dict[tuple[str, str], tuple[Handler, str]] = {
    ("accelerate", "GET"): (_without("AccelerateConfiguration", {}), "s3:GetAccelerateConfiguration"),
    ("logging", "GET"): (_without("BucketLoggingStatus", {}), "s3:GetBucketLogging"),
    ("notification", "GET"): (_without("NotificationConfiguration", {}), "s3:GetBucketNotification"),
    ("replication", "GET"): (_absent, "s3:GetReplicationConfiguration"),
    ("requestPayment", "GET"): (
        _without("RequestPaymentConfiguration", {"Payer": "BucketOwner"}),
        "s3:GetBucketRequestPayment",
    ),
}
