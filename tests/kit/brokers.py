"""Brokers and workers of their own for tests: Redis with ACLs or RabbitMQ, a control worker and a host worker.

Everything lives in one temporary directory on free ports, dies with the test, and can be killed by name of role.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

CHECKOUT = Path(__file__).resolve().parents[2]
PASSWORD = secrets.token_urlsafe(24)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], within_s: float, what: Callable[[], str] | str) -> None:
    """Look until something holds."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, f"not within {within_s} s: {what() if callable(what) else what}"
        time.sleep(0.02)


@dataclass
class Process:
    """A program in its own process group, with its output in a file."""

    words: list[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    running: subprocess.Popen[bytes] | None = None
    stream: IO[bytes] | None = None

    def start(self) -> None:
        self.stream = self.log.open("ab")
        self.running = subprocess.Popen(
            self.words,
            cwd=CHECKOUT,
            env={**os.environ, **self.environment},
            stdout=self.stream,
            stderr=self.stream,
            start_new_session=True,
        )

    def kill(self) -> None:
        """As `kill -9` does, with all children."""
        if self.running is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait()
            self.running = None
        if self.stream is not None:
            self.stream.close()

    def restart(self) -> None:
        self.kill()
        self.start()

    def end(self, within_s: float = 20) -> int:
        """Ask it to end; returns the exit code."""
        assert self.running is not None
        self.running.terminate()
        code = self.running.wait(within_s)
        self.running = None
        return code


@dataclass
class Broker:
    """A running broker and how to reach it."""

    url: str
    process: Process
    management_url: str = ""


@contextlib.contextmanager
def redis(directory: Path) -> Iterator[Broker]:
    """Redis with the user `control` and no default user."""
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    acl = directory / "users.acl"
    acl.write_text(f"user default off\nuser control on >{PASSWORD} ~* &* +@all\n")
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
    process = Process([*words, "--aclfile", str(acl)], directory / "redis.log")
    process.start()
    try:
        until(lambda: answers(port), 60, "redis")
        yield Broker(f"redis://127.0.0.1:{port}/0", process)
    finally:
        process.kill()


@contextlib.contextmanager
def rabbitmq(directory: Path) -> Iterator[Broker]:
    """RabbitMQ with the management API and the user `control`."""
    port, management, distribution, mapper_port = free_port(), free_port(), free_port(), free_port()
    directory.mkdir(parents=True, exist_ok=True)
    node = f"kumo-test-{os.getpid()}@localhost"
    (directory / "enabled_plugins").write_text("[rabbitmq_management].\n")
    salted = _rabbit_hash(PASSWORD)
    user = {"name": "control", "password_hash": salted, "tags": "administrator",
            "hashing_algorithm": "rabbit_password_hashing_sha256"}  # fmt: skip
    rights = {"user": "control", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    definitions = {"users": [user], "vhosts": [{"name": "/"}], "permissions": [rights]}
    (directory / "definitions.json").write_text(json.dumps(definitions))
    (directory / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n"
        f"load_definitions = {directory}/definitions.json\nlog.console = true\n"
    )
    environment = {
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_BASE": str(directory),
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_DIST_PORT": str(distribution),
        "ERL_EPMD_PORT": str(mapper_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false",
        "HOME": str(directory),
    }
    os.chmod(directory, 0o777)  # the package's script changes to the user rabbitmq
    # Erlang's port mapper would detach itself and outlive the test; this one stays in our hands.
    mapper = Process(["epmd", "-port", str(mapper_port), "-address", "127.0.0.1"], directory / "epmd.log")
    mapper.start()
    process = Process([_rabbit_program()], directory / "rabbitmq.log", environment)
    process.start()
    url = f"http://127.0.0.1:{management}"
    try:
        until(lambda: _rabbit_is_up(url), 90, "rabbitmq")
        yield Broker(f"amqp://127.0.0.1:{port}//", process, url)
    finally:
        process.kill()
        mapper.kill()
        shutil.rmtree(directory, ignore_errors=True)


def _rabbit_program() -> str:
    """The server itself rather than the package's wrapper, which would change the user."""
    return next(str(path) for path in sorted(Path("/usr/lib/rabbitmq/lib").glob("*/sbin/rabbitmq-server")))


def _rabbit_hash(password: str) -> str:
    import hashlib

    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _rabbit_is_up(url: str) -> bool:
    login = base64.b64encode(f"control:{PASSWORD}".encode()).decode()
    request = urllib.request.Request(f"{url}/api/whoami", headers={"Authorization": f"Basic {login}"})
    try:
        urllib.request.urlopen(request, timeout=2).close()
    except OSError:
        return False
    return True


def answers(port: int) -> bool:
    """Does somebody listen there?"""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def python(module: str, *arguments: str) -> list[str]:
    """Words that run a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]
