"""Where the bytes of objects are kept: what a blob back end can do, and those that the settings name.

A storage policy is a key of `KUMO_DRIVERS["object_store"]`. A back end knows nothing of names, accounts or time: it
keeps blobs under ids, and says of each where its copies are. Every back end passes `tests.kit.blobs`.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast
from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string

from apps.objectstore.states import CHUNK

ALIASES = {
    "disks": "apps.objectstore.backends.disks.DiskStore",
    "rados": "apps.objectstore.backends.rados.RadosStore",
    "s3": "apps.objectstore.backends.s3.S3Store",
}
DEFAULT = "default"


class NoRoomError(Exception):
    """Fewer places than needed can take these bytes now."""


class BlobLostError(Exception):
    """No good copy of some of these bytes can be had now."""


class WrongMachineError(Exception):
    """The bytes are kept by another machine or cloud than this, or under a policy that the settings do not name."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A blob that is safe, and what is needed to read it again."""

    id: UUID
    size: int
    checksums: bytes  # CRC-32 of each chunk, 4 bytes big-endian
    places: tuple[int, ...]  # where the copies are; what a number means, the back end knows
    missing: int = 0  # copies there should be besides

    def chunk_size(self, index: int) -> int:
        """Bytes in a chunk; all have CHUNK but the last."""
        return min(CHUNK, self.size - index * CHUNK)

    def is_right(self, index: int, chunk: bytes, *, verify: bool = True) -> bool:
        """Whether these are all the bytes of a chunk, and, unless only their number counts, the right ones."""
        if len(chunk) != self.chunk_size(index):
            return False
        return not verify or zlib.crc32(chunk) == int.from_bytes(self.checksums[4 * index : 4 * index + 4])


@dataclass(frozen=True, slots=True)
class Kept:
    """Something a back end holds at a place, found by looking there."""

    id: UUID
    place: int
    age_s: float


class Draft(Protocol):
    """Bytes on their way in. Nobody sees them before `publish`; one that is dropped leaves nothing."""

    def write(self, piece: bytes) -> None:
        """Append. Raises NoRoomError."""

    def publish(self) -> Stored:
        """No more bytes: returns when they are safe, also from a loss of power. Raises NoRoomError."""

    def discard(self) -> None:
        """Drop what was written; harmless after `publish`, which it does not undo."""


class BlobStore(Protocol):
    """A place for blobs."""

    api: int
    small_bytes: int  # blobs of at most so many bytes can be kept many at once, as `SmallStore` says; 0: none

    def draft(self, size: int) -> Draft:
        """Begin a blob of about that many bytes. Raises NoRoomError."""

    def read(self, stored: Stored, start: int, end: int, damaged: Callable[[int], None]) -> Iterator[bytes]:
        """The bytes from `start` up to `end`, in pieces of at most CHUNK, each right by its checksum.

        `damaged` is told the place of a copy that is bad or missing. Raises BlobLostError.
        """

    def verify(self, stored: Stored, pause: Callable[[int], None]) -> dict[int, bool]:
        """Read all copies that can be reached: place → whether it is good. `pause` is told of each piece's bytes."""

    def repair(self, stored: Stored) -> Stored:
        """Make copies until there are enough, away from places that are emptied; the blob as it is then.

        Nothing is removed. Raises NoRoomError where no more can be made now, BlobLostError.
        """

    def remove(self, blob_id: UUID, places: tuple[int, ...]) -> None:
        """Remove copies; absent is success. Raises OSError for a place that cannot be reached."""

    def kept(self) -> Iterator[Kept]:
        """All copies at all places that can be reached; drafts that were left are removed on the way."""


class SmallStore(BlobStore, Protocol):
    """A place where small blobs are kept together."""

    def keep(self, bodies: Sequence[bytes]) -> Sequence[Stored | NoRoomError]:
        """Each is safe when this returns, or has found no room. Raises WrongMachineError."""


@functools.cache
def store(policy: str) -> BlobStore:
    """The back end of a storage policy. Raises WrongMachineError for one that the settings do not name."""
    entry = settings.KUMO_DRIVERS["object_store"].get(policy)
    if entry is None:
        raise WrongMachineError(f"the settings name no storage policy {policy} (drivers.object_store.{policy})")
    path = ALIASES.get(entry["BACKEND"], entry["BACKEND"])
    made: BlobStore = import_string(path)(policy, **entry.get("OPTIONS", {}))
    return made


def small_store(policy: str) -> SmallStore | None:
    """The same, if it keeps small blobs together. Raises WrongMachineError."""
    found = store(policy)
    return cast(SmallStore, found) if found.small_bytes else None


def engine(policy: str) -> str:
    """What the settings name as a policy's back end. Raises KeyError for an unknown one."""
    return str(settings.KUMO_DRIVERS["object_store"][policy]["BACKEND"])


def policies() -> list[str]:
    """Names of all storage policies, the default one first."""
    return sorted(settings.KUMO_DRIVERS["object_store"], key=lambda k: (k != DEFAULT, k))
