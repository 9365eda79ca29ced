"""Base images on this host: fetched once however many guests want one, checked, kept read-only.

A file lock per image lets one fetch while others wait, also across a worker's restart; whoever uses an image
holds the lock shared, so that pruning cannot take it away in between. An image appears under its hash by one
rename when all of it is on disk and has the right hash, length and form; until then there is only a temporary
file, which the next fetch overwrites.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from agents.commands import CommandFailed, qemu_img
from agents.contracts import ImageSource
from agents.errors import Refused, Transient
from agents.layout import Layout

log = logging.getLogger(__name__)

SECTOR_BYTES = 512
FORMATS = {"qcow2": "qcow2", "raw": "raw", "iso": "raw"}
"""QEMU's name of the formats that guests can stand on."""

LOOK_S = 0.2
RESERVE_BYTES = 256 * 2**20  # left free on the file system for logs and the journal
REPORT_BYTES = 4 * 2**20

Progress = Callable[[int, str], None]


class Waiter(Protocol):
    """The parts of a running verb that a fetch needs."""

    def progress(self, percent: int, text: str) -> None: ...

    def checkpoint(self) -> None: ...


Fetch = Callable[[str], contextlib.AbstractContextManager[Iterator[bytes]]]
"""Opens an image at the control plane by id and yields its bytes in pieces."""


class ImageCache:
    """The directory of base images. `in_use` names the hashes that guests here stand on."""

    def __init__(self, layout: Layout, fetch: Fetch, in_use: Callable[[], set[str]]) -> None:
        self._directory = layout.images
        self._fetch = fetch
        self._in_use = in_use

    @contextlib.contextmanager
    def use(self, source: ImageSource, job: Waiter) -> Iterator[tuple[Path, bool]]:
        """The image's file, kept while in the block, and whether it was here already.

        Raises Refused where the image is not what it was said to be or does not fit, Transient where it
        cannot be fetched now.
        """
        if source.disk_format not in FORMATS:
            raise Refused(
                f"image {source.image_id} has format {source.disk_format}; guests start from "
                f"{', '.join(sorted(FORMATS))}"
            )
        path = self._directory / source.sha256
        cached = True
        while True:
            with self._locked(source.sha256, fcntl.LOCK_SH, job):
                if path.exists():
                    os.utime(path)
                    yield path, cached
                    return
            cached = False
            with self._locked(source.sha256, fcntl.LOCK_EX, job):
                if not path.exists():
                    self._make(source, path, job)

    def prune(self, need_bytes: int) -> None:
        """Remove images no guest stands on, least recently used first, until so much is free."""
        used = self._in_use()
        candidates = [path for path in self._directory.iterdir() if len(path.name) == 64 and path.name not in used]
        for path in sorted(candidates, key=_last_used):
            if self._free() >= need_bytes:
                return
            with contextlib.suppress(_Busy), self._try_lock(path.name, fcntl.LOCK_EX):
                log.info("removing image %s, which no guest uses, for room", path.name)
                path.unlink(missing_ok=True)

    def _make(self, source: ImageSource, path: Path, job: Waiter) -> None:
        need = source.size_bytes + RESERVE_BYTES
        if self._free() < need:
            self.prune(need)
        if self._free() < need:
            raise Refused(
                f"no room for image {source.image_id}: it needs {_mib(source.size_bytes)} MiB, "
                f"{_mib(max(0, self._free() - RESERVE_BYTES))} MiB are free in {self._directory}"
            )
        part = path.with_suffix(".part")
        try:
            self._download(source, part, job)
            inspect(source, part)
            part.chmod(0o444)
            part.rename(path)
            _sync_directory(self._directory)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Refused(f"the disk filled up while image {source.image_id} was fetched") from error
            raise Transient(f"image {source.image_id} cannot be stored: {error}") from error
        finally:
            part.unlink(missing_ok=True)

    def _download(self, source: ImageSource, part: Path, job: Waiter) -> None:
        digest, done, told = hashlib.sha256(), 0, 0
        with self._fetch(source.image_id) as pieces, part.open("wb") as out:
            os.fchmod(out.fileno(), 0o600)
            for piece in pieces:
                done += len(piece)
                if done > source.size_bytes:
                    raise Refused(f"image {source.image_id} is longer than its {source.size_bytes} bytes")
                digest.update(piece)
                out.write(piece)
                job.checkpoint()
                if done - told >= REPORT_BYTES:
                    told = done
                    job.progress(100 * done // source.size_bytes, "fetching the image")
            out.flush()
            os.fsync(out.fileno())
        if done != source.size_bytes:
            raise Transient(f"image {source.image_id} ended after {done} of {source.size_bytes} bytes")
        if digest.hexdigest() != source.sha256:
            raise Refused(
                f"image {source.image_id} is corrupt: SHA-256 {digest.hexdigest()} instead of {source.sha256}"
            )

    def _free(self) -> int:
        found = os.statvfs(self._directory)
        return found.f_bavail * found.f_frsize

    @contextlib.contextmanager
    def _locked(self, name: str, kind: int, job: Waiter) -> Iterator[None]:
        """Hold the image's lock; waits, but ends when the verb is cancelled."""
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(self._try_lock(name, kind))
                    break
                except _Busy:
                    job.checkpoint()
                    time.sleep(LOOK_S)
            yield

    @contextlib.contextmanager
    def _try_lock(self, name: str, kind: int) -> Iterator[None]:
        handle = os.open(self._directory / f"{name}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise _Busy from error
            yield
        finally:
            os.close(handle)


class _Busy(Exception):
    """Another thread or process holds the lock."""


def whole_sectors(size_bytes: int) -> int:
    """QEMU shows a guest whole sectors only, so a raw file that ends within one counts to its end."""
    return -(-size_bytes // SECTOR_BYTES) * SECTOR_BYTES


def inspect(source: ImageSource, path: Path) -> None:
    """Refuse an image that is not what was declared, or that names other files. Raises Refused."""
    form = FORMATS[source.disk_format]
    try:
        found = json.loads(qemu_img("info", "--output=json", "-f", form, "--", str(path)))
    except CommandFailed as error:
        raise Refused(f"image {source.image_id} cannot be read as {source.disk_format}: {error}") from error
    specific = found.get("format-specific", {}).get("data", {})
    if any(found.get(key) for key in ("backing-filename", "full-backing-filename")):
        raise Refused(f"image {source.image_id} names a backing file, which could be any file of this host")
    if specific.get("data-file") or specific.get("data-file-raw"):
        raise Refused(f"image {source.image_id} keeps its data in another file of this host")
    if found["virtual-size"] != whole_sectors(source.virtual_size_bytes):
        raise Refused(
            f"image {source.image_id} is {found['virtual-size']} bytes large inside, "
            f"not {source.virtual_size_bytes} as declared"
        )


def _last_used(path: Path) -> int:
    """In nanoseconds since 1970; 0 for what somebody else removed meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _mib(size_bytes: int) -> int:
    return -(-size_bytes // 2**20)
