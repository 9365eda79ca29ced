"""A real northbound database of a test's own: one ovsdb-server on a Unix socket."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = Path("/usr/share/ovn/ovn-nb.ovsschema")


class Server:
    """The server and a way to look into it that is not ours."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def remote(self) -> str:
        return f"unix:{self.home}/nb.sock"

    def start(self) -> None:
        database = self.home / "nb.db"
        if not database.exists():
            subprocess.run(["ovsdb-tool", "create", database, SCHEMA], check=True)
        self.process = subprocess.Popen(
            [
                "ovsdb-server",
                "-vconsole:off",
                "-vsyslog:off",
                f"--unixctl={self.home}/nb.ctl",
                f"--remote=punix:{self.home}/nb.sock",
                str(database),
            ]
        )
        deadline = time.monotonic() + 60
        while subprocess.run(
            ["ovn-nbctl", f"--db={self.remote}", "--timeout=2", "init"], capture_output=True
        ).returncode:
            assert time.monotonic() < deadline, "the northbound database does not start"

    def stop(self, *, lose: bool = False) -> None:
        """Stop it; with `lose`, all that it held is gone."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=60)
            self.process = None
        if lose:
            (self.home / "nb.db").unlink()

    def ctl(self, *argv: str) -> str:
        done = subprocess.run(
            ["ovn-nbctl", f"--db={self.remote}", "--timeout=60", *argv], capture_output=True, text=True, check=True
        )
        return done.stdout

    def rows(self, table: str, *columns: str) -> list[dict[str, Any]]:
        """Rows of a table as plain values."""
        found = json.loads(self.ctl("--format=json", f"--columns={','.join(columns)}", "list", table))
        return [dict(zip(found["headings"], (_plain(value) for value in row), strict=True)) for row in found["data"]]


def _plain(value: Any) -> Any:
    match value:
        case ["map", pairs]:
            return {k: _plain(v) for k, v in pairs}
        case ["set", items]:
            return [_plain(item) for item in items]
        case ["uuid", text]:
            return text
    return value


@contextmanager
def northbound_server() -> Iterator[Server]:
    """A started server, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="kumo-nb-") as home:
        server = Server(Path(home))
        server.start()
        try:
            yield server
        finally:
            server.stop()
