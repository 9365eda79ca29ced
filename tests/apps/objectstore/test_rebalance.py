"""Copies moved to a disk that was added: the plan, the bounds, and what happens when a move fails half way."""

from __future__ import annotations

import os
import threading

import pytest
from django.core.management import CommandError, call_command

from apps.objectstore import backends, services
from apps.objectstore.backends import directory
from apps.objectstore.models import Blob, Disk
from apps.objectstore.services import balance
from apps.objectstore.services.disks import disk_store
from tests.apps.objectstore.conftest import SYSTEM
from tests.kit.copies import ids_on

KIB = 1024


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is worth a move, in tests."""
    monkeypatch.setattr(balance, "LEAST_BYTES", 10 * KIB)


@pytest.fixture
def full(alice, box, disks):
    """Twelve objects of 64 KiB on three disks, and a fourth disk that is empty; returns its directory."""
    for n in range(12):
        alice.put(f"/box/{n}", os.urandom(64 * KIB))
    path = disks[0].with_name("disk4")
    path.mkdir()
    services.disk_add(SYSTEM, path=str(path))
    return path


def command(capsys, *words: str) -> str:
    call_command("object", "disks", "rebalance", *words)
    return str(capsys.readouterr().out)


def on_each() -> list[int]:
    return [Blob.objects.filter(places__contains=[disk.pk]).count() for disk in Disk.objects.order_by("pk")]


def test_copies_move_until_the_disks_are_filled_alike(alice, full, disks, capsys):
    before = {n: alice.bytes(f"/box/{n}") for n in range(12)}
    assert on_each() == [12, 12, 12, 0]
    for words in ((), ("--dry-run",)):
        assert "Nothing was changed" in command(capsys, *words)
    assert on_each() == [12, 12, 12, 0]
    assert "9 copies of 576.0 KiB were moved" in command(capsys, "--yes")
    assert on_each() == [9, 9, 9, 9]
    assert [len(ids_on(path)) for path in (*disks, full)] == [9, 9, 9, 9]
    assert {n: alice.bytes(f"/box/{n}") for n in range(12)} == before
    assert list(services.account_verify(SYSTEM, account="alice", pace=services.Pace(threading.Event(), 0))) == []
    assert "nothing is worth moving" in command(capsys, "--yes")


def test_no_more_moves_than_was_allowed(full):
    pace = services.Pace(threading.Event(), 0)
    moves = list(services.rebalance(SYSTEM, policy="default", most_bytes=200 * KIB, pace=pace))
    assert (len(moves), sum(size for *_, size in moves)) == (3, 192 * KIB)
    assert sum(on_each()) == 36
    pace.stop.set()
    assert list(services.rebalance(SYSTEM, policy="default", most_bytes=10**9, pace=pace)) == []


def test_a_disk_that_takes_nothing_loses_nothing(full, monkeypatch):
    def refused(self: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(directory.Copy, "publish", refused)
    pace = services.Pace(threading.Event(), 0)
    assert list(services.rebalance(SYSTEM, policy="default", most_bytes=10**9, pace=pace)) == []
    assert on_each() == [12, 12, 12, 0]


def test_blobs_that_lack_copies_or_are_unused_are_left_alone(alice, full):
    for n in range(11):
        alice("DELETE", f"/box/{n}")
    Blob.objects.filter(unused_since=None).update(missing=1)
    pace = services.Pace(threading.Event(), 0)
    assert list(services.rebalance(SYSTEM, policy="default", most_bytes=10**9, pace=pace)) == []


def test_a_blob_that_changes_meanwhile_keeps_its_copies(full, monkeypatch):
    store = disk_store("default")
    real = store.copy

    def meanwhile(stored: backends.Stored, number: int) -> None:
        real(stored, number)
        services.copy_damaged(stored.id, stored.places[0])

    monkeypatch.setattr(store, "copy", meanwhile)
    pace = services.Pace(threading.Event(), 0)
    assert list(services.rebalance(SYSTEM, policy="default", most_bytes=64 * KIB, pace=pace)) == []
    assert all(len(blob.places) + blob.missing == 3 for blob in Blob.objects.all())
    assert on_each()[3] == 0


def test_three_disks_have_all_copies_whatever_their_sizes(alice, box, disks, monkeypatch, capsys):
    for n in range(4):
        alice.put(f"/box/{n}", os.urandom(64 * KIB))
    sizes = {disk.path: (10**12, (n + 1) * 10**12) for n, disk in enumerate(Disk.objects.order_by("pk"))}
    monkeypatch.setattr(directory.Directory, "room", lambda self: sizes[self.path])
    assert "nothing is worth moving" in command(capsys)


def test_a_large_disk_is_planned_no_more_than_one_copy_of_each_blob(full, monkeypatch):
    sizes = {str(full): (10**15, 10**15)}
    monkeypatch.setattr(directory.Directory, "room", lambda self: sizes.get(self.path, (10**12, 10**12)))
    plan = {fill.number: fill.surplus for fill in services.rebalance_plan(SYSTEM, policy="default")}
    assert sorted(plan.values()) == [-12 * 64 * KIB] + [4 * 64 * KIB] * 3
    pace = services.Pace(threading.Event(), 0)
    list(services.rebalance(SYSTEM, policy="default", most_bytes=10**9, pace=pace))
    assert on_each() == [8, 8, 8, 12]
    assert services.rebalance_plan(SYSTEM, policy="default") == []


def test_a_disk_given_up_meanwhile_takes_nothing(full, disks):
    blob = Blob.objects.all()[0]
    assert not balance._moved(blob, blob.places[0], 999)
    blob.refresh_from_db()
    assert len(blob.places) == 3


def test_no_or_less_than_no_bytes_cannot_be_asked_for(full):
    for text in ("0", "-5", "x"):
        with pytest.raises(CommandError):
            call_command("object", "disks", "rebalance", "--mib", text)


def test_only_policies_on_disks_can_be_balanced(full):
    with pytest.raises(CommandError, match="no storage policy 'gold'"):
        call_command("object", "disks", "rebalance", "--policy", "gold")
