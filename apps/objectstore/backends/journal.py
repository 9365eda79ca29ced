"""Small copies are made safe together: their files are written as they are, and their bytes once more into a journal.

A flush of a file costs about as much as a thousand small writes, so copies that come at the same time share one: that
of the journal, whose space is written beforehand so that a flush has no other work. The files reach the disk in the
file system's own time; before a journal is used anew, the whole file system is flushed. A journal that its process
left (it ended, or the machine did) is played back by the first that opens the disk: each copy that is not there, or
not right, is written again. A record of something removed meanwhile comes back as a blob without a row, which the
collector knows.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import os
import secrets
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from uuid import UUID

logger = logging.getLogger("kumo.objectstore")

FOLDER = "journal"
SMALL_BYTES = 64 * 1024  # larger copies are flushed themselves
JOURNAL_BYTES = 8 * 2**20  # of one journal; each process that writes has one on each disk
_LOCK = "lock"
_HEADER = struct.Struct(">4s8s16sII")  # magic, which filling of the journal, blob, size, checksum of all of it
_MAGIC = b"KJ01"
_libc = ctypes.CDLL(None, use_errno=True)

Small = tuple[UUID, bytes]  # a blob's id and all of its bytes


class Journal:
    """What one process writes on one disk; any number of threads. `place` writes a copy's plain file, unflushed."""

    def __init__(self, disk: str, place: Callable[[UUID, bytes], None]) -> None:
        self._disk, self._place = disk, place
        self._writing = Lock()
        self._file: _File | None = None

    def leave(self) -> None:
        """Let go of the journal: what it holds is played back when somebody opens the disk the next time."""
        with self._writing:
            self._let_go()

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def add(self, batch: Sequence[Small]) -> list[OSError | None]:
        """Write copies, all safe when this returns; for each that is not, why."""
        with self._writing:
            errors = [self._placed(*small) for small in batch]
            placed = [small for small, error in zip(batch, errors, strict=True) if error is None]
            if not placed:
                return errors
            try:
                self._append(placed)
            except OSError as error:  # what is in the journal then, nobody knows: it is not written on
                self._let_go()
                return [found or error for found in errors]
            except BaseException:
                self._let_go()
                raise
            return errors

    def _placed(self, blob_id: UUID, body: bytes) -> OSError | None:
        try:
            self._place(blob_id, body)
        except OSError as error:
            return error
        return None

    def _append(self, batch: Sequence[Small]) -> None:
        size = sum(len(body) + _HEADER.size for _, body in batch)
        if self._file is None:
            self._file = _File(self._disk)
        elif not self._file.has_room(size):
            self._file.restart()
        self._file.append(batch)


class _File:
    """One journal, locked for as long as its process has it."""

    def __init__(self, disk: str) -> None:
        path = f"{disk}/{FOLDER}/{uuid.uuid4().hex}"
        self._file = self._disk = -1
        try:
            with _alone(disk):  # whoever plays back must not find it unlocked
                self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._disk = _folder(disk)  # open all the time, so that it learns of each failed write
            _write_at(self._file, bytes(JOURNAL_BYTES), 0)
            os.fsync(self._file)
            flush_folder(f"{disk}/{FOLDER}")
        except OSError:
            self.close()
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
        self._begin()

    def _begin(self) -> None:
        self._filling, self._at = secrets.token_bytes(8), 0

    def restart(self) -> None:
        """Make safe what the records stand for; they count no longer. Raises OSError: they still do."""
        _flush_all(self._disk)
        self._begin()

    def has_room(self, size: int) -> bool:
        return self._at + size <= JOURNAL_BYTES

    def append(self, batch: Sequence[Small]) -> None:
        parts = []
        for blob_id, body in batch:
            parts += [_header(self._filling, blob_id.bytes, body), body]
        data = b"".join(parts)
        _write_at(self._file, data, self._at)
        os.fdatasync(self._file)
        self._at += len(data)

    def close(self) -> None:
        for number in (self._file, self._disk):
            if number >= 0:
                os.close(number)
        self._file = self._disk = -1

    def __del__(self) -> None:
        self.close()


def _header(filling: bytes, blob: bytes, body: bytes) -> bytes:
    bare = _HEADER.pack(_MAGIC, filling, blob, len(body), 0)
    return _HEADER.pack(_MAGIC, filling, blob, len(body), zlib.crc32(body, zlib.crc32(bare)))


def _write_at(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(file, view, at)
        view, at = view[count:], at + count


@contextlib.contextmanager
def _alone(disk: str) -> Iterator[None]:
    """While journals of a disk are made or played back, no other process does either."""
    folder = f"{disk}/{FOLDER}"
    try:
        os.mkdir(folder, 0o700)
        flush_folder(disk)
    except FileExistsError:
        pass
    lock = os.open(f"{folder}/{_LOCK}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def play_back(disk: str, mend: Callable[[UUID, bytes], bool]) -> int:
    """Bring back what journals hold that no process has any more, and remove them; how many copies were written again.

    `mend` writes a copy, safe, unless it is there and right; whether it did. Raises OSError: nothing was removed.
    """
    if not _left(disk):
        return 0
    mended, done = 0, []
    with _alone(disk):
        for path in _left(disk):
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # its process lives
                continue
            else:
                mended += sum(mend(blob_id, body) for blob_id, body in _records(file))
                done.append(path)
            finally:
                os.close(file)
        if done:
            with _opened(disk) as folder:
                _flush_all(folder)
        for path in done:
            os.unlink(path)
    if done:
        extra = {"path": disk, "journals": len(done), "copies": mended}
        logger.info("journals of the object store were played back", extra=extra)
    return mended


def _left(disk: str) -> list[str]:
    try:
        return sorted(entry.path for entry in os.scandir(f"{disk}/{FOLDER}") if entry.name != _LOCK)
    except FileNotFoundError:
        return []


def _records(file: int) -> Iterator[tuple[UUID, bytes]]:
    """Whole records of the last filling, in order; a torn one, or one of an earlier filling, ends them."""
    data = os.pread(file, JOURNAL_BYTES, 0)
    at, filling = 0, b""
    while at + _HEADER.size <= len(data):
        magic, found, blob, size, checksum = _HEADER.unpack_from(data, at)
        body = data[at + _HEADER.size : at + _HEADER.size + size]
        bare = _HEADER.pack(magic, found, blob, size, 0)
        if magic != _MAGIC or (filling and found != filling) or checksum != zlib.crc32(body, zlib.crc32(bare)):
            return
        yield UUID(bytes=blob), body
        at, filling = at + _HEADER.size + size, found


def _flush_all(folder: int) -> None:
    """Make everything safe that was written to an open folder's file system until now. Raises OSError."""
    if _libc.syncfs(folder):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def flush_folder(path: str) -> None:
    """Make the names in a folder safe. Raises OSError."""
    with _opened(path) as folder:
        os.fsync(folder)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    folder = _folder(path)
    try:
        yield folder
    finally:
        os.close(folder)


def _folder(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
