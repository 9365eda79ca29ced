"""A stranger's S3 service on loopback: moto's server, in a process of its own."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.kit.brokers import Process, free_port, until

ACCESS, SECRET = "kumo", "f7R1xq-never-shown"


@contextlib.contextmanager
def moto(root: Path) -> Iterator[tuple[str, Process]]:
    """Its address and process."""
    port = free_port()
    words = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    process = Process(words, root / "moto.log", {"MOTO_S3_MIN_PART_SIZE": "5242880"})
    process.start()
    try:
        until(lambda: _is_open(port), 60, lambda: (root / "moto.log").read_text()[-1000:])
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()


def credentials(path: Path, access: str = ACCESS, secret: str = SECRET) -> str:
    """A file of keys as the back end wants it; its name."""
    path.write_text(f"[default]\naws_access_key_id = {access}\naws_secret_access_key = {secret}\n")
    path.chmod(0o600)
    return str(path)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
