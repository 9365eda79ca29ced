"""What every call of the S3 API shares: what its address names, who asks, its body, and answers as S3 gives them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import math
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from urllib.parse import unquote_to_bytes
from xml.etree.ElementTree import Element  # the type only

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from apps.core.context import RequestContext
from apps.objectstore.api import origins
from apps.objectstore.api.s3 import xml
from apps.objectstore.api.s3.chunked import Body, body_of
from apps.objectstore.api.s3.errors import CODES, S3Error, as_s3
from apps.objectstore.api.s3.signatures import Request, Signed
from apps.objectstore.models import Bucket
from apps.objectstore.services.checksums import ALGORITHMS, digests_of
from apps.objectstore.states import MAX_OBJECT_NAME

logger = logging.getLogger("kumo.api")

ROOT = "/s3"
XML = "application/xml"
# Which of several web nodes answered, without its name.
_HOST_ID = base64.b64encode(hashlib.sha256(platform.node().encode()).digest()).decode()


@dataclass(frozen=True, slots=True)
class Target:
    """What an address names; nothing of a bucket is the service itself. `path` is what stands behind the host.

    A bucket may be named by the host instead of the path (`is_virtual`).
    """

    path: str
    bucket: str = ""
    key: str = ""
    is_virtual: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths that a caller may have signed: with and without the prefix.

        A host that names the bucket leaves one only, or a signature for the key `s3/a` would be one for `a`, too. In
        other paths the prefix can be no bucket: names have at least three characters.
        """
        if self.is_virtual:
            return (self.path,)
        return (self.path, ROOT + self.path, *([ROOT] if self.path == "/" else []))

    @property
    def resources(self) -> tuple[str, ...]:
        """The same for version 2, which puts the host's bucket before the path; some end a bucket with a slash."""
        if self.is_virtual:
            return (f"/{self.bucket}{self.path}",)
        is_bare = self.bucket and self.path == f"/{self.bucket}"
        return (*self.paths, *(f"{path}/" for path in self.paths if is_bare))


@dataclass
class Call:
    """One request: who asks what of which bucket and key. `row` is the bucket's, for calls that need one."""

    request: HttpRequest
    target: Target
    query: Mapping[str, str]
    signed: Signed
    row: Bucket | None = None
    form: Mapping[str, str] | None = None  # headers that the fields of a form stand for

    @property
    def ctx(self) -> RequestContext:
        return self.signed.ctx

    @property
    def key(self) -> str:
        return self.target.key

    @property
    def bucket(self) -> Bucket:
        """The bucket, with its container and account; there is one unless the call is to make it."""
        assert self.row is not None
        return self.row

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers as they came, or as a form says them, by any spelling of their names; values in Latin-1."""
        return self.request.headers if self.form is None else self.form

    @cached_property
    def body(self) -> Body:
        """The body, to be read once. Raises S3Error."""
        return body_of(self.headers, self.signed, self.request)

    def header(self, name: str) -> str:
        """A header's value as UTF-8 text. Raises S3Error where it is not."""
        try:
            return utf8(self.headers.get(name, ""))
        except ValueError:
            raise S3Error("InvalidArgument", f"{name} is not UTF-8.", ArgumentName=name) from None

    def md5(self) -> str:
        """What `Content-MD5` says the body has, in hex; "" where it says nothing. Raises S3Error."""
        if "Content-MD5" not in self.headers:
            return ""
        try:
            digest = base64.b64decode(self.headers["Content-MD5"], validate=True)
        except binascii.Error:
            digest = b""
        if len(digest) != 16:
            raise S3Error("InvalidDigest", **{"Content-MD5": self.headers["Content-MD5"]})
        return digest.hex()

    def whole_body(self, most: int = xml.MOST_BYTES, *, summed: bool = True) -> bytes:
        """The body of a call that takes a short one, checked; not `summed` where checksums are of something else.

        Raises S3Error.
        """
        if self.body.size > most:
            raise S3Error("MaxMessageLengthExceeded", MaxMessageLengthBytes=most)
        pieces = []
        while piece := self.body.read(most):
            pieces.append(piece)
        found = b"".join(pieces)
        wanted = self.md5()
        if wanted and hashlib.md5(found, usedforsecurity=False).hexdigest() != wanted:
            raise S3Error("BadDigest")
        for name in ALGORITHMS if summed else ():
            header = f"x-amz-checksum-{name.lower()}"
            said = self.headers.get(header) or self.body.trailers.get(header)
            if said and digests_of(found, [name])[name] != said:
                raise S3Error("BadDigest")
        return found

    def document(self, root: str, *, summed: bool = True) -> Element:
        """The body as an XML document with that root. Raises S3Error, as `whole_body`."""
        return xml.parsed(self.whole_body(summed=summed), root)


Handler = Callable[[Call], HttpResponseBase]


# --- what is asked ---------------------------------------------------------------------------------


def utf8(latin: str) -> str:
    """What WSGI gives as Latin-1, as the UTF-8 it is on the wire. Raises ValueError, for NULs too."""
    text = latin.encode("latin-1").decode()
    if "\x00" in text:
        raise ValueError("NUL")
    return text


def target_of(request: HttpRequest) -> Target:
    """What a request names, its names unchecked. Raises S3Error for a path that is no UTF-8 text."""
    came = request.META.get("kumo.path")  # set by the server's entry point
    try:
        path = utf8(came) if came is not None else utf8(request.path_info.encode().decode("latin-1"))
    except ValueError:
        raise S3Error("InvalidURI") from None
    path = path.removeprefix(ROOT) or "/"
    if not path.startswith("/"):
        raise S3Error("InvalidURI")
    if bucket := bucket_of_host(host_of(request), settings.CONFIG.objectstore.s3_domains):
        return Target(path, bucket, path[1:], True)
    bucket, _, key = path[1:].partition("/")
    return Target(path, bucket, key)


def host_of(request: HttpRequest) -> str:
    return request.META.get("HTTP_HOST") or request.get_host()


def bucket_of_host(host: str, domains: Iterable[str]) -> str:
    """The bucket that stands before one of these names; "" where the host is none of them."""
    name = host.lower().rpartition(":")[0] or host.lower()
    for domain in domains:
        if name.endswith(f".{domain}"):
            return name.removesuffix(f".{domain}")
    return ""


def query_of(request: HttpRequest) -> list[tuple[str, str]]:
    """The parameters in their order, decoded; bytes that are no UTF-8 are kept as surrogates."""
    found = []
    for part in filter(None, request.META.get("QUERY_STRING", "").split("&")):
        name, _, value = part.partition("=")
        found.append((_decoded(name), _decoded(value)))
    return found


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ").encode("latin-1")).decode(errors="surrogateescape")


def parameters_of(query: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The same by name, the first of several. Raises S3Error for what is no text."""
    found: dict[str, str] = {}
    for name, value in query:
        if not all(text.isprintable() or _is_text(text) for text in (name, value)):
            raise S3Error("InvalidArgument", "A parameter of the query is not UTF-8 text.")
        found.setdefault(name, value)
    return found


def _is_text(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def to_be_signed(request: HttpRequest, target: Target, query: list[tuple[str, str]]) -> Request:
    """What of a request is signed."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Request(request.method or "", target.paths, target.resources, host_of(request), headers, query)


def key_checked(key: str) -> None:
    """Raise S3Error for a key that is too long."""
    if (length := len(key.encode())) > MAX_OBJECT_NAME:
        raise S3Error("KeyTooLongError", MaxSizeAllowed=MAX_OBJECT_NAME, Size=length)


def bucket_expected(call: Call, bucket: Bucket, header: str) -> None:
    """Raise S3Error where the caller says in a header that the bucket is another project's."""
    expected = call.headers.get(header, "")
    if expected and expected != bucket.container.account_id:
        raise S3Error("AccessDenied")


# --- what is answered ------------------------------------------------------------------------------


def answer(status: int = 200, headers: Mapping[str, object] | None = None) -> HttpResponse:
    """An answer without a body."""
    response = HttpResponse(status=status, headers={name: str(value) for name, value in (headers or {}).items()})
    if "Content-Type" not in (headers or {}):
        del response["Content-Type"]
    response.headers.setdefault("Content-Length", "0")
    if status in {204, 304}:
        del response["Content-Length"]
    return response


def told(root: str, content: Mapping[str, xml.Value] | str, status: int = 200) -> HttpResponse:
    """An answer that is a document."""
    body = xml.document(root, content)
    return HttpResponse(body, status=status, content_type=XML, headers={"Content-Length": str(len(body))})


def fault(request: HttpRequest, error: Exception, resource: str) -> HttpResponse:
    """An error as S3 tells it. What nobody foresaw is logged whole."""
    known = as_s3(error)
    if known is None:
        logger.error("unexpected error", exc_info=error)
        known = S3Error("InternalError")
    status = CODES[known.code][0]
    if request.method == "HEAD":
        response = answer(status)
    else:
        ids = {"Resource": resource, "RequestId": request_id(request), "HostId": _HOST_ID}
        said = {"Code": known.code, "Message": known.message, **known.fields, **ids}
        body = xml.document("Error", said, namespace="")
        response = HttpResponse(body, status=status, content_type=XML, headers={"Content-Length": str(len(body))})
    for name, value in known.headers.items():
        response[name] = value
    return response


def finished(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The answer with what every answer carries."""
    for name, value in origins.SAFE.items():
        response[name] = value
    response["x-amz-request-id"] = request_id(request)
    response["x-amz-id-2"] = _HOST_ID
    return response


def request_id(request: HttpRequest) -> str:
    """The id under which this request is in the logs."""
    return getattr(request, "request_id", "")


def last_modified(at: datetime) -> datetime:
    """As S3 tells it: whole seconds, rounded up, so that what was changed since is never taken for older."""
    return datetime.fromtimestamp(math.ceil(at.timestamp()), UTC)
