"""The object store as real processes: a server on a port of its own, over the test's database and disks."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    from tests.kit.front import Front

CHECKOUT = Path(__file__).resolve().parents[2]
START_S = 60


class Server:
    """One server; it can be killed and started again at the same address, that of nginx where one is before it."""

    def __init__(self, database: str, state: Path, postgres: str = "", front: Front | None = None) -> None:
        self.state, self.front = state, front
        self.state.mkdir(exist_ok=True)
        # What is sealed in the test's database is opened with the test's own key.
        shutil.copytree(settings.CONFIG.secrets, self.state / "secrets", dirs_exist_ok=True)
        self.host, self.port = front.address if front else ("127.0.0.1", _free_port())
        self._environment = (
            os.environ
            | {
                "DJANGO_SETTINGS_MODULE": "tests.kit.served_settings",
                "KUMO_TEST_DB": database,
                "KUMO_TEST_STATE": str(state),
            }
            | ({"KUMO_TEST_PG": postgres} if postgres else {})
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        if self.front:
            self.front.socket.unlink(missing_ok=True)
            where = ("--uds", str(self.front.socket), "--uds-permissions", "0o660")
        else:
            where = ("--host", self.host, "--port", str(self.port))
        more = ("--workers", "1", "--blocking-threads", "16", "--no-ws", "cloud.wsgi:application")
        with (self.state / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("granian"), "--interface", "wsgi", *where, *more],
                cwd=CHECKOUT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        give_up = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise AssertionError(f"the server did not start: {(self.state / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End all its processes as a loss of power would, without a word."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def cut_off(self, method: str, path: str, body: bytes, sent: int, *, token: str = "alice") -> None:
        """Announce a body, send only the first part of it, and go away. Raises OSError."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: there\r\nX-Auth-Token: {token}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with self.connect() as line:
            line.sendall(head.encode() + body[:sent])

    def connect(self) -> socket.socket:
        """A connection to say whatever one likes. Raises OSError."""
        return socket.create_connection((self.host, self.port), timeout=60)

    def _answers(self) -> bool:
        try:
            return self("GET", "/object-store/healthcheck", token="")[0] == 200
        except OSError:
            return False

    def __call__(
        self, method: str, path: str, body: bytes = b"", *, token: str = "alice", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own: status, headers, body."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            named |= {"X-Auth-Token": token} if token else {}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NamedAuthentication:
    """Takes a token for the name of a project, of which the caller is a member."""

    def authenticate(self, request: Any) -> Any:
        from tests.kit.http import context

        token = request.META.get("HTTP_X_AUTH_TOKEN", "")
        return (context(token), None) if token else None
