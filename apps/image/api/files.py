"""Bytes of images, in and out, as streams: for their owners and for hosts."""

from __future__ import annotations

import re
from uuid import UUID

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.host import HostView
from apps.core.api.views import ApiView
from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid, KumoError, NotFound, UnsupportedMedia
from apps.image import services
from apps.image.api.base import IMAGE_API, LengthRequired
from apps.image.selectors import is_uuid
from apps.image.services import Download

OCTETS = "application/octet-stream"
_RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")
_CONTENT_RANGE = re.compile(r"^bytes (\d+)-(\d+)/(?:\d+|\*)$")


class RangeNotSatisfiable(KumoError):
    """The bytes asked for lie outside the image."""

    status = 416
    title = "Requested Range Not Satisfiable"


class File(ApiView):
    """`/v2/images/{image_id}/file`."""

    api = IMAGE_API

    def get(self, request: Request, image_id: str) -> HttpResponseBase:
        found = services.image_download(self.ctx, image_id=image_id)
        return Response(status=204) if found is None else stream(request, found)

    def put(self, request: Request, image_id: str) -> Response:
        services.image_upload(
            self.ctx,
            image_id=image_id,
            source=incoming(request),
            size=length(request),
            store=request.headers.get("X-Image-Meta-Store", "default"),
        )
        return Response(status=204)


class Stage(ApiView):
    """`PUT /v2/images/{image_id}/stage`."""

    api = IMAGE_API

    def put(self, request: Request, image_id: str) -> Response:
        services.image_stage(self.ctx, image_id=image_id, source=incoming(request), size=length(request))
        return Response(status=204)


class HostImage(HostView):
    """`GET /internal/host/v1/image/{image_id}`: for hosts on which something placed there uses the image."""

    def get(self, request: Request, image_id: str) -> HttpResponseBase:
        if not is_uuid(image_id):
            raise NotFound("image", image_id)
        if not services.host_needs(self.host, UUID(image_id)):
            raise Forbidden(f"Nothing placed on host {self.host.name} uses image {image_id}.")
        found = services.image_bytes(RequestContext(), image_id=image_id)
        response = stream(request, found)
        response["X-Image-Sha256"] = found.image.sha256 or ""
        return response


def incoming(request: Request) -> services.Incoming:
    """The body as it comes. Raises UnsupportedMedia for another type than bytes."""
    media = (request.content_type or "").split(";")[0].strip().lower()
    if media != OCTETS:
        raise UnsupportedMedia(f"An image's bytes are sent as {OCTETS}.")
    raw: services.Incoming = request._request
    return raw


def length(request: Request) -> int:
    """How many bytes the body has. Raises LengthRequired where nobody says so, Invalid for no number."""
    text = request.headers.get("Content-Length", "")
    if not text:
        raise LengthRequired("Say how long the image is, by Content-Length.")
    if not text.isdecimal():
        raise Invalid("Content-Length is no number.")
    return int(text)


def stream(request: Request, found: Download) -> HttpResponseBase:
    """The image, or the part of it that the request asks for. Raises RangeNotSatisfiable, Invalid."""
    size = found.image.size or 0
    try:
        part = wanted(request.headers.get("Range", ""), request.headers.get("Content-Range", ""), size)
    except KumoError:
        found.file.close()
        raise
    start, end = part or (0, size)
    response: HttpResponseBase
    if request.method == "HEAD":
        found.file.close()
        response = HttpResponse(content_type=OCTETS)
    else:
        response = StreamingHttpResponse(found.pieces(start, end), content_type=OCTETS)
    response["Content-Length"] = str(end - start)
    response["Accept-Ranges"] = "bytes"
    # What users uploaded must never run as a page of this origin.
    response["Content-Security-Policy"] = "sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Disposition"] = "attachment"
    if part is None:
        response["Content-MD5"] = found.image.checksum or ""
    else:
        response.status_code = 206
        response["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return response


def wanted(header: str, older: str, size: int) -> tuple[int, int] | None:
    """The part asked for as (first, one past the last); None for the whole.

    Understands one range of RFC 9110; several, or another unit, ask for the whole, as the RFC allows. `older` is
    glance's early form, a Content-Range header in a request. Raises RangeNotSatisfiable.
    """
    if match := _CONTENT_RANGE.match(older):
        first, last = int(match[1]), int(match[2])
        if first > last or last >= size:
            raise RangeNotSatisfiable(f"The image has {size} bytes.")
        return first, last + 1
    match = _RANGE.match(header.strip())
    if not match or match[1] == match[2] == "":
        return None
    if not match[1]:
        if int(match[2]) == 0:
            raise RangeNotSatisfiable(f"The image has {size} bytes.")
        return max(size - int(match[2]), 0), size
    first = int(match[1])
    if match[2] and int(match[2]) < first:
        return None  # not a valid range, hence to be ignored
    if first >= size:
        raise RangeNotSatisfiable(f"The image has {size} bytes.")
    return first, min(int(match[2]) + 1, size) if match[2] else size
