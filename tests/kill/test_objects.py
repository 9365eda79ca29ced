"""No acknowledged object is ever lost, none that was not acknowledged is ever half there: through kills of the server,
of PostgreSQL and of nginx, a disk that vanishes, one that is full, one that becomes read-only, bytes that flip, and
clients that go away in the middle, or linger."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import socket
import subprocess
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import psycopg2.extras
import pytest
from django.db import connection

from apps.core.context import RequestContext
from apps.objectstore import backends, reconcile, services
from apps.objectstore.models import Blob, Disk, Object
from tests.kit.copies import copy_at, ids_on
from tests.kit.front import Front
from tests.kit.postgres import Postgres
from tests.kit.served import Server
from tests.kit.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.kill]

SYSTEM = RequestContext(is_system=True)
MIB = 2**20
WRITERS = 6
EACH = 40  # objects of one writer between two faults
MANY = 100  # writers while a disk vanishes
CUT = 0.1  # share of the writes whose client goes away in the middle
BOX = "/object-store/v1/AUTH_alice/box"
DISK_MIB = 800
KILLS = 3  # of PostgreSQL
HALL = "/object-store/v1/AUTH_alice/hall"  # for those who read and linger
MANY_AT_ONCE = 30
LARGE = 24 * MIB
LINGER_S = 40  # nginx waits 30 s for the next byte of a body, and as long for one to be taken


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


@pytest.fixture
def front() -> Iterator[Front]:
    """nginx, with one pool in the place of both."""
    made = Front()
    made.socket.with_name("web.sock").symlink_to(made.socket.name)
    made.start()
    yield made
    made.close()


@pytest.fixture
def side(front: Front) -> Iterator[Front]:
    """Another nginx before the same pool, which no fault concerns."""
    made = Front()
    made.socket.symlink_to(front.socket)
    made.start()
    yield made
    made.close()


class Writers:
    """Clients that write for as long as they are let, and know what was acknowledged.

    A name belongs to one writer, which puts it again and again: the newest acknowledged body must be there, or one
    that was sent after it and never answered.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.acknowledged: dict[str, str] = {}  # name → MD5
        self.unanswered: dict[str, set[str]] = defaultdict(set)  # sent since, without an answer
        self.sent = self.refused = self.failed = self.cut = 0

    def round(self, fault: threading.Event, writers: int = WRITERS, each: int = EACH) -> threading.Thread:
        """Let all write their share; the fault comes when half is done. Returns the thread to be joined."""
        done = threading.Barrier(writers + 1)
        half = threading.Semaphore(0)
        for writer in range(writers):
            threading.Thread(target=self._write, args=(writer, each, half, done), daemon=True).start()
        self.sent += writers * each

        def conduct() -> None:
            for _ in range(writers * each // 2):
                half.acquire()
            fault.set()
            done.wait()

        thread = threading.Thread(target=conduct, daemon=True)
        thread.start()
        return thread

    def _write(self, writer: int, each: int, half: threading.Semaphore, done: threading.Barrier) -> None:
        chance = random.Random()
        for _ in range(each):
            name = f"{writer}/{chance.randrange(12)}"
            body = os.urandom(chance.choice((1, 1000, 100_000, MIB + 5)))
            if chance.random() < CUT:
                with contextlib.suppress(OSError):
                    self.server.cut_off("PUT", f"{BOX}/{name}", body, chance.randrange(len(body)))
                self.cut += 1
                half.release()
                continue
            digest = hashlib.md5(body).hexdigest()
            try:
                status, _, _ = self.server("PUT", f"{BOX}/{name}", body)
            except OSError:
                self.failed += 1
                self.unanswered[name].add(digest)
            else:
                if status == 201:
                    self.acknowledged[name] = digest
                    self.unanswered.pop(name, None)
                else:
                    assert status in {500, 502, 503, 507}, status
                    self.refused += 1
                    if status != 507:  # it may have been committed
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


class Readers:
    """Clients that read an object again and again, some of them only the beginning of it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.whole = self.failed = self.cut = 0
        self._wrong: list[object] = []
        self._end = threading.Event()
        self._body = os.urandom(LARGE)

    def __enter__(self) -> Readers:
        assert self.server("PUT", f"{HALL}/large", self._body)[0] == 201
        self._threads = [threading.Thread(target=job, daemon=True) for job in (self._read, self._cut)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(60)
        assert not self._wrong

    def _read(self) -> None:
        while not self._end.wait(0.3):
            try:
                status, _, body = self.server("GET", f"{HALL}/large")
            except OSError:
                self.failed += 1
                continue
            if status == 200 and body == self._body:
                self.whole += 1
            elif status in {502, 503}:
                self.failed += 1
            else:
                self._wrong.append((status, len(body)))

    def _cut(self) -> None:
        while not self._end.wait(0.3):
            with contextlib.suppress(OSError), self.server.connect() as line:
                line.sendall(_head("GET", f"{HALL}/large"))
                line.recv(100_000)
                self.cut += 1


class Lingering:
    """Clients that send or take nothing, or a byte a second, in each way that might hold up all others."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._drip, daemon=True)

    def __enter__(self) -> Lingering:
        short, long = f"Content-Length: {100_000}\r\n", f"Content-Length: {2 * MIB}\r\n"
        self._heads = [self._begun(b"PUT / HTTP/1.1\r\nHost: there\r\nX-A: ") for _ in range(MANY_AT_ONCE)]
        self._bodies = [self._begun(_head("PUT", f"{HALL}/drip{n}", short) + b"1") for n in range(MANY_AT_ONCE)]
        # These hold a thread of the server each until their time is over.
        self._idle = [self._begun(_head("PUT", f"{HALL}/idle{n}", long) + b"1") for n in range(4)]
        self._idle += [self._begun(_head("GET", f"{HALL}/large")) for _ in range(4)]
        self._thread.start()
        return self

    def _begun(self, start: bytes) -> socket.socket:
        line = socket.create_connection(self.front.address, timeout=LINGER_S)
        line.sendall(start)
        return line

    def _drip(self) -> None:
        while not self._end.wait(1):
            for line in self._heads + self._bodies:
                with contextlib.suppress(OSError):
                    line.send(b"1")

    def turned_out(self) -> None:
        """Wait until nginx has ended all but those that hold up nobody. Raises TimeoutError."""
        until(lambda: len(self._ended("PUT", 408)) == MANY_AT_ONCE + 4 and len(self._ended("GET", 200)) == 4, LINGER_S)
        assert max(self._ended("GET", 200)) < LARGE

    def _ended(self, method: str, status: int) -> list[int]:
        """How much was sent in answer to each request of a kind that nginx is done with."""
        lines = (
            line.partition(f'"{method} ')[2].partition(f'" {status} ')[2] for line in self.front.log().splitlines()
        )
        return [int(line.split()[0]) for line in lines if line]

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        self._thread.join()
        for line in self._heads + self._bodies + self._idle:
            line.close()


def _head(method: str, path: str, more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: there\r\nX-Auth-Token: alice\r\n{more}\r\n".encode()


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
        (lambda: _read_only(disks[2]), lambda: subprocess.run(["umount", "-l", disks[2].parent], check=True)),
        (lambda: _flip(disks[1]), lambda: None),
        (kill, lambda: None),
    ]
    checked = 0
    for number, (fault, mend) in enumerate(faults):
        checked += _through(writers, fault, *((MANY, 4) if number == 1 else (WRITERS, EACH)))
        mend()
        server("GET", "/object-store/healthcheck")
    _all_is_well(writers)
    _tell(writers, len(faults), checked)


def test_nothing_acknowledged_is_lost_behind_nginx(
    disks: list[Path], front: Front, side: Front, tmp_path: Path
) -> None:
    server = Server(connection.settings_dict["NAME"], tmp_path / "state", front=front)

    def restart() -> None:
        server.kill()
        server.start()

    def end_nginx() -> None:
        front.kill()
        front.start()

    def end_worker() -> None:
        os.kill(front.workers()[0], signal.SIGKILL)

    server.start()
    try:
        assert server("PUT", BOX)[0] == server("PUT", HALL)[0] == 201
        writers = Writers(server)
        with Readers(server) as readers:
            checked = _through(writers, restart, MANY_AT_ONCE, 4)
            with Lingering(side) as lingering:
                for fault in (end_nginx, end_worker):
                    checked += _through(writers, fault, MANY_AT_ONCE, 4)
                failures = writers.refused, writers.failed, readers.failed
                checked += _through(writers, front.reload, MANY_AT_ONCE, 4)
                assert (writers.refused, writers.failed, readers.failed) == failures, "a reload is no fault"
                lingering.turned_out()
        assert readers.whole
        assert server("GET", HALL)[2].split() == [b"large"]
        _all_is_well(writers, more=1)
        _tell(writers, 3, checked)
        print(f"{readers.whole} downloads whole, {readers.failed} failed, {readers.cut} cut off by their clients")
    finally:
        server.kill()


def _all_is_well(writers: Writers, more: int = 0) -> None:
    """After mending every copy is good, and there are blobs of the objects that are there and no others."""
    backends.store.cache_clear()
    assert reconcile.mend(threading.Event()) == []
    pace = services.Pace(threading.Event(), 0)
    services.copies_audit(SYSTEM, policy="default", pace=pace, blobs=10_000)
    assert reconcile.mend(threading.Event()) == []
    assert list(services.account_verify(SYSTEM, account="alice", pace=pace)) == []
    assert set(Blob.objects.filter(unused_since=None).values_list("missing", flat=True)) == {0}
    assert Blob.objects.filter(unused_since=None).count() == Object.objects.count() == writers.verify() + more


def test_a_killed_database_loses_nothing(disks: list[Path], tmp_path: Path) -> None:
    there = connection.settings_dict
    # A kill loses nothing of what the system holds, so memory is disk enough, and quick to recover from.
    with tempfile.TemporaryDirectory(prefix="kumo-kill-", dir="/dev/shm") as name:
        home = Path(name)
        home.chmod(0o755)
        postgres = Postgres(home / "data", str(there["NAME"]))
        postgres.make(str(there["HOST"]), str(there["PORT"]))
        postgres.start()
        server = Server(postgres.database, tmp_path / "state", postgres.address)
        server.start()
        try:
            _told_of(disks, postgres)
            assert server("PUT", BOX)[0] == 201
            writers, checked = Writers(server), 0

            def kill() -> None:
                postgres.kill()
                postgres.start()

            for _ in range(KILLS):
                checked += _through(writers, kill)
            _tell(writers, KILLS, checked)
        finally:
            server.kill()
            postgres.kill()


def _told_of(disks: list[Path], postgres: Postgres) -> None:
    """Let another database know the disks that this one knows."""
    rows = [(d.number, d.policy, d.path, d.identity, d.machine, d.state) for d in Disk.objects.all()]
    assert len(rows) == len(disks)
    with psycopg2.connect(host="127.0.0.1", port=postgres.port, user="kumo", dbname=postgres.database) as other:
        psycopg2.extras.register_uuid()
        sql = "INSERT INTO objectstore_disk (number, policy, path, identity, machine, state) VALUES (%s,%s,%s,%s,%s,%s)"
        with other.cursor() as cursor:
            cursor.executemany(sql, rows)
    other.close()


def _through(writers: Writers, fault: Callable[[], object], count: int = WRITERS, each: int = EACH) -> int:
    """Let all write, with a fault in the middle, and read everything; how many objects were right."""
    now = threading.Event()
    round_ = writers.round(now, count, each)
    assert now.wait(120)
    fault()
    round_.join(120)
    assert not round_.is_alive()
    return writers.verify()


def _tell(writers: Writers, faults: int, checked: int) -> None:
    print(
        f"{writers.sent} writes, {writers.refused} refused, {writers.cut} cut off, {faults} faults, "
        f"{checked} read back, 0 of {len(writers.acknowledged)} lost"
    )


def _read_only(disk: Path) -> None:
    """Whoever opens a file of the disk from now on finds it read-only; remounting it would need all to let go."""
    mount = disk.parent
    subprocess.run(["mount", "--bind", mount, mount], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", mount], check=True)


def _flip(disk: Path) -> None:
    """One wrong byte in every copy of a disk."""
    for blob_id in ids_on(disk):
        copy = copy_at(disk, blob_id)
        copy.flip(random.randrange(copy.size))
