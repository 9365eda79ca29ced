"""Words and limits of the object store. What `/info` tells, it tells from here."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID


class DiskState(StrEnum):
    """What may be put on a disk."""

    ACTIVE = "active"
    DRAINING = "draining"  # read, but emptied: nothing new goes there


class Versioning(StrEnum):
    """Whether a container keeps what is replaced or deleted."""

    NEVER = ""
    ENABLED = "enabled"
    SUSPENDED = "suspended"  # what there is is kept, nothing new


NO_VERSION = UUID(int=0)  # of what was put while versions were not kept


def version_word(version_id: UUID) -> str:
    """A version's id as both APIs and policies say it."""
    return "null" if version_id == NO_VERSION else version_id.hex


def version_of(word: str) -> UUID:
    """The reverse. Raises ValueError."""
    return NO_VERSION if word == "null" else UUID(hex=word)


TICK = timedelta(microseconds=10)  # times of one object rise by at least this: Swift shows five digits
_STAMP = re.compile(r"[0-9]{10}\.[0-9]{5}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stamp(at: datetime) -> str:
    """Seconds since 1970 with five digits, rounded down: another one for times that are a tick apart.

    Without floating point, which would round some such times to the same digits.
    """
    ticks = (at - _EPOCH) // TICK
    return f"{ticks // 100_000}.{ticks % 100_000:05}"


def stamped(text: str) -> datetime | None:
    """The reverse; None for what is no such text."""
    if not _STAMP.fullmatch(text):
        return None
    seconds, ticks = text.split(".")
    return _EPOCH + timedelta(seconds=int(seconds)) + int(ticks) * TICK


DYNAMIC = "X-Object-Manifest"  # metadata: the bytes are those of all objects whose names begin so

MIB = 2**20
CHUNK = MIB  # bytes under one checksum
PREFIX = "AUTH_"  # before a project's id in the name of its account

MAX_ACCOUNT_NAME = 256
MAX_CONTAINER_NAME = 256  # bytes of UTF-8
MAX_OBJECT_NAME = 1024
MAX_META_NAME = 128
MAX_META_VALUE = 256
MAX_META_COUNT = 90
MAX_META_OVERALL = 4096
MAX_LISTING = 10_000
MAX_FILE_BYTES = 5 * 2**30
MAX_PARTS = 10_000  # of a multipart upload
MIN_PART_BYTES = 5 * 2**20  # of each but the last
MAX_UPLOAD_BYTES = 5 * 2**40  # of all together
MAX_ACL_BYTES = 8 * 2**10
MAX_LINK_S = 365 * 86400  # a link that is given away

# A name of DNS, since it may stand in a host's; what looks like an address, or like an encoded name, is none.
_BUCKET_NAME = re.compile(
    r"(?!xn--|\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*"
)


def is_bucket_name(text: str) -> bool:
    """Whether S3 can reach a container of that name. Source: "Bucket naming rules" of Amazon S3."""
    return 3 <= len(text) <= 63 and bool(_BUCKET_NAME.fullmatch(text))


def number_of(digits: str) -> int:
    """What decimal digits say; of more than twenty only that it is beyond any size, for Python refuses thousands."""
    plain = digits.lstrip("0")
    return int(plain or 0) if len(plain) <= 20 else 10**20
