"""No acknowledged object is ever lost, none that was not acknowledged is ever half there: through kills of the server,
a disk that vanishes, one that is full, one that becomes read-only, and bytes that flip."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import subprocess
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from apps.core.context import RequestContext
from apps.objectstore import backends, reconcile, services
from apps.objectstore.models import Blob, Object
from tests.kit.served import Server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.kill]

SYSTEM = RequestContext(is_system=True)
MIB = 2**20
WRITERS = 6
EACH = 40  # objects of one writer between two faults
BOX = "/object-store/v1/AUTH_alice/box"
DISK_MIB = 400


@pytest.fixture
def disks(transactional_db: None, tmp_path: Path) -> Iterator[list[Path]]:
    """Three file systems in memory, each with a disk directory."""
    backends.store.cache_clear()
    mounts = [tmp_path / f"device{n}" for n in (1, 2, 3)]
    for mount in mounts:
        mount.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", mount], check=True)
    try:
        for mount in mounts:
            (mount / "disk").mkdir()
            services.disk_add(SYSTEM, path=str(mount / "disk"))
        yield [mount / "disk" for mount in mounts]
    finally:
        for mount in mounts:
            subprocess.run(["umount", "-l", mount], check=True)


@pytest.fixture
def server(disks: list[Path], tmp_path: Path) -> Iterator[Server]:
    made = Server(connection.settings_dict["NAME"], tmp_path / "state")
    made.start()
    assert made("PUT", BOX)[0] == 201
    yield made
    made.kill()


class Writers:
    """Clients that write for as long as they are let, and know what was acknowledged.

    A name belongs to one writer, which puts it again and again: the newest acknowledged body must be there, or one
    that was sent after it and never answered.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.acknowledged: dict[str, str] = {}  # name → MD5
        self.unanswered: dict[str, set[str]] = defaultdict(set)  # sent since, without an answer
        self.refused = 0

    def round(self, fault: threading.Event) -> threading.Thread:
        """Let all write their share; the fault comes when half is done. Returns the thread to be joined."""
        done = threading.Barrier(WRITERS + 1)
        half = threading.Semaphore(0)
        for writer in range(WRITERS):
            threading.Thread(target=self._write, args=(writer, half, done), daemon=True).start()

        def conduct() -> None:
            for _ in range(WRITERS * EACH // 2):
                half.acquire()
            fault.set()
            done.wait()

        thread = threading.Thread(target=conduct, daemon=True)
        thread.start()
        return thread

    def _write(self, writer: int, half: threading.Semaphore, done: threading.Barrier) -> None:
        chance = random.Random()
        for _ in range(EACH):
            name = f"{writer}/{chance.randrange(12)}"
            body = os.urandom(chance.choice((1, 1000, 100_000, MIB + 5)))
            digest = hashlib.md5(body).hexdigest()
            try:
                status, _, _ = self.server("PUT", f"{BOX}/{name}", body)
            except OSError:
                self.unanswered[name].add(digest)
            else:
                if status == 201:
                    self.acknowledged[name] = digest
                    self.unanswered.pop(name, None)
                else:
                    assert status in {500, 503, 507}, status
                    self.refused += 1
                    if status == 500:
                        self.unanswered[name].add(digest)
            half.release()
        done.wait()

    def verify(self) -> int:
        """Read everything; returns how many objects were right."""
        status, _, body = self.server("GET", f"{BOX}?limit=10000")
        assert status in {200, 204}
        listed = set(body.decode().split())
        assert set(self.acknowledged) <= listed, "acknowledged and not listed"
        assert listed <= set(self.acknowledged) | set(self.unanswered), "listed and never sent"
        for name in listed:
            status, headers, body = self.server("GET", f"{BOX}/{name}")
            assert status == 200, (name, status)
            digest = hashlib.md5(body).hexdigest()
            assert digest == headers["etag"], name
            allowed = self.unanswered.get(name, set()) | {self.acknowledged.get(name, "")}
            assert digest in allowed, f"{name} is an older one"
        return len(listed)


def test_nothing_acknowledged_is_lost(server: Server, disks: list[Path]) -> None:
    writers = Writers(server)
    away = disks[0].with_name("away")
    full = disks[1].parent / "ballast"

    def kill() -> None:
        server.kill()
        server.start()

    def fill() -> None:
        with full.open("wb") as file, contextlib.suppress(OSError):  # until there is no space
            while True:
                file.write(bytes(MIB))

    faults = [
        (kill, lambda: None),
        (lambda: disks[0].rename(away), lambda: away.rename(disks[0])),
        (fill, full.unlink),
        (lambda: _remount(disks[2], "ro"), lambda: _remount(disks[2], "rw")),
        (lambda: _flip(disks[1]), lambda: None),
        (kill, lambda: None),
    ]
    checked = 0
    for fault, mend in faults:
        now = threading.Event()
        round_ = writers.round(now)
        assert now.wait(120)
        fault()
        round_.join(120)
        assert not round_.is_alive()
        checked += writers.verify()
        mend()
        server("GET", "/object-store/healthcheck")
    backends.store.cache_clear()
    assert reconcile.mend(threading.Event()) == []
    pace = services.Pace(threading.Event(), 0)
    services.copies_audit(SYSTEM, policy="default", pace=pace, blobs=10_000)
    assert reconcile.mend(threading.Event()) == []
    assert list(services.account_verify(SYSTEM, account="alice", pace=pace)) == []
    assert set(Blob.objects.filter(unused_since=None).values_list("missing", flat=True)) == {0}
    assert Blob.objects.filter(unused_since=None).count() == Object.objects.count() == len(writers.acknowledged)
    print(
        f"{WRITERS * EACH * len(faults)} writes, {writers.refused} refused, {len(faults)} faults, {checked} read back"
    )


def _remount(disk: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", disk.parent], check=True)


def _flip(disk: Path) -> None:
    """One wrong byte in every copy of a disk."""
    for path in (disk / "blobs").rglob("*"):
        if path.is_file() and (size := path.stat().st_size):
            with path.open("r+b") as file:
                at = random.randrange(size)
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ 0xFF]))
