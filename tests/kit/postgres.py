"""A PostgreSQL of a test's own with the test database's tables, which keeps its promises and can be killed.

The one that tests share need not survive anything; here fsync and synchronous_commit are on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import psycopg2

from scripts.local.postgres import program

WAIT_S = 120
DROP = ("setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups")


class Postgres:
    """A cluster in a directory that user postgres can reach."""

    def __init__(self, data: Path, database: str) -> None:
        self.data, self.database = data, database
        self.log = data.with_name(f"{data.name}.log")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def make(self, host: str, port: str) -> None:
        """Make the cluster with the tables of the database of the same name there, and stop it again."""
        self.data.mkdir(mode=0o700)
        shutil.chown(self.data, "postgres", "postgres")
        initdb = ("-D", self.data, "-U", "kumo", "--auth=trust", "--locale=C.UTF-8", "--encoding=UTF8")
        _as_postgres(program("initdb"), *initdb)
        dump = (program("pg_dump"), "-h", host, "-p", port, "-U", "kumo", "--schema-only", self.database)
        tables = subprocess.run(dump, check=True, stdout=subprocess.PIPE, timeout=WAIT_S).stdout
        self.start()
        try:
            here = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "kumo")
            _as_postgres(program("createdb"), *here, self.database)
            words = ("psql", "-qX", "-v", "ON_ERROR_STOP=1", *here, self.database)
            subprocess.run(words, input=tables, check=True, stdout=subprocess.DEVNULL, timeout=WAIT_S)
        finally:
            self.stop()

    def start(self) -> None:
        """Start it and wait until it takes connections; after a kill it recovers first.

        Like a supervisor it starts one that ended once more: a session that a killed one had only just begun may
        hold its memory for a moment.
        """
        end = time.monotonic() + WAIT_S
        while True:
            if self._process is None or self._process.poll() is not None:
                self._process = self._run()
            try:
                psycopg2.connect(host="127.0.0.1", port=self.port, user="kumo", dbname="postgres").close()
                return
            except psycopg2.OperationalError as error:
                if time.monotonic() > end:
                    raise AssertionError(self.log.read_text()[-2000:]) from error
                time.sleep(0.05)

    def _run(self) -> subprocess.Popen[bytes]:
        settings = {
            "dynamic_shared_memory_type": "mmap",
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        words: list[str | Path] = [*DROP, program("postgres"), "-D", self.data, *options]
        with self.log.open("ab") as log:
            return subprocess.Popen(words, cwd="/", stdout=log, stderr=log)

    def stop(self) -> None:
        _as_postgres(program("pg_ctl"), "-D", self.data, "-m", "fast", "-w", "stop")
        if self._process is not None:
            self._process.wait(WAIT_S)

    def kill(self) -> None:
        """End all its processes without a word; harmless where it does not run."""
        if self._process is None or self._process.poll() is not None:
            return
        first = self._process.pid
        pids = [first, *_children(first)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        end = time.monotonic() + WAIT_S
        while any(map(_lives, pids)):
            assert time.monotonic() < end, "PostgreSQL's processes do not end"
            time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    found.append(int(entry.name))
    return found


def _as_postgres(*words: str | Path) -> None:
    subprocess.run([*DROP, *words], check=True, cwd="/", stdout=subprocess.DEVNULL, timeout=WAIT_S)
