"""The back end of three copies on plain disks: the conformance suite, and what happens when disks fail."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from apps.objectstore import backends
from apps.objectstore.backends import BlobLostError, NoRoomError, Stored, WrongMachineError, directory
from apps.objectstore.backends.packs import SMALL_BYTES
from apps.objectstore.models import Disk
from apps.objectstore.states import CHUNK
from cloud.config import Objectstore
from tests.kit.blobs import BlobStoreCases, Spoil, keep, read
from tests.kit.copies import copy_at, ids_on

BIG = os.urandom(SMALL_BYTES + 1)


class TestDisks(BlobStoreCases):
    @pytest.fixture
    def spoil(self, disks: list[Path]) -> Spoil:
        def every_copy(stored: Stored, at: int) -> None:
            for disk in disks:
                copy_at(disk, stored.id).flip(at)

        return every_copy


def files(disks: list[Path]) -> list[Path]:
    return [f for d in disks for f in (d / "blobs").rglob("*") if f.is_file()]


def copies(disks: list[Path], stored: Any) -> list[Path]:
    return [d / "blobs" / stored.id.hex[-3:] / stored.id.hex for d in disks]


def test_a_blob_that_is_not_small_is_one_plain_file_on_each_disk(store, disks):
    stored = keep(store, BIG)
    assert [f.read_bytes() for f in copies(disks, stored)] == [BIG] * 3
    assert len(files(disks)) == 3
    assert {f.stat().st_mode & 0o777 for f in files(disks)} == {0o600}


def test_a_flipped_byte_is_served_from_another_copy_and_told(store, disks):
    body = os.urandom(3 * CHUNK)
    stored = keep(store, body)
    copy_at(disks[0], stored.id).flip(CHUNK + 7)
    copy_at(disks[1], stored.id).flip(2 * CHUNK + 7)
    told: list[int] = []
    for _ in range(100):  # the order is random
        if len(set(told)) == 2:
            break
        assert b"".join(store.read(stored, 0, stored.size, told.append)) == body
        assert b"".join(store.read(stored, CHUNK + 5, CHUNK + 9, told.append)) == body[CHUNK + 5 : CHUNK + 9]
    assert set(told) == {disk.pk for disk in Disk.objects.filter(path__in=map(str, disks[:2]))}


def test_pieces_of_bad_copies_make_a_whole(store, disks):
    body = os.urandom(3 * CHUNK)
    stored = keep(store, body)
    for n, disk in enumerate(disks):
        copy_at(disk, stored.id).flip(n * CHUNK)
        copy_at(disk, stored.id).flip(((n + 1) % 3) * CHUNK)
    assert b"".join(store.read(stored, 0, stored.size, lambda _: None)) == body


def test_when_all_copies_are_bad_nothing_wrong_leaves(store, disks):
    stored = keep(store, b"abc")
    for disk in disks:
        copy_at(disk, stored.id).flip()
    with pytest.raises(BlobLostError):
        read(store, stored)


@pytest.mark.parametrize(("number", "is_told"), [(errno.EMFILE, False), (errno.EACCES, False), (errno.EIO, True)])
def test_only_what_a_disk_says_of_the_bytes_counts_against_a_copy(store, disks, monkeypatch, number, is_told):
    stored = keep(store, b"abc")
    real = os.open

    def open_(path: Any, *more: Any, **named: Any) -> int:
        if str(path).endswith(stored.id.hex) and str(path).startswith(str(disks[0])):
            raise OSError(number, os.strerror(number))
        return real(path, *more, **named)

    monkeypatch.setattr(directory.os, "open", open_)
    told: list[int] = []
    for _ in range(100):  # the order is random
        assert b"".join(store.read(stored, 0, 3, told.append)) == b"abc"
    assert bool(told) is is_told


def test_a_short_copy_is_bad(store, disks):
    stored = keep(store, BIG)
    os.truncate(copies(disks, stored)[0], 3)
    assert sorted(store.verify(stored, lambda _: None).values()) == [False, True, True]


def test_without_the_check_bytes_are_served_as_they_are(store, disks, settings, monkeypatch):
    monkeypatch.setattr(type(settings.CONFIG), "objectstore", Objectstore(verify_reads=False))
    stored = keep(store, b"abc")
    for disk in disks:
        copy_at(disk, stored.id).flip()
    assert read(store, stored) != b"abc"
    assert set(store.verify(stored, lambda _: None).values()) == {False}


@pytest.mark.parametrize("failure", ["gone", "replaced", "read-only", "full"])
def test_a_write_goes_on_without_one_disk(store, disks, failure, monkeypatch):
    bad = disks[0]
    if failure == "gone":
        bad.rename(bad.with_name("away"))
    elif failure == "replaced":
        bad.rename(bad.with_name("away"))
        (bad / "blobs").mkdir(parents=True)  # an empty mount point
    else:
        _failing(monkeypatch, str(bad), errno.EROFS if failure == "read-only" else errno.ENOSPC)
    body = os.urandom(2 * CHUNK)
    stored = keep(store, body)
    assert (len(stored.places), stored.missing) == (2, 1)
    assert read(store, stored) == body
    assert files([bad]) == []


def test_with_one_disk_left_nothing_is_acknowledged(store, disks, monkeypatch):
    for bad in disks[:2]:
        bad.rename(bad.with_name(f"away-{bad.name}"))
    for body in (b"abc", bytes(CHUNK)):
        with pytest.raises(NoRoomError):
            keep(store, body)
    assert files(disks) == []


def test_disks_that_fail_in_the_middle_leave_nothing(store, disks, monkeypatch):
    draft = store.draft(3 * CHUNK)
    draft.write(bytes(CHUNK))
    draft.write(bytes(CHUNK))
    for bad in disks[:2]:
        _failing(monkeypatch, str(bad), errno.EIO, "write")
    with pytest.raises(NoRoomError):
        _end(draft)
    draft.discard()
    assert files(disks) == []


def _end(draft: backends.Draft) -> None:
    draft.write(bytes(CHUNK))
    draft.publish()


def _failing(monkeypatch: Any, path: str, number: int, call: str = "open") -> None:
    """Let a disk's file system refuse: the system calls of this process fail there."""
    real_open, real_write = os.open, os.write

    def open_(target: Any, flags: int, *more: Any, **named: Any) -> int:
        if str(target).startswith(path) and flags & os.O_RDWR:
            raise OSError(number, os.strerror(number))
        return real_open(target, flags, *more, **named)

    def write(file: int, data: Any) -> int:
        if os.readlink(f"/proc/self/fd/{file}").startswith(path):
            raise OSError(number, os.strerror(number))
        return real_write(file, data)

    monkeypatch.setattr(directory.os, call, {"open": open_, "write": write}[call])


class _FileSystem:
    """Has writes past the cache as it says, whatever the test's directory lies on; keeps what they were."""

    def __init__(self, monkeypatch: Any, has: str) -> None:
        self.has = has
        self.direct: dict[int, list[int]] = {}  # file → lengths of its writes past the cache
        self._on: set[int] = set()
        self._write, self._close = os.write, os.close
        monkeypatch.setattr(directory.fcntl, "fcntl", self.fcntl)
        monkeypatch.setattr(directory.os, "write", self.write)
        monkeypatch.setattr(directory.os, "close", self.close)

    def fcntl(self, file: int, command: int, flags: int = 0) -> int:
        if command == fcntl.F_SETFL and self.has == "none" and flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "no such thing here")
        if command == fcntl.F_SETFL:
            (self._on.add if flags & os.O_DIRECT else self._on.discard)(file)
        return 0

    def write(self, file: int, data: memoryview) -> int:
        if file not in self._on:
            return self._write(file, data)
        address = ctypes.addressof(ctypes.c_char.from_buffer(data))
        if self.has == "other alignment" or (address | len(data) | os.lseek(file, 0, os.SEEK_CUR)) % mmap.PAGESIZE:
            raise OSError(errno.EINVAL, "not aligned")
        done = self._write(file, data[: len(data) // 2 or None] if self.has == "short writes" else data)
        self.direct.setdefault(file, []).append(done)
        return done

    def close(self, file: int) -> None:
        self._on.discard(file)
        self._close(file)


@pytest.mark.parametrize("has", ["all", "none", "other alignment", "short writes"])
@pytest.mark.parametrize("size", [70_000, CHUNK, 2 * CHUNK + 5 * mmap.PAGESIZE + 7])
def test_large_copies_go_past_the_cache_where_that_can_be(store, monkeypatch, has, size):
    files = _FileSystem(monkeypatch, has)
    body = os.urandom(size)
    stored = keep(store, body, 300_000)
    assert (stored.missing, read(store, stored)) == (0, body)
    assert set(store.verify(stored, lambda _: None).values()) == {True}
    past = sum(map(sum, files.direct.values()))
    assert bool(past) is (has in {"all", "short writes"})
    if has == "all":
        assert past == 3 * (size - size % mmap.PAGESIZE)


def test_small_copies_go_through_the_cache(store, monkeypatch):
    files = _FileSystem(monkeypatch, "all")
    stored = keep(store, b"abc" * 1000)
    assert read(store, stored) == b"abc" * 1000
    assert files.direct == {}


def test_drafts_of_one_thread_do_not_share_memory(store):
    bodies = [os.urandom(2 * CHUNK + 7) for _ in range(3)]
    drafts = [store.draft(len(body)) for body in bodies]
    for at in range(0, len(bodies[0]), 500_000):
        for draft, body in zip(drafts, bodies, strict=True):
            draft.write(body[at : at + 500_000])
    drafts.pop().discard()
    again = store.draft(CHUNK)  # with the memory of the one that was dropped
    again.write(bytes(CHUNK))
    assert [read(store, draft.publish()) for draft in drafts] == bodies[:2]
    assert read(store, again.publish()) == bytes(CHUNK)


def test_where_files_cannot_be_nameless_drafts_have_hidden_names(store, disks, monkeypatch):
    monkeypatch.setattr(directory, "_NO_UNNAMED", {errno.EOPNOTSUPP})
    real = os.open

    def open_(target: Any, flags: int, *more: Any, **named: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not here")
        return real(target, flags, *more, **named)

    monkeypatch.setattr(directory.os, "open", open_)
    small, stored = keep(store, b"abc"), keep(store, BIG)
    assert (read(store, small), read(store, stored)) == (b"abc", BIG)
    assert {name[0] for disk in disks for name in os.listdir(disk / "packs")} <= set("0123456789abcdef")
    assert sorted(files(disks)) == sorted(copies(disks, stored))
    draft = store.draft(3 * CHUNK)
    draft.write(bytes(2 * CHUNK))
    draft.discard()
    assert sorted(files(disks)) == sorted(copies(disks, stored))


def test_drafts_that_a_crash_left_are_removed_when_old(store, disks, monkeypatch):
    stored = keep(store, BIG), keep(store, b"abc")
    drafts = [files(disks)[0].parent / f".{uuid.uuid4().hex}.1f", disks[0] / "packs" / f".{uuid.uuid4().hex[4:]}.1f"]
    for left in drafts:
        left.write_bytes(b"half")
    assert {kept.id for kept in store.kept()} == {one.id for one in stored}
    assert all(left.exists() for left in drafts)
    monkeypatch.setattr(directory, "LEFT_DRAFT_S", -1)
    list(store.kept())
    assert not any(left.exists() for left in drafts)


def test_a_missing_copy_is_made_again(store, disks):
    stored = keep(store, os.urandom(CHUNK + 1))
    copies(disks, stored)[1].unlink()
    lacking = Disk.objects.get(path=str(disks[1])).pk
    left = tuple(n for n in stored.places if n != lacking)
    mended = store.repair(backends.Stored(stored.id, stored.size, stored.checksums, left, 1))
    assert (sorted(mended.places), mended.missing) == (sorted(stored.places), 0)
    assert set(store.verify(mended, lambda _: None).values()) == {True}


@pytest.mark.parametrize("body", [b"abcdef", BIG], ids=["small", "large"])
def test_a_bad_copy_is_made_again(store, disks, body):
    stored = keep(store, body)
    copy_at(disks[2], stored.id).flip()
    lacking = Disk.objects.get(path=str(disks[2])).pk
    left = tuple(n for n in stored.places if n != lacking)
    mended = store.repair(backends.Stored(stored.id, stored.size, stored.checksums, left, 1))
    assert copy_at(disks[2], stored.id).read() == body
    assert mended.missing == 0
    assert set(store.verify(mended, lambda _: None).values()) == {True}
    store.remove(stored.id, mended.places)
    assert [ids_on(disk) for disk in disks] == [[], [], []]


def test_repair_waits_for_a_disk(store, disks):
    stored = keep(store, b"abc")
    disks[0].rename(disks[0].with_name("away"))
    lacking = Disk.objects.get(path=str(disks[0])).pk
    left = tuple(n for n in stored.places if n != lacking)
    with pytest.raises(NoRoomError):
        store.repair(backends.Stored(stored.id, stored.size, stored.checksums, left, 1))


def test_another_machine_serves_nothing(store):
    Disk.objects.update(machine="another")
    store.forget()
    for body in (b"abc", bytes(CHUNK)):
        with pytest.raises(WrongMachineError):
            keep(store, body)
