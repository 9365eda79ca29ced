"""One disk: a directory with a file that says which disk it is, and copies named by blob id below `blobs/`.

A copy is written into a file without a name, gets its name by one atomic link, and is flushed together with that
name: the link comes before the flush, so that file systems with a journal write both at once. Half of a copy never
has a name; a name whose flush was cut off by a loss of power belongs to no row and is collected. Bytes go past the
system's cache where the file system can do that: copying them into it costs more than all else a write does. Small
copies lie in packs; those that were made again are files here, too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import mmap
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID
from weakref import WeakSet

from apps.objectstore.backends import packs
from apps.objectstore.backends.packs import Opened, PackFile

logger = logging.getLogger("kumo.objectstore")

IDENTITY = "kumo-disk.json"
BLOBS = "blobs"
FLUSH_BYTES = 32 * 2**20  # in the system's cache of a large copy, so that its end need not flush everything
LEFT_DRAFT_S = 24 * 3600
_NO_UNNAMED = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}


class DiskGoneError(OSError):
    """The directory is not there, or is not the disk it was."""


class ShortCopyError(OSError):
    """A copy has not as many bytes as it should."""


class Directory:
    """A disk by its number, path and identity. Safe for many threads."""

    def __init__(self, number: int, path: str, identity: UUID) -> None:
        self.number, self.path, self.identity = number, path, identity
        self._seen: tuple[int, int] | None = None  # device and inode of the directory whose identity was read
        self._packs: WeakSet[PackFile] = WeakSet()  # that are added to

    def check(self) -> None:
        """Raise DiskGoneError unless the right disk is there."""
        try:
            found = os.stat(self.path)
            if self._seen != (found.st_dev, found.st_ino):
                if identity_of(self.path) != self.identity:
                    raise DiskGoneError(errno.ENODEV, "another disk is there", self.path)
                self.close()  # what was open before it went away
                self._seen = found.st_dev, found.st_ino
        except DiskGoneError:
            raise
        except (OSError, ValueError) as error:
            self._seen = None
            raise DiskGoneError(errno.ENODEV, "the disk is not there", self.path) from error

    def close(self) -> None:
        """Let go of open files."""
        for pack in list(self._packs):
            pack.close()

    def is_there(self) -> bool:
        try:
            self.check()
        except OSError:
            return False
        return True

    def room(self) -> tuple[int, int]:
        """Free bytes and all bytes of its file system."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    def open(self, blob_id: UUID) -> Opened:
        """A copy to be read and closed. Raises FileNotFoundError where there is none, DiskGoneError."""
        self.check()
        try:
            file = os.open(self._file(blob_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if not packs.is_packed(blob_id):
                raise
            return packs.open_copy(self.path, blob_id)
        return Opened(file, 0, os.fstat(file).st_size)

    def readers(self) -> int:
        """The group that copies may be lent to: the directory's own, if its set-group-ID bit says so.

        Raises PermissionError where it does not, or the group may not enter.
        """
        found = os.stat(self.path)
        wanted = stat.S_ISGID | stat.S_IXGRP
        if found.st_mode & wanted != wanted:
            raise PermissionError(errno.EACCES, "the disk is not opened to a group", self.path)
        return found.st_gid

    def lend(self, blob_id: UUID, size: int) -> str:
        """Let the disk's readers have a copy of that size; its path below `blobs`.

        Nobody else may read it, and copies that were never lent not even they. Raises FileNotFoundError,
        ShortCopyError, DiskGoneError, PermissionError where there are no readers or the right cannot be given.
        """
        self.check()
        group = self.readers()
        file = os.open(self._file(blob_id), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode) or found.st_size != size:
                raise ShortCopyError(errno.EIO, f"{found.st_size} bytes are there", self._file(blob_id))
            _open_to(group, file, found, stat.S_IRGRP)
        finally:
            os.close(file)
        for folder in (f"{self.path}/{BLOBS}", self._shelf(blob_id)):
            _open_to(group, folder, os.stat(folder), stat.S_ISGID | stat.S_IXGRP)
        return f"{blob_id.hex[-3:]}/{blob_id.hex}"

    def remove(self, blob_id: UUID) -> None:
        self.check()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._file(blob_id))
        if packs.is_packed(blob_id):
            packs.remove_copy(self.path, blob_id)

    def kept(self) -> Iterator[tuple[UUID, float]]:
        """Ids of all copies and how long ago they were named, in seconds; removes drafts that were left."""
        self.check()
        for shelf in sorted(entry.path for entry in os.scandir(f"{self.path}/{BLOBS}")):
            yield from _kept_on(shelf)
        with contextlib.suppress(FileNotFoundError):  # no pack was ever begun
            yield from _kept_on(f"{self.path}/{packs.FOLDER}")  # drafts of packs
            yield from packs.kept(self.path)

    def _shelf(self, blob_id: UUID) -> str:
        """Where a blob lies: by the end of its id, which is random."""
        return f"{self.path}/{BLOBS}/{blob_id.hex[-3:]}"

    def _file(self, blob_id: UUID) -> str:
        return f"{self._shelf(blob_id)}/{blob_id.hex}"

    def new(self, blob_id: UUID) -> Copy:
        """Begin a copy. Raises DiskGoneError, OSError."""
        self.check()
        return self._new(self._shelf(blob_id), blob_id.hex)

    def _new(self, shelf: str, name: str) -> Copy:
        try:
            folder = os.open(shelf, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._make(shelf)
            folder = os.open(shelf, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return Copy(shelf, folder, name)
        except BaseException:
            os.close(folder)
            raise

    def _make(self, shelf: str) -> None:
        """A folder that is safe: whoever finds it flushes what is in it only."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(shelf, 0o700)
        flush_folder(os.path.dirname(shelf))

    def pack(self, name: str) -> PackFile:
        """Begin a pack: its name is there when all its space is, and it is locked. Raises DiskGoneError, OSError."""
        self.check()
        folder = f"{self.path}/{packs.FOLDER}"
        copy = self._new(folder, name)
        try:
            file = PackFile(os.dup(copy.file))
            fcntl.flock(copy.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            copy.write(bytes(packs.PACK_BYTES))
            copy.publish()
        finally:
            copy.close()
        self._packs.add(file)
        return file


class Copy:
    """One copy being written, to `file`."""

    def __init__(self, shelf: str, folder: int, name: str) -> None:
        self._folder, self._name, self._draft = folder, name, ""
        try:
            self.file = os.open(shelf, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in _NO_UNNAMED:
                raise
            self._draft = f".{name}.{time.monotonic_ns():x}"
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
            self.file = os.open(self._draft, flags, 0o600, dir_fd=folder)
        self._unflushed = 0
        self._is_direct: bool | None = False  # whether writes go past the system's cache; None: they cannot

    def write(self, piece: bytes | memoryview) -> None:
        self._direct(False)
        _write(self.file, piece)
        self._unflushed += len(piece)
        if self._unflushed >= FLUSH_BYTES:
            os.fdatasync(self.file)
            self._unflushed = 0

    def write_pages(self, pages: memoryview) -> None:
        """Append memory that begins with a page, as all before it did and had whole ones."""
        whole = len(pages) - len(pages) % mmap.PAGESIZE
        done = self._past_cache(pages[:whole])
        if done < len(pages):
            self.write(pages[done:])

    def _past_cache(self, pages: memoryview) -> int:
        """How many of the bytes could be written so. Raises OSError as any write."""
        done = 0
        try:
            while done < len(pages) and self._direct(True):
                done += os.write(self.file, pages[done:])
        except OSError as error:
            if error.errno != errno.EINVAL:  # other alignment than that of pages is wanted here
                raise
            self._direct(False)
            self._is_direct = None
        return done

    def _direct(self, wanted: bool) -> bool:
        """Let the writes that follow go past the system's cache, or not; whether they do."""
        if self._is_direct is None or self._is_direct == wanted:
            return bool(self._is_direct)
        try:
            fcntl.fcntl(self.file, fcntl.F_SETFL, os.O_DIRECT if wanted else 0)  # it has no other of these flags
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._is_direct = None  # the file system has no such thing
            return False
        self._is_direct = wanted
        return wanted

    def publish(self) -> None:
        """Give the copy its name, in place of one that was there, and make both safe; closes it."""
        try:
            try:
                self._link(self._name)
            except FileExistsError:
                self._replace()
            os.fsync(self.file)
            os.fsync(self._folder)
        finally:
            self.close()

    def _link(self, name: str) -> None:
        source = f"/proc/self/fd/{self.file}"
        os.link(source, name, dst_dir_fd=self._folder, follow_symlinks=True)

    def _replace(self) -> None:
        """A bad copy is written over. What has the name must be whole at every moment, hence the flush before."""
        os.fsync(self.file)
        beside = f".{self._name}.{time.monotonic_ns():x}"
        self._link(beside)
        os.rename(beside, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def close(self) -> None:
        """Let go; a copy that was not published is gone."""
        if self.file < 0:
            return
        file, folder, self.file = self.file, self._folder, -1
        try:
            if self._draft:
                with contextlib.suppress(OSError):
                    os.unlink(self._draft, dir_fd=folder)
        finally:
            os.close(file)
            os.close(folder)


def _kept_on(shelf: str) -> Iterator[tuple[UUID, float]]:
    now = time.time()
    for entry in os.scandir(shelf):
        with contextlib.suppress(FileNotFoundError):
            age = now - entry.stat(follow_symlinks=False).st_ctime
            if _is_id(entry.name):
                yield UUID(entry.name), age
            elif entry.name.startswith(".") and age > LEFT_DRAFT_S:
                os.unlink(entry.path)


def claim(path: str, identity: UUID) -> None:
    """Make a directory a disk. Raises FileExistsError where it is one already, OSError."""
    with open(Path(path) / IDENTITY, "x") as file:
        json.dump({"identity": str(identity)}, file)
        file.flush()
        os.fsync(file.fileno())
    (Path(path) / BLOBS).mkdir(mode=0o700, exist_ok=True)
    flush_folder(path)


def identity_of(path: str) -> UUID:
    """Which disk a directory is. Raises FileNotFoundError where it is none, ValueError for a spoilt file."""
    try:
        return UUID(json.loads((Path(path) / IDENTITY).read_text())["identity"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}/{IDENTITY} cannot be read") from error


def flush_folder(path: str) -> None:
    """Make the names in a folder safe. Raises OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _open_to(group: int, what: int | str, found: os.stat_result, bits: int) -> None:
    """Give a group these rights to a file or directory, unless it has them. Raises PermissionError."""
    if found.st_gid != group:
        os.chown(what, -1, group)
    if found.st_gid != group or found.st_mode & bits != bits:
        os.chmod(what, stat.S_IMODE(found.st_mode) | bits)


def _is_id(name: str) -> bool:
    return len(name) == 32 and all(c in "0123456789abcdef" for c in name)


def _write(file: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
