"""`/v1/{account}/{container}/{object}`."""

from __future__ import annotations

import mimetypes
import secrets
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote, unquote

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from apps.core.errors import Invalid, PreconditionFailed
from apps.objectstore import selectors, services
from apps.objectstore.api.downloads import download
from apps.objectstore.api.swift import large, metadata, ranges, symlinks, versions
from apps.objectstore.api.swift.base import (
    Address,
    Call,
    LengthRequired,
    RangeNotSatisfiable,
    answer,
    is_true,
    last_modified,
    limits_checked,
    utf8,
)
from apps.objectstore.api.texts import latin
from apps.objectstore.models import Object, ObjectFields
from apps.objectstore.selectors import Found
from apps.objectstore.services import Content, Incoming, New, Part, Reader
from apps.objectstore.states import PREFIX, Versioning, number_of, stamp, version_word

UNKNOWN_TYPE = "application/octet-stream"
_FALSE = {"", "false", "0", "no", "off", "f", "n"}


# --- bytes out -------------------------------------------------------------------------------------


def object_head(call: Call) -> HttpResponseBase:
    return _told(call, _found(call, call.address), with_bytes=False)


def object_get(call: Call) -> HttpResponseBase:
    return _told(call, _found(call, call.address), with_bytes=True)


def _found(call: Call, address: Address) -> Found:
    """The object that is asked for, or the version of it, through symbolic links unless one itself is meant."""
    found = selectors.object_find(
        call.ctx,
        account=address.project_id,
        container=address.container,
        name=address.name,
        version_id=versions.asked(call),
        referrer=call.referrer,
        follow=not symlinks.asks(call),
    )
    versions.readable(found.row)
    return found


def _told(call: Call, at: Found, *, with_bytes: bool) -> HttpResponseBase:
    """The object or the parts of it that are asked for, if the request's conditions hold."""
    found = at.row
    headers = object_headers(found)
    headers |= symlinks.location(at) if at.is_linked else versions.headers_of(found, at.place)
    if (found.segments is not None or found.parts is not None) and large.asks(call, "get"):
        body = large.shown(call, found)
        headers |= {"Etag": services.md5_of(body), "Content-Type": f"{large.JSON}; charset=utf-8"}
        return HttpResponse(body if with_bytes else b"", headers=headers | {"Content-Length": str(len(body))})
    content = _content(call, found, at.place.account_id)
    headers["Etag"] = f'"{content.etag}"' if content.is_large else content.etag
    refused = ranges.unmet(call.headers, content.etag, found.created_at)
    if refused == 412:
        raise PreconditionFailed("A precondition for this request was not met.")
    if refused:
        unchanged = HttpResponse(status=304, headers=headers)
        del unchanged["Content-Type"]
        return unchanged
    if not with_bytes:
        return HttpResponse(headers=headers | {"Content-Length": str(content.size)})
    return _parts(call, content, headers, ranges.wanted(call.headers, content.etag, found.created_at, content.size))


def _content(call: Call, found: ObjectFields, account: str) -> Content:
    """What a reader gets; of a dynamic large object whose manifest is asked for, its own bytes."""
    if found.segments is None and large.asks(call, "get"):
        return Content(found.bytes, found.etag, (Part(found, 0, found.bytes),))
    return services.content_of(Reader(call.ctx, account, call.referrer), found)


def _parts(
    call: Call, content: Content, headers: dict[str, str], parts: list[tuple[int, int]] | None
) -> HttpResponseBase:
    if parts is None:
        return download(call.request, content, 0, content.size, headers=headers)
    if not parts:
        raise RangeNotSatisfiable(content.size)
    if len(parts) > 1:
        return _several(content, headers, parts)
    start, end = parts[0]
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{content.size}"
    return download(call.request, content, start, end, headers=headers, status=206)


def object_headers(found: ObjectFields) -> dict[str, str]:
    headers = {name: latin(value) for name, value in found.metadata.items()} | {
        "Content-Type": latin(found.content_type),
        "Etag": found.etag,
        "Last-Modified": last_modified(found.created_at),
        "X-Timestamp": stamp(found.created_at),
        "Accept-Ranges": "bytes",
    }
    if found.delete_at is not None:
        headers["X-Delete-At"] = str(int(found.delete_at.timestamp()))
    if found.segments is not None:
        headers["X-Static-Large-Object"] = "True"
    return headers | symlinks.headers_of(found)


def _several(content: Content, headers: dict[str, str], parts: list[tuple[int, int]]) -> HttpResponseBase:
    """A multipart answer of several ranges; its length is known beforehand."""
    boundary = secrets.token_hex(16)
    heads = [
        f"--{boundary}\r\nContent-Type: {headers['Content-Type']}\r\n"
        f"Content-Range: bytes {start}-{end - 1}/{content.size}\r\n\r\n".encode("latin-1")
        for start, end in parts
    ]
    tail = f"--{boundary}--".encode()

    def pieces() -> Iterator[bytes]:
        for head, (start, end) in zip(heads, parts, strict=True):
            yield head
            yield from services.content_pieces(content, start, end)
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
    if (version_id := versions.asked(call)) is not None:
        return _made(versions.restored(call, version_id))
    source: Incoming = call.request
    size = length_of(call)
    new = New(
        content_type=_content_type(call) or UNKNOWN_TYPE,
        metadata=_checked(metadata.of_object(call)),
        delete_at=metadata.delete_at(call),
        etag=call.headers.get("Etag", "").strip('"').lower(),
        only_new=_only_new(call),
    )
    if (target := symlinks.target_of(call)) is not None:
        return _made(symlinks.put(call, target, size, replace(new, content_type=call.header("Content-Type"))))
    if large.asks(call, "put"):
        return _manifest_put(call, size, new)
    return _made(_put(call, call.address, source, size, new))


def _manifest_put(call: Call, size: int, new: New) -> HttpResponseBase:
    segments = large.wanted_of(call, size)

    def made() -> HttpResponseBase:
        found = services.object_manifest_put(
            call.ctx,
            account=call.address.project_id,
            container=call.address.container,
            name=call.address.name,
            segments=segments,
            new=new,
        )
        return _made(found, {"Etag": f'"{found.etag}"'})

    return large.put(call, made)


def _put(call: Call, to: Address, source: Incoming, size: int, new: New) -> Object:
    return services.object_put(
        call.ctx, account=to.project_id, container=to.container, name=to.name, source=source, size=size, new=new
    )


def _made(found: Object, headers: dict[str, str] | None = None) -> HttpResponseBase:
    return answer(
        201,
        {"Etag": found.etag, "Last-Modified": last_modified(found.created_at), "X-Timestamp": stamp(found.created_at)}
        | versions.made_headers(found)
        | (headers or {}),
    )


def length_of(call: Call) -> int:
    """How many bytes the body has. Raises LengthRequired, Invalid."""
    text = call.headers.get("Content-Length", "")
    if not text:
        raise LengthRequired("Missing Content-Length header.")
    if not (text.isascii() and text.isdecimal()):
        raise Invalid("Invalid Content-Length header value.")
    return number_of(text)


def type_of(name: str) -> str:
    """The media type that a name hints at, or nothing."""
    return mimetypes.guess_type(name)[0] or ""


def _content_type(call: Call) -> str:
    said = call.header("Content-Type")
    if said and call.headers.get("X-Detect-Content-Type", "").lower() in _FALSE:
        return said
    return type_of(call.address.name)


def _checked(found: dict[str, str]) -> dict[str, str]:
    if services.DYNAMIC in found:
        large.prefix_checked(found[services.DYNAMIC])
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
    if symlinks.target_of(call) is not None:
        raise Invalid("A PUT request is required to set a symlink target")
    if versions.asked(call) is not None:
        raise Invalid("POST to a specific version is not allowed")
    changed = services.object_post(
        call.ctx,
        account=call.address.project_id,
        container=call.address.container,
        name=call.address.name,
        content_type=call.header("Content-Type"),
        metadata=_checked(metadata.of_object(call)),
        delete_at=metadata.delete_at(call),
    )
    return answer(202) if changed.links is None else symlinks.redirected(call.address, changed.links)


def object_delete(call: Call) -> HttpResponseBase:
    if (version_id := versions.asked(call)) is not None:
        return versions.removed(call, version_id)
    account, container, name = call.address.project_id, call.address.container, call.address.name
    if not large.asks(call, "delete"):
        gone = services.object_delete(call.ctx, account=account, container=container, name=name)
    elif is_true(call.parameter("async")):
        gone = services.object_manifest_expire(call.ctx, account=account, container=container, name=name)
    else:
        return large.deleted(call)
    if not gone.found and gone.version_id is not None:
        raise versions.DeletedError(name, gone.version_id)
    return answer(204, {versions.ID: version_word(gone.version_id)} if gone.version_id is not None else {})


# --- copies ----------------------------------------------------------------------------------------


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
    found = Address(account.removeprefix(PREFIX) or call.address.project_id, container, name)
    limits_checked(found)
    return found


def _copy(call: Call, source: Address, to: Address) -> HttpResponseBase:
    at = _found(call, source)
    found = at.row
    conditions = {n: v for n, v in call.headers.items() if n.startswith("If-") and n != "If-None-Match"}
    if ranges.unmet(conditions, found.etag, found.created_at):
        raise PreconditionFailed("A precondition for this request was not met.")
    fresh = call.headers.get("X-Fresh-Metadata", "").lower() not in _FALSE
    own = _checked(metadata.of_object(call))
    new = New(
        content_type=call.header("Content-Type") or found.content_type,
        metadata=own if fresh else {**_carried(call, found), **own},
        delete_at=metadata.delete_at(call) or (None if fresh else found.delete_at),
        only_new=_only_new(call),
        links=symlinks.carried(at, to),
    )
    if source == to and _is_in_place(call, at):
        return _changed_in_place(call, found, new)
    content = _content(call, found, at.place.account_id)
    pieces = services.content_pieces(content, 0, content.size)
    made = _put(call, to, services.Pieces(pieces), content.size, replace(new, encryption=content.wish))
    return _made(made, _copied(found, source, made))


def _is_in_place(call: Call, at: Found) -> bool:
    """Whether a copy of an object onto itself only changes its metadata: no version comes, nor goes a link."""
    return versions.asked(call) is None and not at.is_linked and at.place.versioning != Versioning.ENABLED


def _carried(call: Call, found: ObjectFields) -> dict[str, str]:
    """Metadata that goes with a copy: of a dynamic large object's bytes, not that it is one."""
    return {n: v for n, v in found.metadata.items() if n != services.DYNAMIC or large.asks(call, "get")}


def _changed_in_place(call: Call, found: ObjectFields, new: New) -> HttpResponseBase:
    """A copy onto itself is how older clients change metadata."""
    changed = services.object_post(
        call.ctx,
        account=call.address.project_id,
        container=call.address.container,
        name=call.address.name,
        content_type=new.content_type,
        metadata=new.metadata,
        delete_at=new.delete_at,
    )
    return _made(changed, _copied(found, call.address, changed))


def _copied(found: ObjectFields, source: Address, made: Object) -> dict[str, str]:
    return {
        "X-Copied-From": quote(f"{source.container}/{source.name}"),
        "X-Copied-From-Account": quote(source.account),
        "X-Copied-From-Last-Modified": last_modified(found.created_at),
    } | {n: latin(v) for n, v in made.metadata.items() if n.startswith(metadata.OBJECT)}
