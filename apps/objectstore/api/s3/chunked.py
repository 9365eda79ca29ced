"""Bodies as S3 sends them: plain, or in chunks that may be signed, with checksums after the last one.

A body knows its size beforehand, and has been checked whole when its last byte is given out: whoever keeps `size`
bytes keeps nothing that is not as it was announced. Source: "Signature calculations: transferring payload in multiple
chunks" in Amazon's S3 API reference.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Protocol

from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.api.s3.signatures import (
    STREAMING,
    STREAMING_SIGNED,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED,
    Chain,
    Signed,
)
from apps.objectstore.services.objects import Incoming

_PIECE = 64 * 2**10
_LONGEST_LINE = 4 * 2**10  # of a chunk's head or a trailer
_MOST_TRAILERS = 16


class Body(Protocol):
    """A body of `size` bytes. `trailers` (names in lower case) are there when the last byte is."""

    size: int
    trailers: dict[str, str]

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes, b"" at the end. Raises S3Error for a body that is not as announced."""


def body_of(headers: Mapping[str, str], signed: Signed, source: Incoming) -> Body:
    """The body of a request; one without bytes is checked at once. Raises S3Error."""
    length = _number(headers.get("Content-Length", ""), "Content-Length")
    if length is None and headers.get("Transfer-Encoding"):
        raise S3Error("MissingContentLength")
    if signed.payload not in STREAMING:
        return Plain(source, length or 0, "" if signed.payload == UNSIGNED else signed.payload)
    size = _number(headers.get("X-Amz-Decoded-Content-Length", ""), "x-amz-decoded-content-length")
    if size is None or length is None:
        raise S3Error("MissingContentLength")
    announced = [name.strip().lower() for name in headers.get("X-Amz-Trailer", "").split(",") if name.strip()]
    if bool(announced) != (signed.payload != STREAMING_SIGNED):
        raise S3Error("InvalidRequest", "x-amz-trailer and x-amz-content-sha256 do not fit together.")
    chain = None if signed.payload == STREAMING_UNSIGNED_TRAILER else signed.chain
    if chain is None and signed.payload != STREAMING_UNSIGNED_TRAILER:
        raise S3Error("InvalidRequest", "The body's chunks are signed, the request is not.")
    return Chunked(source, size, chain, announced)


def _number(text: str, header: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise S3Error("InvalidArgument", f"{header} is not a number of bytes.", ArgumentName=header)
    return int(text)


class Plain:
    """A body as it is; `sha256` is what it must have, if anything."""

    def __init__(self, source: Incoming, size: int, sha256: str = "") -> None:
        self.size = self._rest = size
        self.trailers: dict[str, str] = {}
        self._source, self._wanted = source, sha256
        self._digest = hashlib.sha256() if sha256 else None
        if size == 0:
            self._end()

    def read(self, size: int, /) -> bytes:
        if self._rest == 0 or size == 0:
            return b""
        piece = self._source.read(min(size, self._rest))
        if not piece:
            raise S3Error("IncompleteBody")
        self._rest -= len(piece)
        if self._digest:
            self._digest.update(piece)
        if self._rest == 0:
            self._end()
        return piece

    def _end(self) -> None:
        if self._digest and not hmac.compare_digest(self._digest.hexdigest(), self._wanted):
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                ClientComputedContentSHA256=self._wanted,
                S3ComputedContentSHA256=self._digest.hexdigest(),
            )


class Chunked:
    """A body in chunks, `size` bytes in all. With a chain each chunk is signed, and the trailers too."""

    def __init__(self, source: Incoming, size: int, chain: Chain | None, announced: Iterable[str]) -> None:
        self.size = self._rest = size
        self.trailers: dict[str, str] = {}
        self._source, self._chain = source, chain
        self._announced = set(announced)
        self._buffer, self._at = b"", 0  # what was read ahead, and how far it is used: chunks may be tiny
        self._in_chunk = 0  # bytes of this chunk that are still to come
        self._signature = chain.seed if chain else ""
        self._given = ""  # signature that this chunk says it has
        self._digest = hashlib.sha256()
        self._begin_chunk()

    def read(self, size: int, /) -> bytes:
        if self._rest == 0 or size == 0:
            return b""
        piece = self._take(min(size, self._in_chunk))
        self._in_chunk -= len(piece)
        self._rest -= len(piece)
        if self._chain:
            self._digest.update(piece)
        if self._in_chunk == 0:
            self._end_chunk()
            self._begin_chunk()
        return piece

    def _begin_chunk(self) -> None:
        """Read a chunk's head; after the last one, all that follows."""
        head, _, extension = self._line().partition(b";")
        name, _, given = extension.partition(b"=")
        if not head:
            raise S3Error("IncompleteBody")
        if len(head) > 15 or not all(c in b"0123456789abcdefABCDEF" for c in head):
            raise _malformed("a chunk has no size")
        if self._chain and name.strip() != b"chunk-signature":
            raise _malformed("a chunk has no signature")
        self._in_chunk, self._given = int(head, 16), given.strip().decode("latin-1")
        self._digest = hashlib.sha256()
        if self._in_chunk > self._rest:
            raise S3Error("IncompleteBody", "The chunks have more bytes than x-amz-decoded-content-length.")
        if self._in_chunk:
            return
        if self._rest:
            raise S3Error("IncompleteBody", "The chunks have fewer bytes than x-amz-decoded-content-length.")
        self._check()
        self._read_trailers()

    def _end_chunk(self) -> None:
        if self._line() != b"":
            raise _malformed("a chunk is longer than its size")
        self._check()

    def _check(self) -> None:
        if self._chain:
            self._signature = _fitting(self._chain.signature(self._signature, self._digest.hexdigest()), self._given)

    def _read_trailers(self) -> None:
        found: dict[str, str] = {}
        while line := self._line():
            name, colon, value = line.decode("latin-1").partition(":")
            name = name.strip().lower()
            if not colon or name in found or len(found) == _MOST_TRAILERS:
                raise S3Error("MalformedTrailerError")
            found[name] = value.strip()
        signature = found.pop("x-amz-trailer-signature", "")
        if set(found) != self._announced:
            raise S3Error("MalformedTrailerError", "The trailers are not those that x-amz-trailer announces.")
        if self._chain and self._announced:
            text = "".join(f"{name}:{found[name]}\n" for name in sorted(found)).encode("latin-1")
            _fitting(self._chain.trailer_signature(self._signature, text), signature)
        self.trailers = found

    def _line(self) -> bytes:
        """A line without its end; b"" where the body ends, too."""
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            rest = self._buffer[self._at :]
            if len(rest) > _LONGEST_LINE:
                raise _malformed("a line is too long")
            more = self._source.read(_PIECE)
            self._buffer, self._at = rest + more, 0
            if not more and rest:
                raise S3Error("IncompleteBody")
            if not more:
                return b""
        line, self._at = self._buffer[self._at : end], end + 1
        return line.removesuffix(b"\r")

    def _take(self, size: int) -> bytes:
        """Up to so many bytes, at least one."""
        if self._at < len(self._buffer):
            piece = self._buffer[self._at : self._at + size]
            self._at += len(piece)
            return piece
        piece = self._source.read(size)
        if not piece:
            raise S3Error("IncompleteBody")
        return piece


def _malformed(words: str) -> S3Error:
    return S3Error("InvalidRequest", f"The body is not in chunks as announced: {words}.")


def _fitting(right: str, given: str) -> str:
    """The signature, if it is the one that was given. Raises S3Error."""
    if not hmac.compare_digest(right.encode(), given.encode("latin-1", "replace")):
        raise S3Error("SignatureDoesNotMatch", SignatureProvided=given)
    return right
