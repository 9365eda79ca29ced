"""The object store: durable writes against the bare loop, reads against nginx, listings, memory.

The bare loop does what a write must do and nothing else: as many clients, each in a thread with a connection of its
own, write three files, give them their names, flush them and the folders, and insert one durable row.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

from tests.bench.cloud import Cloud, cpu_seconds, pss_mib
from tests.bench.rows import Row, pids_of

MIB = 2**20
ROUNDS, ROUND_S = 3, 4.0
SIZES = ((1024, "1 KiB"), (MIB, "1 MiB"))
READ_BYTES, READS = 64 * MIB, 60
UPLOADS, UPLOAD_BYTES, SENT_BYTES = 16, 2**30, 128 * MIB
OBJECTS, FOLDERS = 1_000_000, 1000


@dataclass
class Wire:
    """A keep-alive connection that costs the measuring side as little as can be."""

    base: str
    token: str = ""
    buffer: bytearray = field(default_factory=lambda: bytearray(MIB))

    def __post_init__(self) -> None:
        parts = urlsplit(self.base)
        self.host = parts.netloc
        self.socket = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 80), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def head(self, method: str, path: str, length: int) -> bytes:
        return (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\nX-Auth-Token: {self.token}\r\n"
            f"Content-Length: {length}\r\n\r\n"
        ).encode()

    def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, int]:
        """Status, and bytes of the body, which is thrown away."""
        self.socket.sendall(self.head(method, path, len(body)) + body)
        return self.answer()

    def answer(self) -> tuple[int, int]:
        got = b""
        while (end := got.find(b"\r\n\r\n")) < 0:
            piece = self.socket.recv(65536)
            if not piece:
                raise SystemExit("the connection ended before an answer")
            got += piece
        lines = got[:end].decode("latin-1").lower().split("\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith("content-length:")), 0)
        left = length - (len(got) - end - 4)
        while left > 0:
            count = self.socket.recv_into(self.buffer, min(left, len(self.buffer)))
            if not count:
                raise SystemExit("the connection ended in the middle of an answer")
            left -= count
        return int(lines[0].split()[1]), length


@contextmanager
def _container(cloud: Cloud) -> Iterator[tuple[str, str]]:
    """A token and the path of a container, which is removed again with all that is in it."""
    admin = cloud.sign_in("kumo-admin")
    project = admin.need("GET", "/identity/v3/auth/projects")["projects"][0]["id"]
    box = f"/object-store/v1/AUTH_{project}/bench-{uuid.uuid4().hex[:8]}"
    _need(Wire(cloud.base, admin.token).call("PUT", box), 201)
    try:
        yield admin.token, box
    finally:
        _emptied(cloud, box)


def writes(cloud: Cloud) -> Iterator[Row]:
    """Durable writes of many clients, against the bare loop with as many."""
    with _container(cloud) as (token, box):
        for size, shown in SIZES:
            for clients in (8, 32):
                yield _writes(cloud, token, box, size, shown, clients)


def reads(cloud: Cloud) -> Iterator[Row]:
    """One large object, against nginx that serves the same file."""
    with _container(cloud) as (token, box):
        yield _reads(cloud, token, box)


def listings(cloud: Cloud) -> Iterator[Row]:
    """A page of few and of many objects."""
    with _container(cloud) as (token, box):
        yield from _listings(cloud, token, box)


def uploads(cloud: Cloud) -> Iterator[Row]:
    """Memory while many large uploads are under way."""
    with _container(cloud) as (token, box):
        yield _memory(cloud, token, box)


def _need(answer: tuple[int, int], status: int) -> int:
    if answer[0] != status:
        raise SystemExit(f"the object store answers {answer[0]}, {status} was expected")
    return answer[1]


# --- writes ---------------------------------------------------------------------------------------


def _writes(cloud: Cloud, token: str, box: str, size: int, shown: str, clients: int) -> Row:
    """Rounds of ours and of the bare loop in turn, so that both see the same machine."""
    body, ours, bare, cpu = os.urandom(size), [], [], 0.0
    pids = pids_of(cloud, "bytes")
    with _bare(cloud, clients, body) as loops:
        wires = [Wire(cloud.base, token) for _ in range(clients)]

        def put(index: int, number: int) -> None:
            _need(wires[index].call("PUT", f"{box}/{uuid.uuid4().hex}", body), 201)

        _rate(put, clients, 0.5)
        for _ in range(ROUNDS):
            began = cpu_seconds(pids)
            ours.append(_rate(put, clients, ROUND_S))
            cpu += cpu_seconds(pids) - began
            bare.append(_rate(loops, clients, ROUND_S))
    measured, base = statistics.median(ours), statistics.median(bare)
    cost = cpu / (sum(ours) * ROUND_S) * 1000
    return Row(
        f"durable PUT of {shown}, {clients} clients",
        f"{measured:.0f}/s ({cost:.2f} ms CPU of the bytes pool each)",
        f"bare loop {base:.0f}/s",
        f"{measured / base:.2f}",
        "≥ 0.6",
    )


def _rate(act: Callable[[int, int], None], clients: int, seconds: float) -> float:
    """Acts a second of so many threads."""
    counts = [0] * clients
    end = time.monotonic() + seconds

    def run(index: int) -> None:
        while time.monotonic() < end:
            act(index, counts[index])
            counts[index] += 1

    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(run, range(clients)))
    return sum(counts) / (time.monotonic() - began)


@contextmanager
def _bare(cloud: Cloud, clients: int, body: bytes) -> Iterator[Callable[[int, int], None]]:
    """The bare loop on the file system of the store's disks and in the cloud's own PostgreSQL."""
    home = Path(tempfile.mkdtemp(prefix="bench-", dir=cloud.state))
    folders = [home / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    handles = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in folders]
    with cloud.database.cursor() as cursor:
        cursor.execute('CREATE TABLE bench_object (name text COLLATE "C" PRIMARY KEY, bytes bigint, etag text)')
    connections = [_connection(cloud) for _ in range(clients)]

    def write(index: int, number: int) -> None:
        name = uuid.uuid4().hex
        for folder, handle in zip(folders, handles, strict=True):
            file = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
            view = memoryview(body)
            while view:
                view = view[os.write(file, view) :]
            os.link(f"/proc/self/fd/{file}", name, dst_dir_fd=handle, follow_symlinks=True)
            os.fsync(file)
            os.fsync(handle)
            os.close(file)
        with connections[index].cursor() as cursor:
            cursor.execute("INSERT INTO bench_object VALUES (%s, %s, '')", [name, len(body)])

    try:
        yield write
    finally:
        for connection in connections:
            connection.close()
        for handle in handles:
            os.close(handle)
        with cloud.database.cursor() as cursor:
            cursor.execute("DROP TABLE bench_object")
        shutil.rmtree(home)


def _connection(cloud: Cloud) -> psycopg2.extensions.connection:
    made = psycopg2.connect(cloud.database.dsn, password=cloud.database_password)
    made.autocommit = True
    return made


# --- reads ----------------------------------------------------------------------------------------


def _reads(cloud: Cloud, token: str, box: str) -> Row:
    """One large object, against nginx with sendfile on one of its copies; the first of each pair warms the cache."""
    path = f"{box}/large"
    wire = Wire(cloud.base, token)
    _need(wire.call("PUT", path, os.urandom(READ_BYTES)), 201)
    copy = _copy_of(cloud, box, "large")
    ours, bare = [], []
    with _nginx(copy.parent) as base:
        plain = Wire(base)
        for _ in range(READS + 1):
            ours.append(_seconds(wire, path))
            bare.append(_seconds(plain, f"/{copy.name}"))
    measured, base_rate = (READ_BYTES / MIB / statistics.median(times[1:]) for times in (ours, bare))
    verified = dict(cloud.config.get("objectstore", {})).get("verify_reads", True)
    return Row(
        f"GET of 64 MiB, {'verified' if verified else 'check left to the auditor'}",
        f"{measured:.0f} MiB/s",
        f"nginx {base_rate:.0f} MiB/s",
        f"{measured / base_rate:.2f}",
        "≥ 0.4" if verified else "≥ 0.7",
    )


def _seconds(wire: Wire, path: str) -> float:
    began = time.perf_counter()
    if _need(wire.call("GET", path), 200) != READ_BYTES:
        raise SystemExit(f"GET {path} gives other bytes than were written")
    return time.perf_counter() - began


def _copy_of(cloud: Cloud, box: str, name: str) -> Path:
    """The file of an object's first copy."""
    with cloud.database.cursor() as cursor:
        cursor.execute(
            "SELECT d.path, replace(b.id::text, '-', '') FROM objectstore_object o "
            "JOIN objectstore_container c ON c.id = o.container_id JOIN objectstore_blob b ON b.id = o.blob_id "
            "JOIN objectstore_disk d ON d.number = b.places[1] WHERE c.name = %s AND o.name = %s",
            [box.rpartition("/")[2], name],
        )
        ((disk, blob),) = cursor.fetchall()
    return Path(disk) / "blobs" / blob[-3:] / blob


@contextmanager
def _nginx(folder: Path) -> Iterator[str]:
    """An nginx of its own that serves a folder as it does best."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="kumo-bench-") as home:
        configuration = Path(home) / "nginx.conf"
        configuration.write_text(
            f"daemon off; master_process off; user root; pid {home}/pid; error_log stderr;\n"
            "events {}\nhttp { access_log off; sendfile on; "
            f"client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f; "
            f"uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;\n"
            f"server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n"
        )
        process = subprocess.Popen(["nginx", "-e", "stderr", "-p", home, "-c", str(configuration)])
        try:
            end = time.monotonic() + 10
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > end:
                        raise SystemExit("the nginx of the bench did not start") from None
                    time.sleep(0.02)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


# --- listings -------------------------------------------------------------------------------------


def _listings(cloud: Cloud, token: str, box: str) -> Iterator[Row]:
    """The thousand names below a prefix: of a thousand, then of a million."""
    wire = Wire(cloud.base, token)
    for folders in (1, FOLDERS):
        _rows(cloud, box, folders)
        times = []
        for number in range(20):
            prefix = f"folder-{(number * 37) % folders:04d}/"
            began = time.perf_counter()
            _need(wire.call("GET", f"{box}?limit=1000&prefix={prefix}"), 200)
            times.append(time.perf_counter() - began)
        total = folders * OBJECTS // FOLDERS
        took = statistics.median(times) * 1000
        yield Row(f"listing of 1,000 of {total:,} objects", f"{took:.1f} ms", goal="< 30 ms")


def _rows(cloud: Cloud, box: str, folders: int) -> None:
    """Objects without bytes, made in the database: a bench of listing needs none."""
    with cloud.database.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(
            "INSERT INTO objectstore_object (container_id, name, bytes, etag, content_type, metadata, created_at) "
            "SELECT c.id, 'folder-' || lpad((n / 1000)::text, 4, '0') || '/object-' || lpad(n::text, 7, '0'), 0, "
            "md5(n::text), 'text/plain', '{}', now() "
            "FROM objectstore_container c, generate_series(0, %s) n WHERE c.name = %s ON CONFLICT DO NOTHING",
            [folders * 1000 - 1, box.rpartition("/")[2]],
        )
        cursor.execute("ANALYZE objectstore_object")


# --- memory ---------------------------------------------------------------------------------------


def _memory(cloud: Cloud, token: str, box: str) -> Row:
    """Uploads that are all under way at once; each is broken off when it has sent its part, and leaves nothing."""
    pids = pids_of(cloud, "bytes")
    before = sum(map(pss_mib, pids))
    piece, peak = os.urandom(MIB), before
    done, go_on = threading.Barrier(UPLOADS + 1), threading.Event()

    def upload(number: int) -> None:
        wire = Wire(cloud.base, token)
        wire.socket.sendall(wire.head("PUT", f"{box}/upload-{number}", UPLOAD_BYTES))
        for _ in range(SENT_BYTES // MIB):
            wire.socket.sendall(piece)
        done.wait()
        go_on.wait()
        wire.socket.close()

    with ThreadPoolExecutor(UPLOADS) as pool:
        running = [pool.submit(upload, number) for number in range(UPLOADS)]
        try:
            while done.n_waiting < UPLOADS:
                peak = max(peak, sum(map(pss_mib, pids)))
                if failed := [one for one in running if one.done()]:
                    failed[0].result()
                time.sleep(0.2)
            done.wait()
            peak = max(peak, sum(map(pss_mib, pids)))
        finally:  # the pool waits for all of them, however this ends
            done.abort()
            go_on.set()
    return Row(
        f"memory of the bytes pool during {UPLOADS} uploads of 1 GiB, {SENT_BYTES // MIB} MiB of each in",
        f"{peak:.0f} MiB",
        f"idle {before:.0f} MiB",
        f"{peak / before:.1f}",
        "< 300 MB",
    )


def _emptied(cloud: Cloud, box: str) -> None:
    """Rows go at once, bytes by the collector."""
    name = box.rpartition("/")[2]
    with cloud.database.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SELECT id FROM objectstore_container WHERE name = %s", [name])
        ((container,),) = cursor.fetchall()
        cursor.execute(
            "UPDATE objectstore_blob SET unused_since = now() - interval '30 days' WHERE id IN "
            "(SELECT blob_id FROM objectstore_object WHERE container_id = %s)",
            [container],
        )
        cursor.execute("DELETE FROM objectstore_object WHERE container_id = %s", [container])
        cursor.execute(
            "INSERT INTO objectstore_delta (account_id, container_id, objects_change, bytes_change) "
            "SELECT c.account_id, c.id, -c.base_objects - coalesce(sum(d.objects_change), 0), "
            "-c.base_bytes - coalesce(sum(d.bytes_change), 0) FROM objectstore_container c "
            "LEFT JOIN objectstore_delta d ON d.container_id = c.id WHERE c.id = %s GROUP BY c.id",
            [container],
        )
    _need(Wire(cloud.base, cloud.sign_in("kumo-admin").token).call("DELETE", box), 204)
