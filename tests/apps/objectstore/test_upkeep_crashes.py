"""Upkeep that ends at any of its lines, as by `kill -9`: nothing is lost then, and the next rounds put all in order."""

from __future__ import annotations

import datetime
import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from apps.objectstore import reconcile, services
from apps.objectstore.models import Blob, Disk
from apps.objectstore.services import balance, upkeep
from tests.apps.objectstore.conftest import SYSTEM, Swift
from tests.kit.copies import ids_on

pytestmark = pytest.mark.slow

TRACED = tuple(f"apps/objectstore/services/{name}.py" for name in ("upkeep", "balance", "disks"))
OBJECTS = 4
SIZE = 20_000
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class Crash(BaseException):
    """The process ends here."""


class Crashes:
    """Ends what is run at the first line that it has not ended at before."""

    def __init__(self) -> None:
        self.lines: set[tuple[str, int]] = set()

    def end(self, what: Callable[[], object]) -> bool:
        """Whether there was such a line; else it ran to its end."""
        before = sys.gettrace()
        sys.settrace(self._trace)
        try:
            what()
        except Crash:
            return True
        finally:
            sys.settrace(before)
        return False

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.endswith(TRACED):
            return None
        line = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and line not in self.lines:
            self.lines.add(line)
            raise Crash
        return self._trace


class Store:
    """Four disks, the last of them empty at first, and what alice keeps on them."""

    def __init__(self, alice: Swift, disks: list[Path]) -> None:
        self.alice, self.disks = alice, disks
        self.bodies = {f"/box/{n}": os.urandom(SIZE) for n in range(OBJECTS)}
        for name, body in self.bodies.items():
            alice.put(name, body)
        path = disks[0].with_name("disk4")
        path.mkdir()
        self.disks.append(path)
        self.fourth, _ = services.disk_add(SYSTEM, path=str(path))

    def copies(self) -> set[tuple[str, int]]:
        """Blob and disk of each copy that is there."""
        numbers = dict(Disk.objects.values_list("path", "pk"))
        return {(blob_id.hex, numbers.get(str(disk), 0)) for disk in self.disks for blob_id in ids_on(disk)}

    def is_whole(self) -> None:
        for name, body in self.bodies.items():
            assert self.alice.bytes(name) == body

    def is_in_order(self) -> None:
        """Everything can be read at once; and after the rounds that follow there are three copies of each blob, those
        that its row names, and no others."""
        self.is_whole()
        reconcile.mend(threading.Event())
        Blob.objects.exclude(unused_since=None).update(unused_since=LONG_AGO)
        services.unused_remove(SYSTEM)
        list(reconcile.sweep())
        reconcile.mend(threading.Event())
        blobs = list(Blob.objects.all())
        assert [(len(blob.places), blob.missing) for blob in blobs] == [(3, 0)] * OBJECTS
        assert self.copies() == {(blob.pk.hex, place) for blob in blobs for place in blob.places}


@pytest.fixture
def store(alice: Swift, box: str, disks: list[Path], monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(balance, "LEAST_BYTES", 1)
    monkeypatch.setattr(upkeep, "grace", lambda: datetime.timedelta(seconds=-60))
    return Store(alice, disks)


def lacking(store: Store) -> None:
    """A copy of each blob was found bad, and the first disk is to be emptied."""
    on_three(store)
    second, first = Disk.objects.order_by("-pk")[2:]
    for blob in Blob.objects.filter(unused_since=None):
        services.copy_damaged(blob.pk, second.pk)
    services.disk_drain(SYSTEM, number=first.pk)


def on_three(store: Store) -> None:
    """The fourth disk is empty, and the others have all."""
    Disk.objects.update(state="active")
    services.disk_drain(SYSTEM, number=store.fourth.pk)
    reconcile.mend(threading.Event())
    services.disk_activate(SYSTEM, number=store.fourth.pk)
    assert not Blob.objects.filter(places__contains=[store.fourth.pk]).exists()


def given_up(store: Store) -> None:
    """What was there is replaced, and its grace time is over."""
    for name in store.bodies:
        store.bodies[name] = os.urandom(SIZE)
        store.alice.put(name, store.bodies[name])
    Blob.objects.exclude(unused_since=None).update(unused_since=LONG_AGO)


def mend(store: Store) -> None:
    reconcile.mend(threading.Event())


def rebalance(store: Store) -> None:
    pace = services.Pace(threading.Event(), 0)
    assert list(services.rebalance(SYSTEM, policy="default", most_bytes=10**9, pace=pace))


def unused(store: Store) -> None:
    services.unused_remove(SYSTEM)


CASES = [(lacking, mend), (on_three, rebalance), (given_up, unused)]


@pytest.mark.parametrize(("arrange", "act"), CASES, ids=lambda step: step.__name__)
def test_no_crash_loses_anything(store: Store, arrange: Callable[[Store], None], act: Callable[[Store], None]) -> None:
    crashes = Crashes()
    arrange(store)
    while crashes.end(partial(act, store)):
        store.is_in_order()
        arrange(store)
    assert len(crashes.lines) > 15
    store.is_in_order()


def test_giving_up_a_disk_can_be_done_again_after_a_crash(store: Store) -> None:
    crashes, number = Crashes(), store.fourth.pk
    while crashes.end(partial(services.disk_lost, SYSTEM, number=number)):
        store.is_whole()
        if not Disk.objects.filter(pk=number).exists():
            break
    assert len(crashes.lines) > 5
    store.is_in_order()
