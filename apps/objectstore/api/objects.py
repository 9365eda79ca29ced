"""`/v1/{account}/{container}/{object}`."""

from __future__ import annotations

import mimetypes
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from apps.core.errors import Invalid, PreconditionFailed
from apps.objectstore import selectors, services
from apps.objectstore.api import metadata, ranges
from apps.objectstore.api.base import (
    Address,
    Call,
    LengthRequired,
    RangeNotSatisfiable,
    answer,
    last_modified,
    latin,
    stamp,
    utf8,
)
from apps.objectstore.models import Object
from apps.objectstore.services import Incoming, New
from apps.objectstore.states import PREFIX

UNKNOWN_TYPE = "application/octet-stream"
_FALSE = {"", "false", "0", "no", "off", "f", "n"}


# --- bytes out -------------------------------------------------------------------------------------


def object_head(call: Call) -> HttpResponseBase:
    return _told(call, _object(call), with_bytes=False)


def object_get(call: Call) -> HttpResponseBase:
    return _told(call, _object(call), with_bytes=True)


def _object(call: Call) -> Object:
    address = call.address
    return selectors.object_get(
        call.ctx,
        account=address.project_id,
        container=address.container,
        name=address.name,
        referrer=call.referrer,
    )


def _told(call: Call, found: Object, *, with_bytes: bool) -> HttpResponseBase:
    """The object or the parts of it that are asked for, if the request's conditions hold."""
    headers = object_headers(found)
    refused = ranges.unmet(call.headers, found.etag, found.created_at)
    if refused == 412:
        raise PreconditionFailed("A precondition for this request was not met.")
    if refused:
        unchanged = HttpResponse(status=304, headers=headers)
        del unchanged["Content-Type"]
        return unchanged
    parts = ranges.wanted(call.headers, found.etag, found.created_at, found.bytes) if with_bytes else None
    if parts is None:
        return _streamed(found, headers, 0, found.bytes) if with_bytes else _bare(found, headers)
    if not parts:
        raise RangeNotSatisfiable(f"The object has {found.bytes} bytes.", hint=str(found.bytes))
    if len(parts) > 1:
        return _several(found, headers, parts)
    start, end = parts[0]
    response = _streamed(found, headers, start, end)
    response.status_code = 206
    response["Content-Range"] = f"bytes {start}-{end - 1}/{found.bytes}"
    return response


def object_headers(found: Object) -> dict[str, str]:
    headers = {name: latin(value) for name, value in found.metadata.items()} | {
        "Content-Type": latin(found.content_type),
        "Etag": found.etag,
        "Last-Modified": last_modified(found.created_at),
        "X-Timestamp": stamp(found.created_at),
        "Accept-Ranges": "bytes",
    }
    if found.delete_at is not None:
        headers["X-Delete-At"] = str(int(found.delete_at.timestamp()))
    return headers


def _bare(found: Object, headers: dict[str, str]) -> HttpResponse:
    return HttpResponse(headers=headers | {"Content-Length": str(found.bytes)})


def _streamed(found: Object, headers: dict[str, str], start: int, end: int) -> HttpResponseBase:
    response = StreamingHttpResponse(services.object_pieces(found, start, end), headers=headers)
    response["Content-Length"] = str(end - start)
    return response


def _several(found: Object, headers: dict[str, str], parts: list[tuple[int, int]]) -> HttpResponseBase:
    """A multipart answer of several ranges; its length is known beforehand."""
    boundary = secrets.token_hex(16)
    heads = [
        f"--{boundary}\r\nContent-Type: {headers['Content-Type']}\r\n"
        f"Content-Range: bytes {start}-{end - 1}/{found.bytes}\r\n\r\n".encode("latin-1")
        for start, end in parts
    ]
    tail = f"--{boundary}--".encode()

    def pieces() -> Iterator[bytes]:
        for head, (start, end) in zip(heads, parts, strict=True):
            yield head
            yield from services.object_pieces(found, start, end)
            yield b"\r\n"
        yield tail

    response = StreamingHttpResponse(pieces(), status=206, headers=headers)
    response["Content-Type"] = f"multipart/byteranges;boundary={boundary}"
    inner = sum(len(head) + end - start + 2 for head, (start, end) in zip(heads, parts, strict=True))
    response["Content-Length"] = str(inner + len(tail))
    return response


# --- bytes in --------------------------------------------------------------------------------------


def object_put(call: Call) -> HttpResponseBase:
    if "X-Copy-From" in call.headers:
        return _copied_from(call)
    source: Incoming = call.request
    new = New(
        content_type=_content_type(call) or UNKNOWN_TYPE,
        metadata=_checked(metadata.of_object(call)),
        delete_at=metadata.delete_at(call),
        etag=call.headers.get("Etag", "").strip('"').lower(),
        only_new=_only_new(call),
    )
    return _made(_put(call, call.address, source, _length(call), new))


def _put(call: Call, to: Address, source: Incoming, size: int, new: New) -> Object:
    return services.object_put(
        call.ctx, account=to.project_id, container=to.container, name=to.name, source=source, size=size, new=new
    )


def _made(found: Object, headers: dict[str, str] | None = None) -> HttpResponseBase:
    return answer(
        201,
        {"Etag": found.etag, "Last-Modified": last_modified(found.created_at), "X-Timestamp": stamp(found.created_at)}
        | (headers or {}),
    )


def _length(call: Call) -> int:
    text = call.headers.get("Content-Length", "")
    if not text:
        raise LengthRequired("Missing Content-Length header.")
    if not (text.isascii() and text.isdecimal()):
        raise Invalid("Invalid Content-Length header value.")
    return int(text)


def _content_type(call: Call) -> str:
    said = call.header("Content-Type")
    if said and call.headers.get("X-Detect-Content-Type", "").lower() in _FALSE:
        return said
    return mimetypes.guess_type(call.address.name)[0] or ""


def _checked(found: dict[str, str]) -> dict[str, str]:
    services.limits_checked(
        {n.removeprefix(metadata.OBJECT): v for n, v in found.items() if n.startswith(metadata.OBJECT)}
    )
    return found


def _only_new(call: Call) -> bool:
    condition = call.headers.get("If-None-Match", "")
    if condition and condition != "*":
        raise Invalid("If-None-Match only supports *")
    return bool(condition)


def object_post(call: Call) -> HttpResponseBase:
    services.object_post(
        call.ctx,
        account=call.address.project_id,
        container=call.address.container,
        name=call.address.name,
        content_type=call.header("Content-Type"),
        metadata=_checked(metadata.of_object(call)),
        delete_at=metadata.delete_at(call),
    )
    return answer(202)


def object_delete(call: Call) -> HttpResponseBase:
    services.object_delete(
        call.ctx, account=call.address.project_id, container=call.address.container, name=call.address.name
    )
    return answer(204)


# --- copies ----------------------------------------------------------------------------------------


@dataclass
class _Pieces:
    """An object's bytes as something to read from."""

    pieces: Iterator[bytes]
    rest: bytes = b""

    def read(self, size: int, /) -> bytes:
        self.rest = self.rest or next(self.pieces, b"")
        given, self.rest = self.rest[:size], self.rest[size:]
        return given


def object_copy(call: Call) -> HttpResponseBase:
    """`COPY` with `Destination: container/object`."""
    to = _elsewhere(call, "Destination", call.headers.get("Destination-Account", ""))
    return _copy(call, call.address, to)


def _copied_from(call: Call) -> HttpResponseBase:
    """`PUT` with `X-Copy-From: container/object` and an empty body."""
    if call.headers.get("Content-Length", "0") != "0":
        raise Invalid("Copy requests require a zero byte body")
    return _copy(call, _elsewhere(call, "X-Copy-From", call.headers.get("X-Copy-From-Account", "")), call.address)


def _elsewhere(call: Call, header: str, account: str) -> Address:
    path = utf8(unquote(call.headers.get(header, ""), encoding="latin-1"), header)
    container, _, name = path.removeprefix("/").partition("/")
    if not container or not name:
        raise PreconditionFailed(f"{header} header must be of the form <container name>/<object name>")
    if account and (not account.startswith(PREFIX) or "/" in account):
        raise PreconditionFailed("Account name cannot contain slashes, and begins with AUTH_.")
    return Address(account.removeprefix(PREFIX) or call.address.project_id, container, name)


def _copy(call: Call, source: Address, to: Address) -> HttpResponseBase:
    found = selectors.object_get(
        call.ctx, account=source.project_id, container=source.container, name=source.name, referrer=call.referrer
    )
    refused = ranges.unmet({n: v for n, v in call.headers.items() if n.startswith("If-")}, found.etag, found.created_at)
    if refused and "If-None-Match" not in call.headers:
        raise PreconditionFailed("A precondition for this request was not met.")
    fresh = call.headers.get("X-Fresh-Metadata", "").lower() not in _FALSE
    own = _checked(metadata.of_object(call))
    new = New(
        content_type=call.header("Content-Type") or found.content_type,
        metadata=own if fresh else {**found.metadata, **own},
        delete_at=metadata.delete_at(call) or (None if fresh else found.delete_at),
        only_new=_only_new(call),
    )
    if source == to:
        return _changed_in_place(call, found, new)
    made = _put(call, to, _Pieces(services.object_pieces(found, 0, found.bytes)), found.bytes, new)
    return _made(made, _copied(found, source))


def _changed_in_place(call: Call, found: Object, new: New) -> HttpResponseBase:
    """A copy onto itself is how older clients change metadata."""
    services.object_post(
        call.ctx,
        account=call.address.project_id,
        container=call.address.container,
        name=call.address.name,
        content_type=new.content_type,
        metadata=new.metadata,
        delete_at=new.delete_at,
    )
    changed = _object(call)
    return _made(changed, _copied(found, call.address))


def _copied(found: Object, source: Address) -> dict[str, str]:
    return {
        "X-Copied-From": quote(f"{source.container}/{source.name}"),
        "X-Copied-From-Account": quote(source.account),
        "X-Copied-From-Last-Modified": last_modified(found.created_at),
    } | {n: latin(v) for n, v in found.metadata.items() if n.startswith(metadata.OBJECT)}
