"""What nginx makes of a server that breaks off: a request is sent once, and half an answer does not look whole."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.front import Front

pytestmark = pytest.mark.kill

PATH = "/object-store/v1/AUTH_alice/box/a"


class Upstream:
    """Takes each request whole, notes it, gives the next of its answers, and hangs up after the last."""

    def __init__(self, where: Path) -> None:
        self.answers: list[bytes] = []
        self.seen: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(where))
        where.chmod(0o660)
        self._socket.listen()
        self._lines: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                line, _ = self._socket.accept()
                self._lines.append(line)
                with line, line.makefile("rb") as reader:
                    self._converse(line, reader)

    def _converse(self, line: socket.socket, reader: io.BufferedReader) -> None:
        while start := reader.readline():
            self.seen.append(start.decode().split()[0])
            headers = http.client.parse_headers(reader)
            reader.read(int(headers.get("Content-Length", "0")))
            if self.answers:
                line.sendall(self.answers.pop(0))
            if not self.answers:
                return

    def close(self) -> None:
        """End once nginx has let go of connections that it kept: the next test's requests must not come here."""
        self._socket.shutdown(socket.SHUT_RDWR)
        for line in self._lines:
            with contextlib.suppress(OSError):  # it has ended
                line.shutdown(socket.SHUT_WR)
        self._thread.join(60)
        assert not self._thread.is_alive()
        self._socket.close()


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    made = Front()
    made.start()
    yield made
    made.close()


@pytest.fixture
def upstream(front: Front) -> Iterator[Upstream]:
    """In the place of the pool for bytes."""
    made = Upstream(front.socket)
    yield made
    made.close()
    front.socket.unlink()


@pytest.fixture
def web(front: Front) -> Iterator[Upstream]:
    """In the place of the pool for all else, connections to which are kept."""
    path = front.socket.with_name("web.sock")
    made = Upstream(path)
    yield made
    made.close()
    path.unlink()


def ask(front: Front, method: str, path: str, size: int = 0) -> http.client.HTTPResponse:
    line = http.client.HTTPConnection(*front.address, timeout=30)
    line.request(method, path, bytes(size))
    return line.getresponse()


@pytest.mark.parametrize(
    ("method", "size"),
    [("PUT", 0), ("PUT", 10), ("PUT", 2 * 2**20), ("POST", 10), ("DELETE", 0), ("COPY", 0), ("GET", 0)],
)
def test_a_request_without_an_answer_is_not_sent_again(
    front: Front, upstream: Upstream, method: str, size: int
) -> None:
    assert ask(front, method, PATH, size).status == 502
    assert upstream.seen == [method]


def test_nor_is_one_on_a_connection_that_was_kept(front: Front, web: Upstream) -> None:
    web.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""]
    assert ask(front, "GET", "/identity/v3").status == 200
    assert ask(front, "DELETE", "/identity/v3/users/1").status == 502
    assert web.seen == ["GET", "DELETE"]


@pytest.mark.parametrize(
    "half",
    [
        b"Content-Length: 10\r\n\r\nhalf",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nha",
    ],
)
@pytest.mark.parametrize("path", [PATH, "/s3/box/a"])
def test_half_an_answer_does_not_look_whole(front: Front, upstream: Upstream, half: bytes, path: str) -> None:
    upstream.answers = [b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + half]
    answer = ask(front, "GET", path)
    assert answer.status == 200
    with pytest.raises(http.client.IncompleteRead):
        answer.read()


@pytest.mark.parametrize(
    ("copy", "body"),
    [
        ("1/abc/" + "f" * 32, b"the copy"),
        ("1/abc/secret", b"streamed"),
        ("1/abc/../abc/" + "f" * 32, b"streamed"),
        ("../copies/1/abc/" + "f" * 32, b"streamed"),
        ("1/abc/" + "e" * 32, b"streamed"),  # a link
        ("2/abc/" + "f" * 32, b"streamed"),  # not there
        ("", b"streamed"),
    ],
)
@pytest.mark.parametrize("path", [PATH, "/s3/box/a"])
def test_of_files_only_copies_are_sent(front: Front, upstream: Upstream, copy: str, body: bytes, path: str) -> None:
    shelf = front.site.path("copies", "1", "abc")
    shelf.mkdir(parents=True, exist_ok=True)
    (shelf / ("f" * 32)).write_bytes(b"the copy")
    (shelf / "secret").write_bytes(b"a secret")
    with contextlib.suppress(FileExistsError):
        (shelf / ("e" * 32)).symlink_to("secret")
    named = f"X-Accel-Redirect: @copy\r\nX-Kumo-Copy: {copy}\r\nX-Kumo-Answer: {{}}\r\nContent-Length: 0\r\n\r\n"
    streamed = b"X-Accel-Redirect: @copy\r\nContent-Length: 8\r\n\r\nstreamed"
    upstream.answers = [b"HTTP/1.1 200 OK\r\n" + rest for rest in (named.encode(), streamed)]
    answer = ask(front, "GET", path)
    assert (answer.status, answer.read()) == (200, body)
    assert len(upstream.seen) == (1 if body == b"the copy" else 2)
