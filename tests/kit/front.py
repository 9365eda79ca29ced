"""nginx before a server of the tests, with the configuration that the quickstart writes."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from apps.hosts.services import server_certificate
from scripts.local import nginx, view
from scripts.local.site import Site
from tests.kit.waiting import until

START_S = 60


class Front:
    """One nginx at an address of its own; it can be killed, started again, and told to read its configuration anew."""

    def __init__(self) -> None:
        # Its workers are another user's: they have to get at the socket.
        state = Path(tempfile.mkdtemp(prefix="kumo-front-", dir="/tmp"))
        state.chmod(0o755)
        network = ipaddress.IPv4Network(f"127.213.{secrets.randbelow(256)}.0/24")  # all of 127/8 is this machine
        self.site = Site(state=state, listen=f"{network[1]}:8080", underlay=network)
        view.ensure_user()
        nginx.prepare_sockets(self.site)
        nginx.prepare(self.site)
        server_certificate([self.site.underlay_address], nginx.tls(self.site))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.site.listen.rpartition(":")
        return host, int(port)

    @property
    def socket(self) -> Path:
        """Where the pool for bytes has to listen."""
        return nginx.sockets(self.site) / "bytes.sock"

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        home = self.site.path("nginx")
        with (home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                nginx.service(self.site).argv, stdout=log, stderr=log, start_new_session=True
            )
        until(self._listens, START_S, 0.02)

    def _listens(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"nginx did not start: {self.log()[-2000:]}")
        return self._is_open()

    def _is_open(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(self.address, timeout=5):
            return True
        return False

    def kill(self) -> None:
        """End all its processes without a word; nobody listens any more when this returns."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            until(lambda: not self._is_open(), START_S, 0.02)

    def workers(self) -> list[int]:
        """Process ids of those that talk to clients."""
        assert self._process is not None
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(word) for word in path.read_text().split()]

    def reload(self) -> None:
        """Have it read its configuration again; returns when new workers have taken over."""
        assert self._process is not None
        before = set(self.workers())
        self._process.send_signal(signal.SIGHUP)
        until(lambda: bool(set(self.workers()) - before), START_S, 0.02)

    def log(self) -> str:
        return (self.site.path("nginx") / "log").read_text()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.site.state, ignore_errors=True)
