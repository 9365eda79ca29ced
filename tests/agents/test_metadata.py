"""What a guest can make the metadata proxy ask: its own subtree, and nothing in another's name."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import metadata, namespaces
from agents.control import ControlPlane
from agents.loop import BackgroundLoop
from agents.metadata import MetadataService
from tests.agents.conftest import agent_config
from tests.kit.control_plane import ControlPlaneStub, control_plane

NETWORK = "6f1b6f0e-0000-4000-8000-000000000001"


class Proxy:
    """The proxy's handler behind an ordinary socket instead of one in a namespace."""

    def __init__(self, loop: BackgroundLoop, control: ControlPlane) -> None:
        self.service = MetadataService(loop, control, None)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.address = listener.getsockname()
        self.server: asyncio.Server = loop.run(self.service._start(NETWORK, listener))

    def ask(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Send bytes; status, headers and body of the answer."""
        with socket.create_connection(self.address, timeout=20) as guest:
            guest.sendall(request)
            answer = b""
            while piece := guest.recv(65536):
                answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), head, body

    def get(self, path: str, *headers: str) -> tuple[int, bytes, bytes]:
        lines = [f"GET {path} HTTP/1.1", "Host: 169.254.169.254", *headers, "", ""]
        return self.ask("\r\n".join(lines).encode())


@pytest.fixture
def proxy(stub: ControlPlaneStub, tmp_path: Path) -> Iterator[Proxy]:
    loop = BackgroundLoop("test")
    made = Proxy(loop, ControlPlane(agent_config(stub, tmp_path / "state")))
    yield made
    loop.close()


def below(path: str) -> str:
    return f"/metadata/{NETWORK}/127.0.0.1{path}"


@pytest.mark.parametrize(
    "path", ["/", "/latest/meta-data/", "/openstack/latest/meta_data.json", "/latest/user-data?x=1&y=2"]
)
def test_guest_gets_the_control_planes_answer_for_its_network_and_address(
    proxy: Proxy, stub: ControlPlaneStub, path: str
) -> None:
    stub.answers[below(path)] = (200, b"i-00000001")
    status, head, body = proxy.get(path)
    assert (status, body) == (200, b"i-00000001")
    assert b"content-type: text/plain" in head
    assert stub.paths() == [below(path)]


@pytest.mark.parametrize(
    "path",
    [
        "/../../../image/6f1b6f0e-0000-4000-8000-000000000002",
        "/latest/../../x",
        "/./latest",
        "/%2e%2e/%2e%2e/image/x",
        "/latest/%00",
        "//..",
        "/latest\\..\\x",
        "http://other/latest",
        "*",
        "/" + "é",
    ],
)
def test_path_that_could_leave_the_guests_subtree_is_not_passed_on(
    proxy: Proxy, stub: ControlPlaneStub, path: str
) -> None:
    assert proxy.get(path)[0] == 404
    assert stub.asked == []


def test_headers_that_speak_for_somebody_are_dropped(proxy: Proxy, stub: ControlPlaneStub) -> None:
    stub.answers[below("/latest")] = (200, b"")
    proxy.get(
        "/latest",
        "X-Kumo-Host: other",
        "X-Forwarded-For: 10.0.0.9",
        "X_Kumo_Host: other",
        "X-Instance-ID: other",
        "Cookie: a=b",
        "Authorization: Basic eDp5",
        "Accept: text/plain",
    )
    (asked,) = stub.asked
    assert asked.headers["accept"] == "text/plain"
    assert set(asked.headers) <= {"accept", "accept-encoding", "host", "user-agent", "content-length"}


def test_password_can_be_posted(proxy: Proxy, stub: ControlPlaneStub) -> None:
    path = "/openstack/2013-04-04/password"
    stub.answers[below(path)] = (200, b"")
    status, _, _ = proxy.ask(f"POST {path} HTTP/1.1\r\nContent-Length: 6\r\n\r\nsecret".encode())
    assert status == 200
    assert (stub.asked[0].method, stub.asked[0].body) == ("POST", b"secret")


def test_head_has_no_body(proxy: Proxy, stub: ControlPlaneStub) -> None:
    stub.answers[below("/latest")] = (200, b"")
    status, _, body = proxy.ask(b"HEAD /latest HTTP/1.1\r\n\r\n")
    assert (status, body) == (200, b"")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"DELETE /latest HTTP/1.1\r\n\r\n", 405),
        (b"GET /latest\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"POST /latest HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST /latest HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 413),
        (b"GET /latest HTTP/1.1\r\nA: " + b"x" * 40_000 + b"\r\n\r\n", 431),
    ],
    ids=lambda value: str(value)[:24],
)
def test_bad_request_gets_its_status_and_goes_no_further(
    proxy: Proxy, stub: ControlPlaneStub, request_: bytes, status: int
) -> None:
    assert proxy.ask(request_)[0] == status
    assert stub.asked == []


def test_guest_that_still_sends_when_it_is_refused_can_read_why(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "LINGER_S", 60)
    with socket.create_connection(proxy.address, timeout=20) as guest:
        guest.sendall(b"POST /latest HTTP/1.1\r\nContent-Length: 400000\r\n\r\n")
        answer = guest.recv(12, socket.MSG_WAITALL)
        for _ in range(4):
            guest.sendall(b"x" * 100_000)
        guest.shutdown(socket.SHUT_WR)
        while piece := guest.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"bytes\n")


def test_unreachable_control_plane_is_503(tmp_path: Path) -> None:
    with control_plane(tmp_path) as stub:
        config = agent_config(stub, tmp_path / "state")
    loop = BackgroundLoop("test")
    status, head, _ = Proxy(loop, ControlPlane(config)).get("/latest")
    loop.close()
    assert status == 503
    assert b"retry-after" in head


def test_many_guests_are_answered_at_once(proxy: Proxy, stub: ControlPlaneStub) -> None:
    stub.answers[below("/latest")] = (200, b"x")
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(proxy.get("/latest")[0])) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == [200] * 30


def test_slow_guest_is_hung_up_on(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "REQUEST_TIMEOUT_S", 0.1)
    with socket.create_connection(proxy.address, timeout=20) as guest:
        guest.sendall(b"GET /la")
        assert guest.recv(100) == b""


def test_names_fit_linux_and_tell_networks_apart() -> None:
    other = NETWORK[:-1] + "2"
    assert len(namespaces.link_name(NETWORK)) <= 15
    assert namespaces.link_name(NETWORK) == namespaces.LINK_PREFIX + namespaces.namespace_name(NETWORK).removeprefix(
        namespaces.NAME_PREFIX
    )
    assert namespaces.link_name("7" + other[1:]) != namespaces.link_name(NETWORK)
