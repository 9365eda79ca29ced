"""Small copies lie in packs: files of many records, to which all copies that come together are added by one write.

A pack is the same on each of its disks: a record begins at the same slot everywhere, and the id of its blob says in
which pack and slot. The space is written beforehand, so that a flush has nothing but the records to write; only the
process that made a pack adds to it, and holds it locked. No slot is used twice. What is removed becomes a hole, which
takes no space, and a pack of nothing but holes goes. A record that a loss of power cut off belongs to no row, as any
other that no row names: the collector removes it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
import time
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from uuid import UUID

from apps.core.ids import timed_uuid
from apps.objectstore.backends import Stored

FOLDER = "packs"
SMALL_BYTES = 64 * 1024  # larger copies are files of their own
SLOT = 4096  # a block of most file systems: less cannot become a hole
PACK_SLOTS = 2048
PACK_BYTES = PACK_SLOTS * SLOT
_SLOT_BITS = 16  # of a blob's id, which is of version 8: RFC 9562 leaves its bits to the maker
_VERSION_BITS, _OWN_VERSION = 0xF << 76, 8 << 76
_HEADER = struct.Struct(">4s16sIIII")  # magic, blob, size, CRC of the bytes, seconds since 1970, CRC of the header
_MAGIC = b"KP01"
_PUNCH_HOLE, _KEEP_SIZE = 2, 1  # fallocate(2)
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


@dataclass(frozen=True, slots=True)
class Small:
    """All bytes of a small blob, and their CRC-32."""

    body: bytes
    checksum: int

    def stored(self, blob_id: UUID, places: tuple[int, ...], missing: int) -> Stored:
        return Stored(blob_id, len(self.body), self.checksum.to_bytes(4, "big"), places, missing)


@dataclass(frozen=True, slots=True)
class Opened:
    """A copy that can be read: a file, and where in it the copy is."""

    file: int
    start: int
    size: int

    def read(self, count: int, at: int) -> bytes:
        return os.pread(self.file, min(count, self.size - at), self.start + at)

    def close(self) -> None:
        os.close(self.file)


class Pack:
    """Slots that fill up: which a batch gets, and what is to be written there."""

    def __init__(self) -> None:
        self._id = timed_uuid().int & ~_VERSION_BITS & ~((1 << _SLOT_BITS) - 1) | _OWN_VERSION
        self._next = 0

    @property
    def name(self) -> str:
        return _name(self._id)

    def has_room(self, batch: Sequence[Small]) -> bool:
        return self._next + sum(_slots(len(small.body)) for small in batch) <= PACK_SLOTS

    def records(self, batch: Sequence[Small]) -> tuple[list[UUID], int, bytes]:
        """Ids for these blobs, and what makes them safe: where to write, and what."""
        ids, parts, at, now = [], [], self._next * SLOT, int(time.time())
        for small in batch:
            ids.append(UUID(int=self._id | self._next))
            header = _header(ids[-1], len(small.body), small.checksum, now)
            parts += [header, small.body, bytes(-(len(header) + len(small.body)) % SLOT)]
            self._next += _slots(len(small.body))
        return ids, at, b"".join(parts)


class PackFile:
    """A pack on one disk, in the hands of who adds to it. It is locked as long as `file` is open."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._writing = Lock()
        self._took: deque[float] = deque(maxlen=8)

    @property
    def seconds(self) -> float:
        """What a write takes, at its quickest lately: that is the disk's part, more is that of a busy processor."""
        return min(self._took, default=1.0)

    def add(self, data: bytes, at: int) -> None:
        """Write records; they are safe when this returns. Raises OSError: what is there then, nobody knows."""
        view = memoryview(data)
        with self._writing:
            began = time.perf_counter()
            while view:
                count = os.pwritev(self._file, [view], at, os.RWF_DSYNC)
                view, at = view[count:], at + count
            self._took.append(time.perf_counter() - began)

    def close(self) -> None:
        """Let go: whoever looks through the pack gives back what was not filled."""
        with self._writing:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1

    def __del__(self) -> None:
        self.close()


def _slots(size: int) -> int:
    return -(-(_HEADER.size + size) // SLOT)


def _name(blob: int) -> str:
    return f"{blob >> _SLOT_BITS:0{(128 - _SLOT_BITS) // 4}x}"


def _header(blob_id: UUID, size: int, checksum: int, now: int) -> bytes:
    bare = _HEADER.pack(_MAGIC, blob_id.bytes, size, checksum, now, 0)
    return _HEADER.pack(_MAGIC, blob_id.bytes, size, checksum, now, zlib.crc32(bare))


def is_packed(blob_id: UUID) -> bool:
    """Whether the id is one that a pack gave."""
    return blob_id.int & _VERSION_BITS == _OWN_VERSION


def open_copy(disk: str, blob_id: UUID) -> Opened:
    """A small blob's copy. Raises FileNotFoundError, OSError."""
    file = os.open(_path(disk, blob_id), os.O_RDONLY | os.O_CLOEXEC)
    try:
        if found := _record(file, blob_id):
            return Opened(file, _at(blob_id) + _HEADER.size, found[0])
        raise FileNotFoundError(errno.ENOENT, "the pack has no such record", _path(disk, blob_id))
    except BaseException:
        os.close(file)
        raise


def remove_copy(disk: str, blob_id: UUID) -> None:
    """Remove a small blob's copy; absent is success. Raises OSError."""
    path = _path(disk, blob_id)
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if found := _record(file, blob_id):
            _punch(file, _at(blob_id), _slots(found[0]) * SLOT)
        if _next_data(file, 0) is None and _locked(file):
            _unlink(path)
    finally:
        os.close(file)


def kept(disk: str) -> Iterator[tuple[UUID, float]]:
    """Ids of all copies in packs and how long ago they came, in seconds; gives back what was never filled.

    Raises FileNotFoundError where no pack was ever begun.
    """
    for path in sorted(entry.path for entry in os.scandir(f"{disk}/{FOLDER}") if not entry.name.startswith(".")):
        with contextlib.suppress(FileNotFoundError):
            yield from _kept_in(path)


def _kept_in(path: str) -> Iterator[tuple[UUID, float]]:
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        is_left, is_empty, at = _locked(file), True, _next_data(file, 0)
        pack = int(os.path.basename(path), 16) << _SLOT_BITS
        while at is not None:
            blob_id = UUID(int=pack | at // SLOT)
            if found := _record(file, blob_id):
                size, written_at = found
                yield blob_id, time.time() - written_at
                is_empty, span = False, _slots(size) * SLOT
            else:
                span = SLOT
                if is_left:
                    _punch(file, at, span)
            at = _next_data(file, at + span)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        if is_left and is_empty:
            _unlink(path)
    finally:
        os.close(file)


def _path(disk: str, blob_id: UUID) -> str:
    return f"{disk}/{FOLDER}/{_name(blob_id.int)}"


def _at(blob_id: UUID) -> int:
    return (blob_id.int & ((1 << _SLOT_BITS) - 1)) * SLOT


def _record(file: int, blob_id: UUID) -> tuple[int, int] | None:
    """Size of a blob's record, and when it came in seconds since 1970; None where there is no such record."""
    header = os.pread(file, _HEADER.size, _at(blob_id))
    if len(header) < _HEADER.size:
        return None
    _, _, size, checksum, written_at, _ = _HEADER.unpack(header)
    return (size, written_at) if header == _header(blob_id, size, checksum, written_at) else None


def _next_data(file: int, at: int) -> int | None:
    """Where the first slot at or after `at` begins that is not a hole."""
    try:
        found = os.lseek(file, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None
    return found - found % SLOT


def _locked(file: int) -> bool:
    """Lock the pack, if its process holds it no more."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _punch(file: int, at: int, size: int) -> None:
    """Make a hole. Where the file system has none the record is gone all the same, its space with the whole pack."""
    if _libc.fallocate(file, _PUNCH_HOLE | _KEEP_SIZE, at, size):
        number = ctypes.get_errno()
        if number not in {errno.EOPNOTSUPP, errno.ENOSYS}:
            raise OSError(number, os.strerror(number))
        os.pwrite(file, bytes(_HEADER.size), at)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
