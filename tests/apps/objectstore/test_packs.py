"""Small copies in packs: what is safe, what becomes of space, and what damage takes along."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from apps.objectstore.backends import NoRoomError, Stored, packs
from apps.objectstore.backends.disks import AVOID_S, DiskStore
from apps.objectstore.backends.packs import PACK_BYTES, PACK_SLOTS, SLOT, SMALL_BYTES, Pack, Small, is_packed
from apps.objectstore.models import Disk
from tests.kit.blobs import keep, read
from tests.kit.copies import copy_at, directory_of, ids_on, lose


def packs_on(disk: Path) -> list[Path]:
    folder = disk / "packs"
    return sorted(folder.iterdir()) if folder.exists() else []


def used(path: Path) -> int:
    """Bytes of the disk that a file takes."""
    return path.stat().st_blocks * 512


def left(store: DiskStore) -> None:
    """As when the process that fills the pack has ended."""
    store._leave_pack()


def test_blobs_lie_in_one_file_at_the_same_place_on_each_disk(store, disks):
    bodies = [os.urandom(size) for size in (1, SLOT, SMALL_BYTES, 100)]
    made = [keep(store, body) for body in bodies]
    assert [read(store, stored) for stored in made] == bodies
    assert [len(packs_on(disk)) for disk in disks] == [1, 1, 1]
    found = [[copy_at(disk, stored.id) for stored in made] for disk in disks]
    assert [[(copy.path.name, copy.start, copy.size) for copy in copies] for copies in found] == [
        [(packs_on(disks[0])[0].name, copy.start, len(body)) for copy, body in zip(found[0], bodies, strict=True)]
    ] * 3
    assert {path.stat().st_mode & 0o777 for disk in disks for path in packs_on(disk)} == {0o600}


def test_blobs_that_come_together_are_one_write_on_each_disk(store, monkeypatch):
    keep(store, b"first")
    writes: list[int] = []
    real = os.pwritev

    def pwritev(file: int, data: Any, at: int, flags: int) -> int:
        assert flags == os.RWF_DSYNC
        writes.append(len(data[0]))
        return real(file, data, at, flags)

    monkeypatch.setattr(packs.os, "pwritev", pwritev)
    bodies = [os.urandom(n + 1) for n in range(50)]
    found = store.keep(bodies)
    assert writes == [50 * SLOT] * 3
    assert [read(store, stored) for stored in found if isinstance(stored, Stored)] == bodies


def test_a_write_that_ends_short_goes_on(store, monkeypatch):
    real = os.pwritev
    monkeypatch.setattr(packs.os, "pwritev", lambda file, data, at, flags: real(file, [data[0][:1000]], at, flags))
    body = os.urandom(10_000)
    assert read(store, keep(store, body)) == body


def test_a_full_pack_is_followed_by_another(store, disks, monkeypatch):
    monkeypatch.setattr(packs, "PACK_SLOTS", 4)
    made = [keep(store, os.urandom(SLOT)) for _ in range(5)]
    assert [len(packs_on(disk)) for disk in disks] == [3, 3, 3]
    assert {kept.id for kept in store.kept()} == {stored.id for stored in made}


def test_what_is_removed_takes_no_space_and_the_last_one_takes_the_pack(store, disks):
    made = [keep(store, os.urandom(size)) for size in (1, 3 * SLOT, SMALL_BYTES)]
    left(store)
    list(store.kept())
    before = [used(path) for disk in disks for path in packs_on(disk)]
    assert max(before) < PACK_BYTES
    store.remove(made[1].id, made[1].places)
    assert [used(path) for disk in disks for path in packs_on(disk)] == [size - 4 * SLOT for size in before]
    assert read(store, made[0])
    for stored in (made[0], made[2]):
        store.remove(stored.id, stored.places)
    assert [packs_on(disk) for disk in disks] == [[], [], []]


def test_the_pack_that_is_being_filled_stays(store, disks):
    for _ in range(2):
        stored = keep(store, b"abc")
        store.remove(stored.id, stored.places)
        assert list(store.kept()) == []
    assert [len(packs_on(disk)) for disk in disks] == [1, 1, 1]
    assert read(store, keep(store, b"def")) == b"def"
    assert [used(path) for disk in disks for path in packs_on(disk)] == [PACK_BYTES - 2 * SLOT] * 3


def test_what_was_never_filled_is_given_back_when_its_process_has_ended(store, disks):
    stored = keep(store, b"abc")
    list(store.kept())
    assert used(packs_on(disks[0])[0]) == PACK_BYTES
    left(store)
    assert [kept.id for kept in store.kept()] == [stored.id] * 3
    assert used(packs_on(disks[0])[0]) == SLOT
    assert read(store, stored) == b"abc"
    assert read(store, keep(store, b"def")) == b"def"
    assert len(packs_on(disks[0])) == 2


def test_an_empty_pack_that_was_left_goes(store, disks, monkeypatch):
    stored = keep(store, b"abc")
    store.remove(stored.id, stored.places)
    left(store)
    assert list(store.kept()) == []
    assert [packs_on(disk) for disk in disks] == [[], [], []]


def test_where_nothing_can_become_a_hole_what_is_removed_is_gone_all_the_same(store, disks, monkeypatch):
    def fallocate(*_: int) -> int:
        packs.ctypes.set_errno(errno.EOPNOTSUPP)
        return -1

    monkeypatch.setattr(packs._libc, "fallocate", fallocate)
    gone, stays = keep(store, b"abc"), keep(store, b"def")
    left(store)
    store.remove(gone.id, gone.places)
    assert {kept.id for kept in store.kept()} == {stays.id}
    store.remove(stays.id, stays.places)
    assert list(store.kept()) == []
    assert [packs_on(disk) for disk in disks] == [[], [], []]


def test_a_disk_that_cannot_make_holes_now_says_so(store, disks, monkeypatch):
    def fallocate(*_: int) -> int:
        packs.ctypes.set_errno(errno.EIO)
        return -1

    stored = keep(store, b"abc")
    monkeypatch.setattr(packs._libc, "fallocate", fallocate)
    with pytest.raises(OSError, match="Input/output"):
        store.remove(stored.id, stored.places)
    assert read(store, stored) == b"abc"


def test_a_record_that_was_cut_off_is_no_copy_and_is_given_back(store, disks):
    first, second, third = (keep(store, os.urandom(2 * SLOT)) for _ in range(3))
    left(store)
    copy = copy_at(disks[0], second.id)
    with copy.path.open("r+b") as file:
        file.seek(copy.start - 10)  # in the header
        file.write(b"\xff")
    assert set(ids_on(disks[0])) == {first.id, third.id}
    assert set(ids_on(disks[1])) == {first.id, second.id, third.id}
    assert used(copy.path) == 2 * 3 * SLOT
    told: list[int] = []
    for _ in range(100):  # the order is random
        assert b"".join(store.read(second, 0, second.size, told.append))
    assert set(told) == {Disk.objects.get(path=str(disks[0])).pk}


def test_a_record_is_only_whose_id_is_in_it(store, disks):
    """An id says a place, and whoever made it up gets nothing."""
    stored = keep(store, os.urandom(3 * SLOT))
    assert is_packed(stored.id)
    for other in (uuid.UUID(int=stored.id.int + 1), uuid.UUID(int=stored.id.int + PACK_SLOTS + 5)):
        assert is_packed(other)
        with pytest.raises(FileNotFoundError):
            copy_at(disks[0], other)
        lose(disks[0], other)
    assert read(store, stored)


def test_a_failed_write_is_no_acknowledgement_and_ends_the_pack(store, disks, monkeypatch):
    before = keep(store, b"before")
    _failing(monkeypatch, disks[:1])
    stored = keep(store, b"abc")
    assert (len(stored.places), stored.missing) == (2, 1)
    _failing(monkeypatch, disks[:2])
    with pytest.raises(NoRoomError):
        keep(store, b"def")
    monkeypatch.undo()
    assert {kept.id for kept in store.kept()} == {before.id, stored.id}
    assert (read(store, before), read(store, stored)) == (b"before", b"abc")


def _failing(monkeypatch: Any, disks: list[Path]) -> None:
    real = os.pwritev

    def pwritev(file: int, data: Any, at: int, flags: int) -> int:
        if any(os.readlink(f"/proc/self/fd/{file}").startswith(str(disk)) for disk in disks):
            real(file, [data[0][:100]], at, flags)
            raise OSError(errno.EIO, "no")
        return real(file, data, at, flags)

    monkeypatch.setattr(packs.os, "pwritev", pwritev)


def test_with_two_disks_a_pack_is_left_for_three_when_there_are(store, disks, monkeypatch):
    away = disks[2].with_name("away")
    disks[2].rename(away)
    now = 1000.0
    monkeypatch.setattr("apps.objectstore.backends.disks.time.monotonic", lambda: now)
    assert keep(store, b"abc").missing == 1
    away.rename(disks[2])
    assert keep(store, b"abc").missing == 1
    now += AVOID_S
    assert keep(store, b"abc").missing == 0


@pytest.mark.parametrize("change", ["drained", "lost"])
def test_a_pack_is_left_when_one_of_its_disks_is_none_any_more(store, disks, change):
    keep(store, b"abc")
    row = Disk.objects.get(path=str(disks[0]))
    if change == "drained":
        Disk.objects.filter(pk=row.pk).update(state="draining")
    else:
        row.delete()
    store.forget()
    assert row.pk not in keep(store, b"def").places
    held = [path for file in os.listdir("/proc/self/fd") if (path := _target(file)).startswith(str(disks[0]))]
    assert held == []  # it can be unmounted


def _target(file: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{file}")
    except FileNotFoundError:
        return ""


def test_a_disk_that_went_in_the_middle_of_a_pack_is_missed_soon(store, disks, monkeypatch):
    keep(store, b"abc")
    monkeypatch.setattr("apps.objectstore.backends.disks.ROOM_S", -1)
    away = disks[0].with_name("away")
    disks[0].rename(away)
    stored = keep(store, b"def")
    assert (len(stored.places), stored.missing) == (2, 1)
    away.rename(disks[0])
    assert directory_of(disks[0]).is_there()
    assert len(ids_on(disks[0])) == 1


def test_a_pack_that_cannot_be_begun_leaves_nothing(store, disks, monkeypatch):
    real = os.write

    def write(file: int, data: Any) -> int:
        if "packs" in os.readlink(f"/proc/self/fd/{file}") or "deleted" in os.readlink(f"/proc/self/fd/{file}"):
            raise OSError(errno.ENOSPC, "full")
        return real(file, data)

    monkeypatch.setattr("apps.objectstore.backends.directory.os.write", write)
    with pytest.raises(NoRoomError):
        keep(store, b"abc")
    assert [packs_on(disk) for disk in disks] == [[], [], []]


def test_ids_of_packs_sort_by_time_and_never_meet():
    made = [Pack() for _ in range(3)]
    batches = [pack.records([Small(b"x", 0)] * 3)[0] for pack in made]
    assert len({blob_id for batch in batches for blob_id in batch}) == 9
    assert all(blob_id.version == 8 and blob_id.variant == uuid.RFC_4122 for batch in batches for blob_id in batch)
    assert [blob_id.int - batch[0].int for batch in batches for blob_id in batch] == [0, 1, 2] * 3
