"""Forms that browsers post with files in them (RFC 7578), read as a stream: a file is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from django.utils.http import parse_header_parameters

from apps.core.errors import Invalid

BLOCK = 256 * 1024
MOST_HEADERS = 16 * 1024  # bytes before a field's value
MOST_VALUE = 64 * 1024  # of a field that is no file


class Body(Protocol):
    """Where the form comes from: returns b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


class Field:
    """One field: its name, the name of its file if it is one, its headers in lower case, and its bytes."""

    def __init__(self, form: Form, headers: Mapping[str, str]) -> None:
        disposition, words = parse_header_parameters(headers.get("content-disposition", ""))
        if disposition != "form-data" or "name" not in words:
            raise Invalid("A part of the form has no name.")
        self.name: str = words["name"]
        self.filename: str | None = words.get("filename")
        self.headers = headers
        self._form = form

    def read(self, size: int, /) -> bytes:
        """Bytes of the value, b"" at its end. Raises Invalid where the form ends before."""
        return self._form.read(size)

    def text(self) -> str:
        """The whole value of a field that is no file. Raises Invalid."""
        found = b""
        while piece := self.read(MOST_VALUE + 1 - len(found)):
            found += piece
            if len(found) > MOST_VALUE:
                raise Invalid(f"The field {self.name} is longer than {MOST_VALUE} bytes.")
        return _text(found)


class Form:
    """The fields of a form in their order; each is read before the next one, or passed over."""

    def __init__(self, body: Body, content_type: str) -> None:
        """Raises Invalid for what is no form with a boundary."""
        kind, words = parse_header_parameters(content_type)
        boundary = words.get("boundary", "")
        if kind != "multipart/form-data" or not 0 < len(boundary) <= 70 or not boundary.isascii():
            raise Invalid("The body is no form.")
        self._body = body
        self._mark = f"\r\n--{boundary}".encode()
        self._buffer = b"\r\n"  # so that the first boundary is found like the others

    def __iter__(self) -> Iterator[Field]:
        while True:
            while self.read(BLOCK):
                pass
            self._buffer = self._buffer[len(self._mark) :]
            while len(self._buffer) < 2:
                self._more()
            if self._buffer.startswith(b"--"):
                return
            if self._upto(b"\r\n", 256).strip(b" \t"):
                raise Invalid("The form's boundary is followed by something else.")
            yield Field(self, self._headers())

    def read(self, size: int, /) -> bytes:
        """Bytes up to the next boundary, b"" there."""
        while True:
            at = self._buffer.find(self._mark)
            if at == 0:
                return b""
            safe = at if at > 0 else len(self._buffer) - len(self._mark) + 1
            if safe > 0:
                given = self._buffer[: min(safe, size)]
                self._buffer = self._buffer[len(given) :]
                return given
            self._more()

    def _headers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        left = MOST_HEADERS
        while line := self._upto(b"\r\n", left):
            left -= len(line) + 2
            name, colon, value = _text(line).partition(":")
            if not colon:
                raise Invalid("A part of the form has a line that is no header.")
            found[name.strip().lower()] = value.strip()
        return found

    def _upto(self, mark: bytes, most: int) -> bytes:
        """What is before `mark`, which is passed over. Raises Invalid where that is too far."""
        while (at := self._buffer.find(mark)) < 0 and len(self._buffer) <= most:
            self._more()
        if at < 0 or at > most:
            raise Invalid("The headers of a part of the form are too long.")
        found, self._buffer = self._buffer[:at], self._buffer[at + len(mark) :]
        return found

    def _more(self) -> None:
        piece = self._body.read(BLOCK)
        if not piece:
            raise Invalid("The form was cut off.")
        self._buffer += piece


def _text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Invalid("The form is no UTF-8 text.") from None
    if "\x00" in text:
        raise Invalid("The form has a NUL.")
    return text
