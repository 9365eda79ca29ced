"""The one view of the S3 API: which call a method on an address is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views import View

from apps.objectstore.api.s3 import buckets, cors, documents, encryption, listing, multipart, objects, versions, website
from apps.objectstore.api.s3.base import (
    Call,
    Handler,
    Target,
    bucket_expected,
    fault,
    finished,
    key_checked,
    parameters_of,
    query_of,
    request_id,
    target_of,
    to_be_signed,
)
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.api.s3.policy import asked_of
from apps.objectstore.api.s3.post import is_form, upload_of
from apps.objectstore.api.s3.signatures import signed_by
from apps.objectstore.selectors import bucket_row
from apps.objectstore.selectors.access import asked, require

SERVICE, BUCKET, OBJECT = "service", "bucket", "object"


@dataclass(frozen=True, slots=True)
class Route:
    """A call: what answers it, and the action that policies know it by."""

    handler: Handler
    action: str
    makes: bool = False  # the bucket need not be there
    takes: tuple[str, ...] = ()  # parameters of the query that other calls refuse
    is_setting: bool = False  # of a bucket: who may not learns nothing of it, not even what else is wrong


# (what the address names, sub-resource of the query, method) → call.
ROUTES: dict[tuple[str, str, str], Route] = {
    (SERVICE, "", "GET"): Route(buckets.buckets_list, "s3:ListAllMyBuckets"),
    (BUCKET, "", "PUT"): Route(buckets.bucket_put, "s3:CreateBucket", makes=True),
    (BUCKET, "", "HEAD"): Route(buckets.bucket_head, "s3:ListBucket"),
    (BUCKET, "", "DELETE"): Route(buckets.bucket_delete, "s3:DeleteBucket"),
    (BUCKET, "", "GET"): Route(listing.objects_list, "s3:ListBucket"),
    (BUCKET, "location", "GET"): Route(buckets.location_get, "s3:GetBucketLocation", is_setting=True),
    (BUCKET, "delete", "POST"): Route(objects.objects_delete, "s3:DeleteObject"),
    (BUCKET, "versioning", "GET"): Route(versions.versioning_get, "s3:GetBucketVersioning", is_setting=True),
    (BUCKET, "versioning", "PUT"): Route(versions.versioning_put, "s3:PutBucketVersioning", is_setting=True),
    (BUCKET, "versions", "GET"): Route(versions.versions_list, "s3:ListBucketVersions"),
    (OBJECT, "", "GET"): Route(objects.object_get, "s3:GetObject", takes=("versionId",)),
    (OBJECT, "", "HEAD"): Route(objects.object_head, "s3:GetObject", takes=("versionId",)),
    (OBJECT, "", "PUT"): Route(objects.object_put, "s3:PutObject"),
    (OBJECT, "", "DELETE"): Route(objects.object_delete, "s3:DeleteObject", takes=("versionId",)),
    (OBJECT, "attributes", "GET"): Route(multipart.attributes_get, "s3:GetObjectAttributes", takes=("versionId",)),
    (BUCKET, "uploads", "GET"): Route(multipart.uploads_list, "s3:ListBucketMultipartUploads"),
    (OBJECT, "uploads", "POST"): Route(multipart.upload_create, "s3:PutObject"),
    (OBJECT, "uploadId", "PUT"): Route(multipart.part_put, "s3:PutObject"),
    (OBJECT, "uploadId", "POST"): Route(multipart.upload_complete, "s3:PutObject"),
    (OBJECT, "uploadId", "GET"): Route(multipart.parts_list, "s3:ListMultipartUploadParts"),
    (OBJECT, "uploadId", "DELETE"): Route(multipart.upload_abort, "s3:AbortMultipartUpload"),
}
ROUTES |= {
    (BUCKET, *key): Route(handler, action, is_setting=True)
    for key, (handler, action) in {**buckets.WITHOUT, **documents.BUCKET_CALLS, **website.CALLS}.items()
}
ROUTES |= {
    (OBJECT, *key): Route(handler, action, takes=("versionId",))
    for key, (handler, action) in documents.OBJECT_CALLS.items()
}

# All sub-resources that S3 knows: one without a call here is not implemented, and never taken for another call.
SUBRESOURCES = (
    "uploadId", "uploads", "abac", "accelerate", "acl", "analytics", "annotation", "attributes", "cors", "delete",
    "encryption", "intelligent-tiering", "inventory", "legal-hold", "lifecycle", "location", "logging",
    "metadataAnnotationTable", "metadataConfiguration", "metadataInventoryTable", "metadataJournalTable",
    "metadataTable", "metrics", "notification", "object-lock", "ownershipControls", "policy", "policyStatus",
    "publicAccessBlock", "renameObject", "replication", "requestPayment", "restore", "retention", "select", "session",
    "tagging", "torrent", "versioning", "versions", "website",
)  # fmt: skip

# Headers and parameters that promise what this store does not do: taken silently, a user would rely on them.
NOT_SERVED_HEADERS = (
    "X-Amz-If-Match-",
    "X-Amz-Mfa",
    "X-Amz-Request-Payer",
    *encryption.NOT_SERVED,
    "X-Amz-Website-Redirect-Location",
    "X-Amz-Write-Offset-Bytes",
)
NOT_SERVED_PARAMETERS = ("versionId",)
_OF_PARTS = {("", "GET"), ("", "HEAD"), ("uploadId", "PUT")}  # calls that a part's number belongs to


class S3(View):
    """Everything below `/s3`, and all of the S3 port."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if site := website.site_of(request):
            return website.answered(request, site)
        target: Target | None = None
        try:
            target = target_of(request)
            response = cors.preflight(request, target.bucket) if _is_preflight(request) else answered(request, target)
        except Exception as error:  # noqa: BLE001 - each becomes an answer, what nobody foresaw a logged one
            response = fault(request, error, target.path if target else "")
        if target is not None and response.status_code < 500:
            cors.shared(request, target.bucket, response)
        return finished(request, response)


def _is_preflight(request: HttpRequest) -> bool:
    return request.method == "OPTIONS"


def answered(request: HttpRequest, target: Target) -> HttpResponseBase:
    """The answer to a request. Raises S3Error and what services raise."""
    query = query_of(request)
    now = datetime.now(UTC)
    signed = signed_by(to_be_signed(request, target, query), request_id(request), now)
    upload = upload_of(request) if is_form(request, target) else None
    if upload is not None:
        signed = upload.signed(request, signed, target.bucket, now)
        target = replace(target, key=upload.key)
    form = upload.headers(request) if upload is not None else None
    call = Call(request, target, parameters_of(query), signed, form=form)
    headers_checked(call)
    route = route_of(call) if upload is None else Route(upload.answered, "s3:PutObject")
    key_checked(target.key)
    if target.bucket:
        call.row = bucket_row(target.bucket)
        if call.row is None and not route.makes:
            raise S3Error("NoSuchBucket", BucketName=target.bucket)
    owner_checked(call)
    token = asked.set(asked_of(call))
    try:
        if route.is_setting:
            row = call.bucket.container
            require(call.ctx, row.account_id, row, route.action)
        response = route.handler(call)
    finally:
        asked.reset(token)
    if call.row is not None:
        response["x-amz-bucket-region"] = settings.CONFIG.public.region
    return response


def headers_checked(call: Call) -> None:
    """Raise S3Error (NotImplemented) for a header that promises what is not done."""
    if refused := [name for name in call.headers if name.startswith(NOT_SERVED_HEADERS)]:
        raise S3Error("NotImplemented", Header=refused[0])


def route_of(call: Call) -> Route:
    """Which call this is. Raises S3Error (NotImplemented, MethodNotAllowed)."""
    level = OBJECT if call.target.key else BUCKET if call.target.bucket else SERVICE
    method = call.request.method or ""
    named = [name for name in SUBRESOURCES if name in call.query] if level != SERVICE else []
    refused = [name for name in NOT_SERVED_PARAMETERS if name in call.query]
    route = ROUTES.get((level, named[0] if named else "", method))
    refused = [name for name in refused if route is None or name not in route.takes]
    if route is not None and "partNumber" in call.query and ("".join(named), method) not in _OF_PARTS:
        raise S3Error("InvalidArgument", "This operation does not accept a part number.", ArgumentName="partNumber")
    if route is not None and len(named) < 2 and not refused:
        return route
    if named or refused:
        raise S3Error("NotImplemented", Resource=(named or refused)[0])
    raise S3Error("MethodNotAllowed", Method=method, ResourceType=level.upper())


def owner_checked(call: Call) -> None:
    """Raise where the caller expects the bucket to be another project's."""
    if call.row is not None:
        bucket_expected(call, call.row, "X-Amz-Expected-Bucket-Owner")
