"""Reading one part of an object by its number: of an upload in parts, or a segment of a static large object."""

from __future__ import annotations

from dataclasses import dataclass

from apps.objectstore.api.s3 import checksums
from apps.objectstore.api.s3.base import Call
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.models import ObjectFields
from apps.objectstore.states import MAX_PARTS


def part_number(call: Call) -> int:
    """The number that the query names. Raises S3Error for one that no part can have."""
    text = call.query.get("partNumber", "")
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MAX_PARTS):
        words = f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive"
        raise S3Error("InvalidArgument", words, ArgumentName="partNumber", ArgumentValue=text)
    return int(text)


def sizes_of(found: ObjectFields) -> list[int]:
    """Bytes of each part; an object that came in one piece has one, a static large object one for each segment."""
    if found.parts is None and found.segments is None:
        return [found.bytes]
    return [part["bytes"] for part in found.parts or found.segments or []]


@dataclass(frozen=True, slots=True)
class Part:
    """Where a part of an object is, and what headers say of it."""

    start: int
    end: int
    checksums: dict[str, str]
    headers: dict[str, str]


def part_of(call: Call, found: ObjectFields) -> Part | None:
    """The part that `partNumber` asks for, if any. Raises S3Error for one that is not there."""
    if "partNumber" not in call.query:
        return None
    if "Range" in call.headers:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    sizes, wanted = sizes_of(found), part_number(call)
    if wanted > len(sizes):
        raise S3Error("InvalidPartNumber", PartNumberRequested=wanted, ActualPartCount=len(sizes))
    start = sum(sizes[: wanted - 1])
    end = start + sizes[wanted - 1]
    if found.parts is None and found.segments is None:
        return Part(start, end, checksums.headers_of(found.checksums), {})
    said = checksums.headers_of(found.parts[wanted - 1]["checksums"], is_part=True) if found.parts else {}
    if said:
        said["x-amz-checksum-type"] = checksums.kind_of(found.checksums)
    return Part(start, end, said, {"x-amz-mp-parts-count": str(len(sizes))})
