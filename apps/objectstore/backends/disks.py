"""Three copies of each blob on three disks of this machine.

The copies are written in parallel and counted safe when flushed; two of three are enough to acknowledge, the third
is then made by the repair duty. Every MiB is checked against the checksum in the database before it leaves, and a
copy that fails the check is passed over for another. Disks are rows, so every process and command sees the same.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import mmap
import os
import random
import socket
import time
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock, local
from uuid import UUID

from django.conf import settings

from apps.core import processors
from apps.core.combining import Combiner
from apps.core.ids import timed_uuid
from apps.objectstore.backends import BlobLostError, Draft, Kept, NoRoomError, Stored, WrongMachineError
from apps.objectstore.backends.checksums import Checksums
from apps.objectstore.backends.directory import BLOBS, Copy, Directory, DiskGoneError, ShortCopyError
from apps.objectstore.backends.packs import PACK_BYTES, SMALL_BYTES, Opened, Pack, PackFile, Small, is_packed
from apps.objectstore.models import Disk
from apps.objectstore.states import CHUNK, MIB, DiskState

logger = logging.getLogger("kumo.objectstore")

COPIES = 3
ENOUGH = 2  # safe copies that an acknowledgement needs
SPARE_BYTES = 64 * MIB  # left free on each disk: file systems are bad at being full
ROOM_S = 0.5  # how old may be what is known of a disk's presence and free space
AVOID_S = 10.0  # how long a disk that failed gets nothing new, if there are others
LOOK_S = 2.0  # how old the known list of disks may be
THREADS = 24
QUICK_S = 0.0003  # a write that takes less is not worth another thread, which has to get hold of a processor first
DAMAGE = {errno.EIO, errno.EUCLEAN, errno.EBADMSG}  # errors that say that a copy, and not this process, is unwell

Damaged = Callable[[int], None]


def machine() -> str:
    """What tells this machine from others."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        with contextlib.suppress(OSError):
            if found := Path(path).read_text().strip():
                return found[:64]
    return socket.gethostname()[:64]


class DiskStore:
    """The disks of one storage policy."""

    api = 1
    small_bytes = SMALL_BYTES

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self._disks: dict[int, Directory] = {}
        self._active: frozenset[int] = frozenset()
        self._looked = -LOOK_S
        self._failed: dict[int, float] = {}  # number → when
        self._room: dict[int, tuple[Directory, int, float]] = {}  # number → disk, its free bytes, when
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="disk", initializer=processors.apart)
        self._lock = Lock()
        self._filling: _Filling | None = None
        self._keeping = Lock()
        self._together = Combiner(self.keep)

    # --- disks --------------------------------------------------------------------------------------

    def disks(self) -> dict[int, Directory]:
        """All disks by number. Raises WrongMachineError where they are another machine's."""
        with self._lock:
            if time.monotonic() - self._looked >= LOOK_S:
                self._look()
            return self._disks

    def _look(self) -> None:
        rows = list(Disk.objects.filter(policy=self.policy).order_by("number"))
        if any(row.machine != machine() for row in rows):
            raise WrongMachineError(f"the disks of storage policy {self.policy} are on another machine")
        known = self._disks
        self._disks = {
            row.number: found
            if (found := known.get(row.number)) and (found.path, found.identity) == (row.path, row.identity)
            else Directory(row.number, row.path, row.identity)
            for row in rows
        }
        self._active = frozenset(row.number for row in rows if row.state == DiskState.ACTIVE)
        for number, disk in known.items():
            if self._disks.get(number) is not disk or number not in self._active:
                disk.close()  # nothing is open there that would keep it from being unmounted
        self._looked = time.monotonic()

    def forget(self) -> None:
        """Look at the rows again at the next call."""
        self._looked = -LOOK_S

    def _writable(self, size: int, *, without: Sequence[int] = ()) -> list[Directory]:
        """Disks that can take a copy, in the order to try: those with more room sooner, in a random manner."""
        weighed = []
        for number, disk in self.disks().items():
            if number not in self._active or number in without:
                continue
            with contextlib.suppress(OSError):
                free = self._free(disk)
                if free >= size + SPARE_BYTES:
                    weighed.append((self._avoided(number), -(free * random.random()), disk))  # noqa: S311
        return [disk for _, _, disk in sorted(weighed, key=lambda w: w[:2])]

    def _free(self, disk: Directory) -> int:
        """Free bytes of a disk that is there. Raises OSError."""
        known, free, at = self._room.get(disk.number, (disk, 0, 0.0))
        if time.monotonic() - at >= ROOM_S or known is not disk:
            disk.check()
            free = disk.room()[0]
            self._room[disk.number] = disk, free, time.monotonic()
        return free

    def _avoided(self, number: int) -> bool:
        return time.monotonic() - self._failed.get(number, -AVOID_S) < AVOID_S

    def failed(self, disk: Directory, error: BaseException) -> None:
        """Note that a disk did not do what it should."""
        self._failed[disk.number] = time.monotonic()
        logger.error("disk failed", extra={"disk": disk.number, "path": disk.path, "reason": repr(error)})

    # --- bytes in -----------------------------------------------------------------------------------

    def draft(self, size: int) -> Draft:
        return SmallDraft(self._together) if 0 < size <= SMALL_BYTES else DiskDraft(self, self._chosen(size))

    def _chosen(self, size: int) -> list[Directory]:
        chosen = self._writable(size)[:COPIES]
        if len(chosen) < ENOUGH:
            raise NoRoomError(f"{len(chosen)} disks can take {size} bytes, {ENOUGH} are needed")
        return chosen

    def submit(self, job: Callable[[], None]) -> Future[None]:
        return self._pool.submit(job)

    # --- small blobs --------------------------------------------------------------------------------

    def keep(self, bodies: Sequence[bytes]) -> Sequence[Stored | NoRoomError]:
        with self._keeping:
            return self._keep([Small(body, zlib.crc32(body)) for body in bodies])

    def _keep(self, batch: Sequence[Small]) -> Sequence[Stored | NoRoomError]:
        try:
            filling = self._filling_for(batch)
        except NoRoomError as error:
            return [error] * len(batch)
        ids, at, data = filling.pack.records(batch)
        errors = self._everywhere(list(filling.files), lambda d: filling.files[d].add(data, at), filling.quick())
        if errors:
            self._leave_pack()
        safe = tuple(disk.number for disk in filling.files if disk not in errors)
        if len(safe) >= ENOUGH:
            return [small.stored(blob_id, safe, COPIES - len(safe)) for blob_id, small in zip(ids, batch, strict=True)]
        for disk in filling.files:
            with contextlib.suppress(OSError):
                for blob_id in ids:
                    disk.remove(blob_id)
        return [NoRoomError(_reasons(errors))] * len(batch)

    def _filling_for(self, batch: Sequence[Small]) -> _Filling:
        """Where these go. Raises NoRoomError."""
        found = self._filling
        if found and found.pack.has_room(batch) and time.monotonic() < found.until and self._are_there(found.files):
            return found
        self._leave_pack()
        self._filling = self._begin_pack()
        return self._filling

    def _are_there(self, files: Collection[Directory]) -> bool:
        """Whether these are disks still that get new blobs, and were there less than ROOM_S ago."""
        disks = self.disks()
        try:
            return all(disks.get(d.number) is d and d.number in self._active and self._free(d) >= 0 for d in files)
        except OSError:
            return False

    def _begin_pack(self) -> _Filling:
        pack, files = Pack(), dict[Directory, PackFile]()

        def begin(disk: Directory) -> None:
            files[disk] = disk.pack(pack.name)

        ready, errors = self._writable(PACK_BYTES), dict[Directory, OSError]()
        while ready and len(files) < COPIES:
            missing = COPIES - len(files)
            errors |= self._everywhere(ready[:missing], begin)
            ready = ready[missing:]
        if len(files) < ENOUGH:
            raise NoRoomError(_reasons(errors) or "too few disks can take a pack")
        return _Filling(pack, files, float("inf") if len(files) == COPIES else time.monotonic() + AVOID_S)

    def _leave_pack(self) -> None:
        filling, self._filling = self._filling, None
        for file in filling.files.values() if filling else ():
            file.close()

    def _everywhere(
        self, disks: Sequence[Directory], act: Callable[[Directory], None], quick: Collection[Directory] = ()
    ) -> dict[Directory, OSError]:
        """Do it on all disks at once; the errors, by disk. Quick ones are done sooner than a thread begins."""
        jobs = {disk: self._pool.submit(act, disk) for disk in disks[1:] if disk not in quick}
        errors = {}
        for disk in disks:
            try:
                jobs[disk].result() if disk in jobs else act(disk)
            except OSError as error:
                errors[disk] = error
                self.failed(disk, error)
        return errors

    # --- bytes out ----------------------------------------------------------------------------------

    def read(self, stored: Stored, start: int, end: int, damaged: Damaged) -> Iterator[bytes]:
        with _Reader(self, stored, damaged) as reader:
            for index in range(start // CHUNK, -(-end // CHUNK)):
                at = index * CHUNK
                chunk = reader.chunk(index)
                yield chunk[max(start - at, 0) : end - at]

    def order(self, stored: Stored) -> list[Directory]:
        """Disks to read from: those that should have a copy in random order, then the others, which may."""
        disks = self.disks()
        named = [disks[n] for n in stored.places if n in disks]
        random.shuffle(named)
        named.sort(key=lambda disk: self._avoided(disk.number))
        return named + [disk for n, disk in disks.items() if n not in stored.places]

    def lend(self, stored: Stored, links: Path, damaged: Damaged) -> str:
        """Where below `links` nginx finds a whole copy that its group may read; nothing where there is none.

        `links` has a symbolic link for each disk, named by its number. What is missing or short is told to `damaged`;
        the bytes themselves are not looked at.
        """
        for disk in self.order(stored):
            if disk.number not in stored.places or is_packed(stored.id):
                break
            try:
                path = disk.lend(stored.id, stored.size)
            except (DiskGoneError, PermissionError):
                continue  # the doctor names disks that are closed
            except (FileNotFoundError, ShortCopyError) as error:
                _report(stored, disk, repr(error), damaged)
            except OSError as error:
                logger.warning("a copy cannot be lent", extra={"disk": disk.number, "reason": repr(error)})
            else:
                link = links / str(disk.number)
                return f"{link.name}/{path}" if _is_linked(link, f"{disk.path}/{BLOBS}") else ""
        return ""

    # --- upkeep -------------------------------------------------------------------------------------

    def verify(self, stored: Stored, pause: Callable[[int], None]) -> dict[int, bool]:
        disks = self.disks()
        found = {}
        for number in stored.places:
            if number in disks:
                try:
                    found[number] = self._is_good(disks[number], stored, pause)
                except OSError as error:  # too many open files, or no disk: it says nothing of the copy
                    self.failed(disks[number], error)
        return found

    def _is_good(self, disk: Directory, stored: Stored, pause: Callable[[int], None]) -> bool:
        try:
            file = disk.open(stored.id)
        except FileNotFoundError:
            return False
        try:
            if file.size != stored.size:
                return False
            for index in range(-(-stored.size // CHUNK)):
                chunk = file.read(CHUNK, index * CHUNK)
                os.posix_fadvise(file.file, file.start + index * CHUNK, CHUNK, os.POSIX_FADV_DONTNEED)
                pause(len(chunk))
                if not stored.is_right(index, chunk):
                    return False
        except OSError as error:
            if error.errno not in DAMAGE:
                raise
            return False
        finally:
            file.close()
        return True

    def repair(self, stored: Stored) -> Stored:
        disks = self.disks()
        places = [n for n in stored.places if n in disks]
        staying = [n for n in places if n in self._active]
        made: list[int] = []
        for disk in self._writable(stored.size, without=staying):
            if len(staying) + len(made) >= COPIES:
                break
            try:
                self._copy_to(disk, stored)
            except OSError as error:
                self.failed(disk, error)
                continue
            made.append(disk.number)
        if len(staying) + len(made) < COPIES and not made:
            raise NoRoomError("no other disk can take a copy now")
        there = [*staying, *made]
        if len(there) < COPIES:  # what is emptied is needed still
            there += [n for n in places if n not in there]
        return replace(stored, places=tuple(there), missing=max(COPIES - len(staying) - len(made), 0))

    def copy(self, stored: Stored, number: int) -> None:
        """Make one more copy, on that disk. Raises OSError, BlobLostError."""
        disk = self.disks()[number]
        if self._free(disk) < stored.size + SPARE_BYTES:
            raise OSError(errno.ENOSPC, "the disk is full", disk.path)
        self._copy_to(disk, stored)

    def _copy_to(self, disk: Directory, stored: Stored) -> None:
        copy = disk.new(stored.id)
        try:
            for piece in self.read(stored, 0, stored.size, lambda _: None):
                copy.write(piece)
            copy.publish()
        finally:
            copy.close()

    def remove(self, blob_id: UUID, places: tuple[int, ...]) -> None:
        disks = self.disks()
        for number in places:
            if number in disks:
                disks[number].remove(blob_id)

    def kept(self) -> Iterator[Kept]:
        for number, disk in self.disks().items():
            try:
                for blob_id, age_s in disk.kept():
                    yield Kept(blob_id, number, age_s)
            except OSError as error:
                self.failed(disk, error)


@dataclass(frozen=True, slots=True)
class _Filling:
    """A pack that this process adds to, and its file on each disk."""

    pack: Pack
    files: dict[Directory, PackFile]
    until: float  # with too few disks another is begun then

    def quick(self) -> list[Directory]:
        return [disk for disk, file in self.files.items() if file.seconds < QUICK_S]


def _reasons(errors: dict[Directory, OSError]) -> str:
    return "; ".join(f"disk {disk.number}: {error}" for disk, error in errors.items())


class _Reader:
    """Open copies of one blob; a chunk comes from the first that has it right."""

    def __init__(self, store: DiskStore, stored: Stored, damaged: Damaged) -> None:
        self._store, self._stored, self._damaged = store, stored, damaged
        self._order = store.order(stored)
        self._files: dict[int, Opened] = {}
        self._verify = settings.CONFIG.objectstore.verify_reads

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def chunk(self, index: int) -> bytes:
        for disk in list(self._order):
            chunk = self._from(disk, index)
            if chunk is not None:
                return chunk
            self._order.remove(disk)
            self._order.append(disk)  # the next chunk is asked of another first
        raise BlobLostError(f"no good copy of chunk {index} of blob {self._stored.id}")

    def _from(self, disk: Directory, index: int) -> bytes | None:
        size = self._stored.chunk_size(index)
        try:
            if disk.number not in self._files:
                self._files[disk.number] = disk.open(self._stored.id)
            chunk = self._files[disk.number].read(size, index * CHUNK)
        except DiskGoneError:
            return None  # the copy may be well; whether the disk comes back, the operator says
        except FileNotFoundError:
            self._bad(disk, "missing")
            return None
        except OSError as error:
            self._store.failed(disk, error)
            if error.errno in DAMAGE:
                self._bad(disk, repr(error))
            return None
        if not self._stored.is_right(index, chunk, verify=self._verify):
            self._bad(disk, f"wrong bytes in chunk {index}")
            return None
        return chunk

    def _bad(self, disk: Directory, reason: str) -> None:
        if disk.number in self._stored.places:
            _report(self._stored, disk, reason, self._damaged)


def _report(stored: Stored, disk: Directory, reason: str, damaged: Damaged) -> None:
    logger.error("a copy is damaged", extra={"blob": str(stored.id), "disk": disk.number, "reason": reason})
    damaged(disk.number)


def _is_linked(link: Path, target: str) -> bool:
    """Have a symbolic link name a directory, whatever it named before; false where it cannot be made."""
    try:
        if not link.is_symlink() or os.readlink(link) != target:
            link.parent.mkdir(exist_ok=True)
            beside = link.with_name(f".{link.name}.{os.getpid()}.{time.monotonic_ns():x}")
            beside.symlink_to(target)
            beside.replace(link)
    except OSError as error:
        logger.warning("no link can be made for nginx", extra={"path": str(link), "reason": repr(error)})
        return False
    return True


class _Buffers(local):
    """Memory for chunks, in whole pages: fetched anew each time it would cost as much as a chunk's checksum.

    A thread keeps what it had at once; it goes when the thread ends.
    """

    def __init__(self) -> None:
        self._free: list[mmap.mmap] = []

    def take(self) -> mmap.mmap:
        return self._free.pop() if self._free else mmap.mmap(-1, CHUNK, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    def give_back(self, buffers: list[mmap.mmap]) -> None:
        self._free = buffers


_buffers = _Buffers()


class _Writing:
    """One copy of a draft; its jobs run one after another, beside those of the other copies."""

    def __init__(self, disk: Directory, blob_id: UUID) -> None:
        self.disk = disk
        self.error: BaseException | None = None
        self._blob_id = blob_id
        self._copy: Copy | None = None

    def write(self, pages: memoryview) -> None:
        self._do(lambda copy: copy.write_pages(pages))

    def finish(self, pages: memoryview) -> None:
        def last(copy: Copy) -> None:
            copy.write_pages(pages)
            copy.publish()

        self._do(last)

    def _do(self, what: Callable[[Copy], None]) -> None:
        if self.error is not None:
            return
        try:
            if self._copy is None:
                self._copy = self.disk.new(self._blob_id)
            what(self._copy)
        except OSError as error:
            self.error = error
            self.close()

    def close(self) -> None:
        if self._copy is not None:
            with contextlib.suppress(OSError):
                self._copy.close()


class SmallDraft:
    """A blob that is small enough to be written at its end."""

    def __init__(self, keep: Callable[[bytes], Stored | NoRoomError]) -> None:
        self._keep = keep
        self._body = b""

    def write(self, piece: bytes) -> None:
        self._body += piece

    def publish(self) -> Stored:
        kept = self._keep(self._body)
        if isinstance(kept, NoRoomError):
            raise kept
        return kept

    def discard(self) -> None:
        """Nothing is written before the end."""


class DiskDraft:
    """A blob being written to several disks. While one chunk is written the next may come in; more wait.

    A full chunk goes out when more comes: the last one, often the only one, is one job for each disk.
    """

    def __init__(self, store: DiskStore, disks: Sequence[Directory]) -> None:
        self.id = timed_uuid()
        self._store = store
        self._copies = [_Writing(disk, self.id) for disk in disks]
        self._jobs: list[Future[None]] = []
        self._buffers = [_buffers.take()]  # the first is being filled, the other being written
        self._filled = 0
        self._checksums = Checksums()

    def write(self, piece: bytes) -> None:
        self._checksums.add(piece)
        rest = memoryview(piece)
        while rest:
            if self._filled == CHUNK:
                self._send()
            some = rest[: CHUNK - self._filled]
            self._buffers[0][self._filled : self._filled + len(some)] = some
            self._filled += len(some)
            rest = rest[len(some) :]

    def _send(self) -> None:
        full = memoryview(self._buffers[0])
        self._settle()
        self._jobs = [self._store.submit(partial(writing.write, full)) for writing in self._living()]
        if len(self._buffers) == 1:
            self._buffers.append(_buffers.take())
        self._buffers.reverse()
        self._filled = 0

    def _settle(self) -> None:
        """Wait for what is being written. Raises NoRoomError when too few copies are left."""
        if errors := self._ended():
            raise errors[0]
        if len(self._living()) < ENOUGH:
            raise NoRoomError("; ".join(f"disk {w.disk.number}: {w.error}" for w in self._copies if w.error))

    def _ended(self) -> list[BaseException]:
        """What nobody foresaw in the jobs that were under way, once all have ended."""
        jobs, self._jobs = self._jobs, []
        return [error for job in jobs if (error := job.exception())]

    def _living(self) -> list[_Writing]:
        return [writing for writing in self._copies if writing.error is None]

    def publish(self) -> Stored:
        last = memoryview(self._buffers[0])[: self._filled]
        try:
            self._settle()
            mine, *others = self._living()
            self._jobs = [self._store.submit(partial(writing.finish, last)) for writing in others]
            mine.finish(last)
            self._settle()
        except NoRoomError:
            self._withdraw()
            raise
        safe = tuple(writing.disk.number for writing in self._living())
        return Stored(self.id, self._checksums.size, bytes(self._checksums), safe, COPIES - len(safe))

    def _withdraw(self) -> None:
        for writing in self._copies:
            with contextlib.suppress(OSError):
                writing.disk.remove(self.id)

    def _tell(self) -> None:
        for writing in self._copies:
            if writing.error is not None:
                self._store.failed(writing.disk, writing.error)

    def discard(self) -> None:
        self._ended()
        self._tell()
        for writing in self._copies:
            writing.close()
        _buffers.give_back(self._buffers)
