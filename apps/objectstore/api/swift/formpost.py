"""Forms of web pages that put files into a container: signed, as temporary URLs are, by a key of account or container.

The signature is over path, redirect, largest size, most files and end. Fields come before the files they are about;
each file becomes an object whose name begins with the form's path. Source: Swift's documentation of FormPost.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.html import format_html

from apps.core.errors import Invalid, KumoError, TooLarge, Unauthorized
from apps.objectstore import services
from apps.objectstore.api.forms import MOST_VALUE, Field, Form
from apps.objectstore.api.swift.base import ROOT, Address, answer, limits_checked, path_of
from apps.objectstore.api.swift.metadata import moment_of
from apps.objectstore.api.swift.tempurl import signature_of, signer_of
from apps.objectstore.selectors.access import SignedContext
from apps.objectstore.services import New

DIGESTS = ("sha1", "sha256", "sha512")
UNKNOWN_TYPE = "application/octet-stream"
_NUMBERS = ("max_file_size", "max_file_count", "expires")
_MOST_FIELDS = 100
Fields = dict[str, str]


def is_form(request: HttpRequest) -> bool:
    return request.method == "POST" and request.headers.get("Content-Type", "").startswith("multipart/form-data")


@dataclass
class _Capped:
    """A file of the form that may have so many bytes."""

    file: Field
    left: int

    def read(self, size: int, /) -> bytes:
        piece = self.file.read(size)
        self.left -= len(piece)
        if self.left < 0:
            raise TooLarge("FormPost: max_file_size exceeded")
        return piece


def answered(request: HttpRequest, address: Address) -> HttpResponseBase:
    """Take the files of a form. Those before one that fails have been kept, as in Swift.

    Raises Unauthorized, Invalid, TooLarge; where a signed form says so, the answer is a redirect that tells instead.
    """
    fields: Fields = {}
    status, message = 201, ""
    try:
        _kept(request, address, fields)
    except KumoError as error:
        if not fields.get("redirect"):
            raise
        status, message = error.status, str(error)
    if not fields.get("redirect"):
        return answer(status, {}, b"201 Created", "text/plain")
    return _redirected(fields["redirect"], status, message)


def _kept(request: HttpRequest, address: Address, signed: Fields) -> None:
    """Keep the files. `signed` becomes the fields before the first of them, when their signature holds."""
    fields: Fields = {}
    count = 0
    for field in Form(request, request.headers.get("Content-Type", "")):
        if not field.filename:
            fields[field.name.lower()] = field.text().rstrip("\r\n")
            if sum(map(len, fields.values())) > MOST_VALUE or len(fields) > _MOST_FIELDS:  # nobody has signed them yet
                raise Invalid("FormPost: the fields are too long")
            continue
        ctx = _signer(request, address, fields)
        if any(c in fields.get("redirect", "") for c in "\r\n\0"):
            raise Invalid("FormPost: redirect is no address")
        signed.update(fields)
        count += 1
        if count > _number(fields, "max_file_count"):
            raise Invalid("FormPost: max file count exceeded")
        _keep(ctx, address, field, fields)
    if not count:
        raise Invalid("FormPost: no files to process")


def _keep(ctx: SignedContext, address: Address, file: Field, fields: Fields) -> None:
    to = Address(address.project_id, address.container, f"{address.name}{file.filename}")
    limits_checked(to)
    encoding = fields.get("content-encoding") or file.headers.get("content-encoding", "")
    kind = fields.get("content-type") or file.headers.get("content-type") or UNKNOWN_TYPE
    if not f"{kind}{encoding}".isprintable():
        raise Invalid("FormPost: a header is one line of text")
    services.object_put(
        ctx,
        account=to.project_id,
        container=to.container,
        name=to.name,
        source=_Capped(file, _number(fields, "max_file_size")),
        size=None,
        new=New(
            content_type=kind,
            metadata={"Content-Encoding": encoding} if encoding else {},
            delete_at=moment_of(fields.get("x_delete_after", ""), fields.get("x_delete_at", "")),
        ),
    )


def _signer(request: HttpRequest, address: Address, fields: Fields) -> SignedContext:
    """Who signed the form. Raises Unauthorized, Invalid."""
    if _number(fields, "expires") < time.time():
        raise Unauthorized("FormPost: Form Expired")
    path = path_of(request).removeprefix(ROOT)
    rest = "\n".join([fields.get("redirect", ""), *(fields.get(name) or "0" for name in _NUMBERS)])
    digest, signature = signature_of(fields.get("signature", ""), DIGESTS)
    texts = [f"{form}\n{rest}" for form in (path, f"{ROOT}{path}")]
    found = signer_of(address, getattr(request, "request_id", ""), digest, signature, texts) if digest else None
    if found is None:
        raise Unauthorized("FormPost: Invalid Signature")
    return found


def _number(fields: Fields, name: str) -> int:
    text = fields.get(name) or "0"
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise Invalid(f"FormPost: {name} not an integer")
    return int(text)


def _redirected(where: str, status: int, message: str) -> HttpResponse:
    to = f"{where}{'&' if '?' in where else '?'}status={status}&message={quote(message)}"
    body = format_html('<html><body><p><a href="{}">Click to continue...</a></p></body></html>', to)
    return HttpResponse(body, status=303, headers={"Location": to})
