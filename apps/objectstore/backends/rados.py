"""Blobs in a pool of Ceph, through librados; Ceph makes and mends the copies.

A blob is a head, named by its id, and for what goes beyond it stripes `<id>.<number>`. Stripes are written first and
the head last, in one atomic operation that also says how many stripes there are: without its head a blob is not
there. A removal begins with the last stripe and ends with the head, which tells whoever goes on after a crash what
there was. Stripes without a head are collected when no draft can be as old as they are.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import re
import sysconfig
import time
from collections import deque
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any, Protocol
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured

from apps.core.ids import timed_uuid
from apps.objectstore.backends import Kept, Stored
from apps.objectstore.backends.checksums import Checksums
from apps.objectstore.backends.claims import MARK
from apps.objectstore.backends.single import LEFT_S, PLACE, Deadline, SinglePlaceStore, WrongBlobError, as_no_room
from apps.objectstore.states import CHUNK

STRIPE_CHUNKS = 4  # chunks in the head and in each stripe
STRIPE = STRIPE_CHUNKS * CHUNK
IN_FLIGHT = 3  # stripes of one draft that are being written while the next comes in
RETRY_S = 5.0  # after which a cluster that could not be reached is tried again
STRIPES = "kumo.stripes"  # attribute of a head: how many stripes follow it
DEBIAN = Path("/usr/lib/python3/dist-packages")  # of python3-rados; virtual environments do not look there
TIMEOUTS = ("client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout")
_NAME = re.compile(r"([0-9a-f]{32})(?:\.(\d+))?")


class Completion(Protocol):
    """A write under way."""

    def wait_for_complete_and_cb(self) -> int: ...
    def get_return_value(self) -> int: ...


@cache
def binding() -> ModuleType:
    """Ceph's binding of librados. Raises ImproperlyConfigured where it is not installed."""
    found = importlib.util.find_spec("rados")
    if found is None:
        path = DEBIAN / f"rados{sysconfig.get_config_var('EXT_SUFFIX')}"
        found = importlib.util.spec_from_file_location("rados", path) if path.exists() else None
    if found is None or found.loader is None:
        raise ImproperlyConfigured("storage in Ceph needs the package python3-rados for this version of Python")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


class RadosStore(SinglePlaceStore):
    """A pool, or a namespace of one. `conf` is Ceph's own file, which also names the keyring of `user`.

    Without cephx, `user` does not matter. Raises ImproperlyConfigured.
    """

    def __init__(
        self,
        policy: str,
        *,
        pool: str,
        conf: str = "/etc/ceph/ceph.conf",
        user: str = "client.kumo",
        keyring: str = "",
        namespace: str = "",
        timeout_s: int = 30,
    ) -> None:
        super().__init__(policy)
        binding()
        if not Path(conf).is_file():
            raise ImproperlyConfigured(f"{conf}: there is no such file")
        self._pool, self._namespace = pool, namespace
        self._options = dict.fromkeys(TIMEOUTS, str(timeout_s))
        if keyring:
            self._options["keyring"] = keyring
        self._conf, self._user = conf, user
        self._lock = Lock()
        self._refusal, self._not_before = "", 0.0

    @cached_property
    def _connected(self) -> Any:
        rados = binding()
        cluster = rados.Rados(name=self._user, conffile=self._conf, conf=self._options)
        cluster.connect()
        return cluster

    @cached_property
    def _opened(self) -> Any:
        rados, words = binding(), "Ceph cannot be reached: wrong monitors, user or keyring"
        try:  # what is not found here says nothing about any blob
            connected = self._connected
            words = f"Ceph has no pool {self._pool}"
            pool = connected.open_ioctx(self._pool)
        except rados.ObjectNotFound as error:
            raise OSError(errno.ENXIO, words) from error
        pool.set_osdmap_full_try()  # when it is full, writes are refused and removals done; else both would hang
        if self._namespace:
            pool.set_namespace(self._namespace)
        return pool

    @property
    def io(self) -> Any:
        """The open pool; connects at first use, since a connection must not be taken along by a fork.

        Who waits while another tries in vain does not try anew, each after the other: that would hold every thread.
        Raises OSError.
        """
        with self._lock:
            if time.monotonic() < self._not_before:
                raise OSError(errno.ENXIO, self._refusal)
            try:
                with _as_oserror():
                    return self._opened
            except OSError as error:
                self._refusal, self._not_before = error.strerror or str(error), time.monotonic() + RETRY_S
                raise

    def close(self) -> None:
        """Let go of the connection; the next use makes another."""
        with self._lock:
            if opened := self.__dict__.pop("_opened", None):
                opened.close()
            if connected := self.__dict__.pop("_connected", None):
                connected.shutdown()

    def _mark(self) -> bytes | None:
        with contextlib.suppress(FileNotFoundError), _as_oserror():
            found: bytes = self.io.read(MARK)
            return found
        return None

    def _put_mark(self, identity: bytes) -> None:
        rados = binding()
        with contextlib.suppress(rados.ObjectExists), _as_oserror(rados.ObjectExists):
            operation = self.io.create_write_op()
            try:
                operation.new(rados.LIBRADOS_CREATE_EXCLUSIVE)  # of two clouds that come at once, one is first
                operation.write_full(identity)
                self.io.operate_write_op(operation, MARK, int(time.time()))
            finally:
                self.io.release_write_op(operation)

    # --- bytes in -----------------------------------------------------------------------------------

    def draft(self, size: int) -> RadosDraft:
        with as_no_room():
            self.require_own()
        return RadosDraft(self)

    def write_stripe(self, blob_id: UUID, number: int, data: bytes) -> Completion:
        """Begin to write a stripe. Raises OSError."""
        with _as_oserror():
            done: Completion = self.io.aio_write_full(_stripe(blob_id, number), data)
            return done

    def write_head(self, blob_id: UUID, data: bytes, stripes: int) -> None:
        """Write the head, with which the blob is there and safe. Raises OSError."""
        with _as_oserror():
            io = self.io
            operation = io.create_write_op()
            try:
                operation.write_full(data)
                operation.set_xattr(STRIPES, str(stripes).encode())
                io.operate_write_op(operation, blob_id.hex, int(time.time()))  # without, it was written in 1970
            finally:
                io.release_write_op(operation)

    # --- bytes out ----------------------------------------------------------------------------------

    def _body(self, stored: Stored, end: int) -> _Body:
        return _Body(self, stored)

    def read_chunk(self, blob_id: UUID, index: int, size: int) -> bytes:
        """So many bytes of a chunk, if there are as many. Raises FileNotFoundError, OSError."""
        with _as_oserror():
            name = _stripe(blob_id, index // STRIPE_CHUNKS)
            found: bytes = self.io.read(name, size, index % STRIPE_CHUNKS * CHUNK)
            return found

    def _check(self, stored: Stored) -> None:
        if int(self._attribute(stored.id)) != max(-(-stored.size // STRIPE) - 1, 0):
            raise WrongBlobError("another number of stripes")

    def remove(self, blob_id: UUID, places: tuple[int, ...]) -> None:
        self.require_own()
        try:
            stripes = int(self._attribute(blob_id))
        except FileNotFoundError:
            return
        for number in range(stripes, -1, -1):
            self.remove_stripe(blob_id, number)

    def remove_stripe(self, blob_id: UUID, number: int) -> None:
        """Remove the head (0) or a stripe; absent is success. Raises OSError."""
        with contextlib.suppress(FileNotFoundError), _as_oserror():
            self.io.remove_object(_stripe(blob_id, number))

    def _attribute(self, blob_id: UUID) -> bytes:
        with _as_oserror():
            found: bytes = self.io.get_xattr(blob_id.hex, STRIPES)
            return found

    def kept(self) -> Iterator[Kept]:
        self.require_own(again=True)
        with _as_oserror():
            names = self.io.list_objects()
        while True:
            with _as_oserror():
                found = next(names, None)
            if found is None:
                return
            match = _NAME.fullmatch(found.key)
            if match is None:
                continue  # something else that is kept there
            with contextlib.suppress(FileNotFoundError):  # removed while we looked
                age_s = self._age_s(found.key)
                if match[2] is None:
                    yield Kept(UUID(hex=match[1]), PLACE, age_s)
                elif age_s > LEFT_S:
                    self._remove_left(UUID(hex=match[1]), int(match[2]))

    def _age_s(self, name: str) -> float:
        with _as_oserror():
            written: time.struct_time = self.io.stat(name)[1]
        return time.time() - time.mktime(written)

    def _remove_left(self, blob_id: UUID, number: int) -> None:
        """Remove a stripe whose head was never written, or is gone."""
        try:
            self._attribute(blob_id)
        except FileNotFoundError:
            self.remove_stripe(blob_id, number)


class _Body:
    """A blob's bytes."""

    def __init__(self, store: RadosStore, stored: Stored) -> None:
        self._store, self._stored = store, stored

    def chunk(self, index: int) -> bytes:
        return self._store.read_chunk(self._stored.id, index, self._stored.chunk_size(index))

    def close(self) -> None:
        """Nothing is held."""


class RadosDraft:
    """A blob being written. It holds its beginning until the end, and few stripes more."""

    def __init__(self, store: RadosStore) -> None:
        self.id = timed_uuid()
        self._store = store
        self._head: bytes | None = None
        self._rest = bytearray()
        self._stripes = 0
        self._under_way: deque[Completion] = deque()
        self._checksums = Checksums()
        self._deadline = Deadline()
        self._published = False

    def write(self, piece: bytes) -> None:
        self._checksums.add(piece)
        self._rest += piece
        while len(self._rest) >= STRIPE:
            self._take()

    def _take(self) -> None:
        """The next STRIPE bytes, or what is left of them, leave the buffer."""
        data = bytes(memoryview(self._rest)[:STRIPE])
        del self._rest[:STRIPE]
        if self._head is None:
            self._head = data
            return
        self._stripes += 1
        with as_no_room():
            if len(self._under_way) == IN_FLIGHT:
                _settle(self._under_way.popleft())
            self._under_way.append(self._store.write_stripe(self.id, self._stripes, data))

    def publish(self) -> Stored:
        if self._rest or self._head is None:
            self._take()
        assert self._head is not None
        with as_no_room():
            while self._under_way:
                _settle(self._under_way.popleft())
            self._deadline.require()
            self._store.write_head(self.id, self._head, self._stripes)
        self._published = True
        return Stored(self.id, self._checksums.size, bytes(self._checksums), (PLACE,))

    def discard(self) -> None:
        if self._published:
            return
        while self._under_way:
            with contextlib.suppress(OSError):
                _settle(self._under_way.popleft())
        stripes, self._stripes, self._head = self._stripes, 0, None
        self._rest.clear()
        with contextlib.suppress(OSError):  # the collector finds what is left
            self._store.remove_stripe(self.id, 0)  # of a head whose answer was lost
            for number in range(1, stripes + 1):
                self._store.remove_stripe(self.id, number)


def _stripe(blob_id: UUID, number: int) -> str:
    return f"{blob_id.hex}.{number}" if number else blob_id.hex


def _settle(done: Completion) -> None:
    """Wait for a write. Raises OSError."""
    done.wait_for_complete_and_cb()
    code = done.get_return_value()
    if code < 0:
        raise OSError(-code, "Ceph refused a write")


@contextlib.contextmanager
def _as_oserror(*passed: type[Exception]) -> Iterator[None]:
    """Errors of librados as Python's, but for those `passed`: FileNotFoundError for what is absent, else OSError."""
    rados = binding()
    try:
        yield
    except passed:
        raise
    except (rados.ObjectNotFound, rados.NoData) as error:
        raise FileNotFoundError(str(error)) from error
    except rados.Error as error:
        raise OSError(getattr(error, "errno", None) or 0, f"Ceph: {error}") from error
