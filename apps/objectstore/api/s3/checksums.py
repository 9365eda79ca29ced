"""Checksums on the wire: announced in headers or after the body, and given back to those who ask for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element  # the type only

from apps.objectstore.api.s3 import xml
from apps.objectstore.api.s3.base import Call
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.services.checksums import ALGORITHMS, COMPOSITE, FULL, TYPE, Digests, is_value
from apps.objectstore.services.uploads import DEFAULT_ALGORITHM, Sums, Whole

_HEADERS = {f"x-amz-checksum-{name.lower()}": name for name in ALGORITHMS}


def digests_of(call: Call) -> Digests:
    """The checksums that the body is kept with: the announced one, or the one that S3 keeps by itself.

    Raises S3Error for more than one, or one that cannot be.
    """
    given, trailing = header_values(call), _trailing(call)
    names = {*given, *trailing}
    if len(given) + len(trailing) > 1:
        words = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        raise S3Error("InvalidRequest", words)
    chosen = _chosen(call)
    if chosen and names and chosen not in names:
        raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm header is invalid.")
    if chosen and not names and "X-Amz-Sdk-Checksum-Algorithm" in call.headers:
        words = "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer "
        raise S3Error("InvalidRequest", f"{words}headers were found.")

    def announced() -> Mapping[str, str]:
        return given | {name: _valid(name, call.body.trailers.get(header, "")) for name, header in trailing.items()}

    return Digests(names, announced)


def with_default(digests: Digests) -> Digests:
    """These checksums; for a body that came with none, the one that S3 computes by itself."""
    return digests if digests.algorithms else digests.also(DEFAULT_ALGORITHM)


def header_values(call: Call) -> dict[str, str]:
    """What headers say: algorithm → value. Raises S3Error for what can be no value."""
    return {name: _valid(name, call.headers[header]) for header, name in _HEADERS.items() if header in call.headers}


def _trailing(call: Call) -> dict[str, str]:
    """What comes after the body: algorithm → name of the trailer. Raises S3Error for one that nobody knows."""
    names = [name.strip().lower() for name in call.headers.get("X-Amz-Trailer", "").split(",") if name.strip()]
    if any(name not in _HEADERS for name in names):
        raise S3Error("InvalidRequest", "The value specified in the x-amz-trailer header is not supported")
    return {_HEADERS[name]: name for name in names}


def _valid(name: str, value: str) -> str:
    if not is_value(name, value):
        raise S3Error("InvalidRequest", f"Value for x-amz-checksum-{name.lower()} header is invalid.")
    return value


def _chosen(call: Call) -> str:
    """The algorithm that a header names. Raises S3Error for one that is not known."""
    for header in ("X-Amz-Sdk-Checksum-Algorithm", "X-Amz-Checksum-Algorithm"):
        if name := call.headers.get(header, "").upper():
            if name not in ALGORITHMS:
                raise S3Error("InvalidRequest", "Checksum algorithm provided is unsupported.")
            return name
    return ""


def digests_of_copy(call: Call, kept: Mapping[str, Any] | None) -> Digests:
    """The checksum of a copy: what the call asks for, else as the source has it. Raises S3Error."""
    return Digests([_chosen(call) or next((name for name, _ in _values(kept)), DEFAULT_ALGORITHM)])


def sums_of(call: Call) -> Sums:
    """Which checksum an upload shall keep. Raises S3Error."""
    return Sums(_chosen(call), _kind(call))


def whole_of(call: Call) -> Whole:
    """What the completing call says of the whole object. Raises S3Error."""
    size = call.headers.get("X-Amz-Mp-Object-Size", "")
    if size and not (size.isascii() and size.isdecimal() and len(size) < 20):
        raise S3Error("InvalidRequest", "Value for x-amz-mp-object-size header is invalid.")
    given = {name: call.headers[header] for header, name in _HEADERS.items() if header in call.headers}
    if any(not is_value(name, value.partition("-")[0]) for name, value in given.items()):
        raise S3Error("InvalidRequest", f"Value for x-amz-checksum-{min(given).lower()} header is invalid.")
    return Whole(given, _kind(call), int(size) if size else None)


def _kind(call: Call) -> str:
    kind = call.headers.get("X-Amz-Checksum-Type", "").upper()
    if kind and kind not in {FULL, COMPOSITE}:
        raise S3Error("InvalidRequest", "Value for x-amz-checksum-type header is invalid.")
    return kind


# --- answers ---------------------------------------------------------------------------------------


def is_asked(call: Call) -> bool:
    """Whether an answer shall tell the checksum."""
    return call.headers.get("X-Amz-Checksum-Mode", "").upper() == "ENABLED"


def headers_of(kept: Mapping[str, Any] | None, *, is_part: bool = False) -> dict[str, str]:
    """A checksum as headers of an answer; parts have no type."""
    found = {f"x-amz-checksum-{name.lower()}": value for name, value in _values(kept)}
    return found | ({"x-amz-checksum-type": kind_of(kept)} if found and not is_part else {})


def elements_of(kept: Mapping[str, Any] | None, *, is_part: bool = False) -> dict[str, xml.Value]:
    """The same as elements of a document."""
    found: dict[str, xml.Value] = {f"Checksum{name}": value for name, value in _values(kept)}
    return found | ({"ChecksumType": kind_of(kept)} if found and not is_part else {})


def _values(kept: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    return ((name, str(value)) for name, value in (kept or {}).items() if name != TYPE)


def kind_of(kept: Mapping[str, Any] | None) -> str:
    """Whether a checksum is of all bytes, or of the checksums of parts."""
    return str((kept or {}).get(TYPE, FULL))


def from_element(element: Element) -> dict[str, str]:
    """The checksums that an element of a document holds: algorithm → value."""
    found = {name: xml.text_of(element, f"Checksum{name}") for name in ALGORITHMS}
    return {name: value for name, value in found.items() if value}
