"""A directory of image files, named by image id; runs of zeros take no room.

Drafts live in `drafts/` beside them on the same file system, so that publishing is one rename. File and directory
are flushed before an image counts as kept.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from apps.image.backends import BlobMissingError, Kept, StoreFullError

SPARE_BYTES = 256 * 2**20  # left free on the file system, which others use too
_ZEROS = bytes(2**20)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FilesystemStore:
    """`path` is where the files are; empty: the configured images directory."""

    api = 1

    def __init__(self, path: str = "") -> None:
        self.root = Path(path) if path else settings.CONFIG.images
        self.drafts = self.root / "drafts"
        self.drafts.mkdir(mode=0o700, parents=True, exist_ok=True)

    def draft(self, name: str, attempt: str, size: int) -> FileDraft:
        room = os.statvfs(self.root)
        if size + SPARE_BYTES > room.f_bavail * room.f_frsize:
            raise StoreFullError
        path = self.drafts / f"{name}.{attempt}"
        return FileDraft(path, self.root / name, open(path, "xb", opener=_private))

    def resume(self, name: str, attempt: str) -> FileDraft:
        path = self.drafts / f"{name}.{attempt}"
        if not path.exists():
            raise BlobMissingError(name)
        return FileDraft(path, self.root / name, None)

    def open(self, name: str) -> BinaryIO:
        try:
            return (self.root / name).open("rb")
        except FileNotFoundError:
            raise BlobMissingError(name) from None

    def delete(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def discard(self, name: str, attempt: str) -> None:
        (self.drafts / f"{name}.{attempt}").unlink(missing_ok=True)

    def kept(self) -> Iterator[Kept]:
        now = time.time()
        for folder in (self.root, self.drafts):
            for entry in os.scandir(folder):
                try:
                    if not entry.is_file(follow_symlinks=False):
                        continue
                    age = now - entry.stat(follow_symlinks=False).st_mtime
                except FileNotFoundError:  # published or removed while we looked
                    continue
                name, _, attempt = entry.name.partition(".")
                yield Kept(name, attempt, age)


class FileDraft:
    """One file being written."""

    def __init__(self, path: Path, target: Path, stream: BinaryIO | None) -> None:
        self._path, self._target, self._stream = path, target, stream

    def write(self, piece: bytes) -> None:
        assert self._stream is not None
        try:
            if piece == _ZEROS[: len(piece)]:
                self._stream.seek(len(piece), os.SEEK_CUR)
            else:
                self._stream.write(piece)
        except OSError as error:
            raise _meaning(error) from error

    def finish(self) -> None:
        assert self._stream is not None
        try:
            self._stream.truncate()  # to where we are: zeros at the end were only skipped
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise _meaning(error) from error
        finally:
            self.close()

    def reader(self) -> BinaryIO:
        return self._path.open("rb")

    def publish(self) -> None:
        os.replace(self._path, self._target)
        descriptor = os.open(self._target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def discard(self) -> None:
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.close()
            except OSError as error:
                raise _meaning(error) from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _meaning(error: OSError) -> Exception:
    return StoreFullError() if error.errno in _FULL else error
