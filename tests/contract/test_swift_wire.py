"""Swift's API byte by byte, through nginx and the server behind it: what only goes wrong on the wire."""

from __future__ import annotations

import hashlib
import itertools
import json
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.contract
TIMEOUT_S = 60


@dataclass(frozen=True)
class Wire:
    """A container of the demo project, spoken to in bytes."""

    host: str
    port: int
    path: str  # of the container
    token: str

    def send(self, request: bytes, *, more: bytes = b"", half: bool = False) -> bytes:
        """What comes back until the server closes; `half` closes our side first, as a client that goes away."""
        with socket.create_connection((self.host, self.port), timeout=TIMEOUT_S) as wire:
            wire.sendall(request + more)
            if half:
                wire.shutdown(socket.SHUT_WR)
            found = b""
            while piece := wire.recv(65536):
                found += piece
            return found

    def head(self, method: str, name: bytes, headers: str | bytes = "", version: str = "HTTP/1.1") -> bytes:
        lines = headers.encode() if isinstance(headers, str) else headers
        start = f"{method} ".encode() + self.path.encode() + name + f" {version}\r\n".encode()
        own = f"Host: {self.host}:{self.port}\r\nX-Auth-Token: {self.token}\r\nConnection: close\r\n".encode()
        return start + own + (lines + b"\r\n" if lines else b"") + b"\r\n"

    def call(self, method: str, name: bytes, headers: str | bytes = "", body: bytes = b"") -> tuple[int, bytes, bytes]:
        """Status, headers and body of an answer."""
        found = self.send(self.head(method, name, headers), more=body)
        top, _, rest = found.partition(b"\r\n\r\n")
        return int(top.split(b" ", 2)[1]), top, rest

    def put(self, name: bytes, body: bytes, headers: str | bytes = "") -> int:
        length = f"Content-Length: {len(body)}".encode()
        more = headers.encode() if isinstance(headers, str) else headers
        return self.call("PUT", name, length + (b"\r\n" + more if more else b""), body)[0]

    def names(self) -> list[str]:
        status, _, body = self.call("GET", b"?format=plain")
        assert status in {200, 204}
        return body.decode().splitlines()


@pytest.fixture(scope="module")
def box(account: dict[str, str]) -> Iterator[Wire]:
    """A container with the object `a`."""
    where = urlsplit(account["OS_STORAGE_URL"])
    path = f"{where.path}/wire-{uuid.uuid4().hex[:8]}"
    made = Wire(where.hostname or "", where.port or 80, path, account["OS_AUTH_TOKEN"])
    assert made.put(b"", b"") == 201
    assert made.put(b"/a", b"0123456789") == 201
    yield made
    for name in made.names():
        made.call("DELETE", b"/" + name.encode())
    assert made.call("DELETE", b"")[0] == 204


@pytest.fixture(autouse=True)
def unchanged(box: Wire) -> Iterator[None]:
    """Whatever a test sends, the container has what it had."""
    yield
    assert box.names() == ["a"]
    assert box.call("GET", b"/a")[2] == b"0123456789"


PATHS = [
    (201, b"/%2525", "%25"),
    (201, b"/%252e%252e", "%2e%2e"),
    (201, b"/x/../y", "x/../y"),
    (201, b"/x%2F..%2Fy", "x/../y"),
    (201, b"/%2e%2e/y", "../y"),
    (201, b"//d//", "/d//"),
    (201, b"/./x", "./x"),
    (201, b"/x+y%2By", "x+y+y"),
    (201, b"/%E6%97%A5%20%F0%9F%98%80", "日 😀"),
    (201, "/日".encode(), "日"),
    (201, b"/x;y=z&'!$()*,:@~", "x;y=z&'!$()*,:@~"),
    (400, b"/x<y", ""),
    (201, b"/x%3Fy%23z", "x?y#z"),
    (201, b"/" + b"n" * 1024, "n" * 1024),
    (400, b"/" + b"n" * 1025, ""),
    (400, b"/a%00", ""),
    (412, b"/%FF", ""),
    (412, b"/%C0%AF", ""),
    (412, b"/%ED%A0%80", ""),
    (400, b"/../../../../../a", ""),
    (414, b"/" + b"n" * 70_000, ""),
]


@pytest.mark.parametrize(("status", "path", "name"), PATHS, ids=itertools.count())
def test_names_arrive_as_they_were_sent(box: Wire, status: int, path: bytes, name: str) -> None:
    assert box.put(path, b"1") == status
    if status == 201:
        assert sorted(box.names()) == sorted(["a", name])
        assert box.call("GET", path)[2] == b"1"
        assert box.call("DELETE", path)[0] == 204


def test_values_of_headers_are_any_text(box: Wire) -> None:
    value = 'Grüße, 日本 😀; \t"x"'
    assert box.put(b"/b", b"1", f"X-Object-Meta-Wort: {value}\r\nContent-Disposition: inline; filename=ü") == 201
    top = box.call("HEAD", b"/b")[1]
    assert f"x-object-meta-wort: {value}\r\n".encode() in top + b"\r\n"
    assert "filename=ü".encode() in top
    assert box.put(b"/b", b"22", b"X-Object-Meta-Wort: \xff") == 412
    assert box.call("GET", b"/b")[2] == b"1"
    assert box.call("DELETE", b"/b")[0] == 204


def test_nobody_restores_headers_but_nginx(box: Wire) -> None:
    forged = "X-Kumo-Headers: x-object-meta-a=41,x-auth-token=41\r\nX-Object-Meta-A:"
    assert box.put(b"/b", b"1", forged) == 201
    assert b"x-object-meta-a: A" not in box.call("HEAD", b"/b")[1]
    assert box.call("DELETE", b"/b")[0] == 204
    forwarded = f"X-Forwarded-For: 10.0.0.1{'ü'}"
    assert box.call("GET", b"/a", forwarded)[0] == 200


HEADS: list[tuple[set[int], str, bytes, bytes]] = [
    ({400, 431}, "PUT", b"/b", b"\r\n".join(b"X-A%d: 1" % n for n in range(10_000)) + b"\r\nContent-Length: 1"),
    ({400, 431}, "GET", b"/a", b"X-A: " + b"1" * 200_000),
    ({400, 431}, "GET", b"/a", b"X-" + b"A" * 70_000 + b": 1"),
    ({400}, "PUT", b"/b", b"Content-Length: -1"),
    ({400}, "PUT", b"/b", b"Content-Length: 1e1"),
    ({400}, "PUT", b"/b", b"Content-Length: 1\r\nContent-Length: 2"),
    ({400, 413}, "PUT", b"/b", b"Content-Length: 99999999999999999999"),
    ({411}, "PUT", b"/b", b""),
    ({400}, "PUT", b"/b", b"Content-Length: 1\r\nTransfer-Encoding: chunked"),
    ({400, 501}, "PUT", b"/b", b"Transfer-Encoding: gzip, chunked"),
    ({422}, "PUT", b"/a", b"Content-Length: 1\r\nETag: 00000000000000000000000000000000"),
    ({400}, "GET", b"/a", b"\x00: 1"),
    ({400}, "GET", b"/a", b"X-A: \x00"),
    ({400}, "GET", b"/a", b"Host: other"),
    ({405}, "PATCH", b"/a", b""),
    ({405}, "PROPFIND", b"/a", b""),
    ({405}, "TRACE", b"/a", b""),
    ({400, 405}, "get", b"/a", b""),
    ({401}, "DELETE", b"/a", b"X-Auth-Token: nonsense"),
]


@pytest.mark.parametrize(("statuses", "method", "name", "headers"), HEADS, ids=itertools.count())
def test_heads_that_make_no_sense_are_refused(
    box: Wire, statuses: set[int], method: str, name: bytes, headers: bytes
) -> None:
    assert box.call(method, name, headers, b"1" if method == "PUT" else b"")[0] in statuses


@pytest.mark.parametrize(
    ("status", "line"), [(400, b"GET\r\n"), (400, b"\x16\x03\x01\x02\x00\r\n"), (505, b"GET / HTTP/9.9\r\n")]
)
def test_what_is_no_http_is_refused(box: Wire, status: int, line: bytes) -> None:
    assert str(status).encode() in box.send(line + b"\r\n").split(b"</title>")[0]


CHUNKED = "Transfer-Encoding: chunked"


def test_a_body_of_unknown_length_is_kept(box: Wire) -> None:
    assert box.call("PUT", b"/b", CHUNKED, b"3\r\nabc\r\n1;x=y\r\nd\r\n0\r\n\r\n")[0] == 201
    assert box.call("GET", b"/b")[2] == b"abcd"
    assert box.call("DELETE", b"/b")[0] == 204


@pytest.mark.parametrize("body", [b"zz\r\nabc\r\n0\r\n\r\n", b"-1\r\n\r\n", b"ffffffffffffffffff\r\na"])
def test_chunks_that_are_none_are_refused(box: Wire, body: bytes) -> None:
    assert box.call("PUT", b"/b", CHUNKED, body)[0] in {400, 413}


@pytest.mark.parametrize("headers", ["Content-Length: 3000000", CHUNKED])
def test_a_body_that_was_cut_off_leaves_nothing(box: Wire, headers: str) -> None:
    start = b"2dc6c0\r\n" if headers == CHUNKED else b""
    box.send(box.head("PUT", b"/b", headers), more=start + bytes(2_000_000), half=True)
    assert box.put(b"/c", bytes(1_500_000)) == 201  # by then the server has seen the end of the other
    assert box.names() == ["a", "c"]
    assert box.call("DELETE", b"/c")[0] == 204


def test_bytes_beyond_the_length_are_not_the_objects(box: Wire) -> None:
    answer = box.send(box.head("PUT", b"/b", "Content-Length: 3").replace(b"Connection: close\r\n", b""),
                      more=b"abcGARBAGE\r\n\r\n")  # fmt: skip
    assert answer.startswith(b"HTTP/1.1 201")
    assert box.call("GET", b"/b")[2] == b"abc"
    assert box.call("DELETE", b"/b")[0] == 204


def test_a_heartbeat_ends_with_what_became_of_it(box: Wire) -> None:
    body = json.dumps([{"path": f"/{box.path.rsplit('/', 1)[1]}/a"}]).encode()
    headers = f"Content-Length: {len(body)}\r\nAccept: application/json"
    status, top, rest = box.call("PUT", b"/b?multipart-manifest=put&heartbeat=on", headers, body)
    assert (status, b"transfer-encoding: chunked" in top.lower(), rest[-5:]) == (202, True, b"0\r\n\r\n")
    assert b'"Response Status":"201 Created"' in rest
    assert box.call("GET", b"/b")[2] == b"0123456789"
    assert box.call("DELETE", b"/b")[0] == 204


def test_a_client_that_waits_to_go_on_is_told_to(box: Wire) -> None:
    with socket.create_connection((box.host, box.port), timeout=TIMEOUT_S) as wire:
        wire.sendall(box.head("PUT", b"/b", "Content-Length: 3\r\nExpect: 100-continue"))
        assert wire.recv(100).startswith(b"HTTP/1.1 100")
        wire.sendall(b"abc")
        found = b""
        while piece := wire.recv(65536):
            found += piece
    assert b" 201 " in found
    assert hashlib.md5(b"abc").hexdigest().encode() in found
    assert box.call("DELETE", b"/b")[0] == 204


def test_more_callers_than_threads_are_all_served(box: Wire) -> None:
    """Connections beyond the pool wait: none is refused."""
    wires = [socket.create_connection((box.host, box.port), timeout=TIMEOUT_S) for _ in range(100)]
    try:
        began = time.monotonic()
        for wire in wires:
            wire.sendall(box.head("GET", b"/a"))
        answers = []
        for wire in wires:
            found = b""
            while piece := wire.recv(65536):
                found += piece
            answers.append(found.split(b" ", 2)[1])
        assert set(answers) == {b"200"}, time.monotonic() - began
    finally:
        for wire in wires:
            wire.close()


def test_bytes_are_sent_as_they_are_kept(box: Wire) -> None:
    body = b"<p>" + b"a" * 5000
    assert box.put(b"/b.html", body) == 201
    _, top, got = box.call("GET", b"/b.html", "Accept-Encoding: gzip")
    assert got == body
    assert f"etag: {hashlib.md5(body).hexdigest()}".encode() in top.lower()
    assert box.call("DELETE", b"/b.html")[0] == 204
