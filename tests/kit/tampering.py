"""A proxy on loopback before an HTTP service, which changes what the service answers."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Answer:
    """What is sent back; `cut` bytes are left out at the end, after which the connection ends."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut: int = 0


@dataclass
class Asked:
    """A request; `ask` hands it on to the service."""

    method: str
    path: str
    headers: dict[str, str]
    ask: Callable[[], Answer]


@dataclass
class Tampering:
    """The proxy's address, and what it does with each request."""

    url: str = ""
    answer: Callable[[Asked], Answer] = field(default=lambda asked: asked.ask())


@contextlib.contextmanager
def tampering(service: str) -> Iterator[Tampering]:
    """A proxy before the service of that address; at first it changes nothing."""
    made, behind = Tampering(), urlsplit(service).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            if self.headers.get("Expect"):
                self.send_response_only(100)
                self.end_headers()
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}

            def ask() -> Answer:
                connection = http.client.HTTPConnection(behind, timeout=20)
                with contextlib.closing(connection):
                    connection.request(self.command, self.path, body, headers)
                    found = connection.getresponse()
                    kept = {name.lower(): value for name, value in found.getheaders()}
                    return Answer(found.status, kept, found.read())

            self._send(made.answer(Asked(self.command, self.path, headers, ask)))

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

        def _send(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            names = {"content-length": str(len(answer.body))} | answer.headers
            self.send_header("connection", "close")  # else clients send the next request into a connection that ends
            for name, value in names.items():
                if name not in {"transfer-encoding", "connection"}:
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body[: len(answer.body) - answer.cut])
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            """Tests say themselves what they see."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
