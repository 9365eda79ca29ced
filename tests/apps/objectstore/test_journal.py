"""Small copies through a disk's journal: what is acknowledged survives the loss of every file that was not flushed."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.objectstore.backends import directory, journal
from apps.objectstore.backends.directory import Directory, claim

IDENTITY = uuid.uuid4()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    claim(str(tmp_path), IDENTITY)
    return tmp_path


@pytest.fixture
def disk(home: Path) -> Iterator[Directory]:
    made = opened(home)
    yield made
    made.close()


def opened(home: Path) -> Directory:
    """The disk as a process sees it that has just started."""
    made = Directory(1, str(home), IDENTITY)
    made.check()
    return made


def keep(disk: Directory, body: bytes) -> uuid.UUID:
    ident = uuid.uuid4()
    (error,) = disk.add([(ident, body)])
    if error:
        raise error
    return ident


def file_of(home: Path, ident: uuid.UUID) -> Path:
    return home / "blobs" / ident.hex[-3:] / ident.hex


def journals(home: Path) -> list[Path]:
    return [path for path in (home / "journal").iterdir() if path.name != "lock"]


def test_a_small_copy_is_a_plain_file_at_once(home, disk):
    assert file_of(home, keep(disk, b"abc")).read_bytes() == b"abc"


def test_what_was_not_flushed_comes_back_when_the_disk_is_opened(home, disk):
    gone, empty, wrong, whole = (keep(disk, body) for body in (b"a" * 99, b"bb", b"ccc", b"dddd"))
    file_of(home, gone).unlink()
    file_of(home, gone).parent.rmdir()
    file_of(home, empty).write_bytes(b"")
    file_of(home, wrong).write_bytes(b"cxc")
    kept = file_of(home, whole).stat()  # reading it may change its time of access
    disk.close()
    opened(home)
    assert [file_of(home, i).read_bytes() for i in (gone, empty, wrong, whole)] == [b"a" * 99, b"bb", b"ccc", b"dddd"]
    found = file_of(home, whole).stat()
    assert (found.st_ino, found.st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns)
    assert journals(home) == []


def test_the_journal_of_a_process_that_lives_is_left_alone(home, disk):
    ident = keep(disk, b"abc")
    file_of(home, ident).unlink()
    opened(home)
    assert not file_of(home, ident).exists()
    assert len(journals(home)) == 1


def test_a_torn_record_ends_the_journal(home, disk):
    first, second, third = (keep(disk, body) for body in (b"first", b"second", b"third"))
    disk.close()
    (path,) = journals(home)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"second", b"secoXd", 1))
    for ident in (first, second, third):
        file_of(home, ident).unlink()
    opened(home)
    assert file_of(home, first).read_bytes() == b"first"
    assert not file_of(home, second).exists()
    assert not file_of(home, third).exists()


def test_a_full_journal_begins_anew_when_all_else_is_flushed(home, disk, monkeypatch):
    monkeypatch.setattr(journal, "JOURNAL_BYTES", 1000)
    flushed: list[int] = []
    real = journal._flush_all

    def flush(folder: int) -> None:
        flushed.append(folder)
        real(folder)

    monkeypatch.setattr(journal, "_flush_all", flush)
    idents = [keep(disk, bytes([n]) * 300) for n in range(7)]
    assert len(flushed) == 3
    for ident in idents:
        file_of(home, ident).unlink()
    disk.close()
    opened(home)
    assert [file_of(home, ident).exists() for ident in idents] == [False] * 6 + [True]


def test_what_cannot_be_flushed_stays_in_its_journal(home, disk, monkeypatch):
    monkeypatch.setattr(journal, "JOURNAL_BYTES", 1000)
    first = keep(disk, b"a" * 600)

    def broken(folder: int) -> None:
        raise OSError(errno.EIO, "no")

    with monkeypatch.context() as patch:
        patch.setattr(journal, "_flush_all", broken)
        with pytest.raises(OSError, match="no"):
            keep(disk, b"b" * 600)
    file_of(home, first).unlink()
    after = keep(disk, b"c" * 600)
    assert len(journals(home)) == 2
    disk.close()
    opened(home)
    assert file_of(home, first).read_bytes() == b"a" * 600
    assert file_of(home, after).read_bytes() == b"c" * 600


def test_a_failed_flush_is_no_acknowledgement(home, disk, monkeypatch):
    keep(disk, b"abc")

    def fdatasync(file: int) -> None:
        raise OSError(errno.EIO, "no")

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "fdatasync", fdatasync)
        with pytest.raises(OSError, match="no"):
            keep(disk, b"def")
    assert keep(disk, b"ghi")


def test_a_journal_that_cannot_be_made_leaves_nothing(home, disk, monkeypatch):
    def full(file: int, data: bytes, at: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "pwrite", full)
        with pytest.raises(OSError, match="full"):
            keep(disk, b"abc")
    assert journals(home) == []


def test_after_an_unforeseen_error_another_journal_is_begun(home, disk, monkeypatch):
    keep(disk, b"abc")

    def broken(entries: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(disk._journal._file, "append", broken)
        with pytest.raises(RuntimeError):
            keep(disk, b"def")
    assert keep(disk, b"ghi")
    assert len(journals(home)) == 2


def test_copies_that_come_together_share_a_flush(home, disk, monkeypatch):
    keep(disk, b"first")
    flushes: list[int] = []
    real = os.fdatasync

    def fdatasync(file: int) -> None:
        flushes.append(file)
        real(file)

    monkeypatch.setattr(journal.os, "fdatasync", fdatasync)
    idents = [uuid.uuid4() for _ in range(50)]
    assert disk.add([(ident, b"abc") for ident in idents]) == [None] * 50
    assert all(file_of(home, ident).read_bytes() == b"abc" for ident in idents)
    assert len(flushes) == 1


def test_a_copy_that_cannot_be_written_is_no_hindrance_to_others(home, disk):
    there, others = keep(disk, b"abc"), [uuid.uuid4() for _ in range(2)]
    errors = disk.add([(others[0], b"a"), (there, b"again"), (others[1], b"b")])
    assert [type(error) for error in errors] == [type(None), FileExistsError, type(None)]
    for ident in others:
        file_of(home, ident).unlink()
    disk.close()
    opened(home)
    assert [file_of(home, ident).read_bytes() for ident in (others[0], there, others[1])] == [b"a", b"abc", b"b"]


def test_a_disk_that_came_back_has_what_it_acknowledged(home, disk, tmp_path):
    ident = keep(disk, b"abc")
    away = home.with_name("away")
    home.rename(away)
    with pytest.raises(directory.DiskGoneError):
        disk.check()
    (away / "blobs" / ident.hex[-3:] / ident.hex).unlink()  # unplugged before it was flushed
    away.rename(home)
    disk.check()
    assert file_of(home, ident).read_bytes() == b"abc"
    assert keep(disk, b"def")


def test_journals_that_cannot_be_played_back_are_tried_again(home, disk, monkeypatch):
    ident = keep(disk, b"abc")
    disk.close()
    file_of(home, ident).unlink()
    now = 1000.0
    monkeypatch.setattr(directory.time, "monotonic", lambda: now)
    real = os.unlink

    def broken(path: Any, **named: Any) -> None:
        if "journal" in str(path):
            raise OSError(errno.EROFS, "read-only")
        real(path, **named)

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "unlink", broken)
        other = opened(home)
    assert len(journals(home)) == 1
    other.check()
    assert len(journals(home)) == 1
    now += directory.RETRY_S
    other.check()
    assert journals(home) == []
    assert file_of(home, ident).read_bytes() == b"abc"
