"""Consoles: one WebSocket out per session, joined to the guest until either side hangs up."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import console
from agents.console import Consoles
from agents.control import ControlPlane
from agents.errors import Refused, Transient
from agents.loop import BackgroundLoop
from tests.agents.conftest import agent_config
from tests.kit.control_plane import ControlPlaneStub, console_server


@pytest.fixture
def sessions() -> dict[str, list[bytes]]:
    return {"known": []}


@pytest.fixture
def consoles(stub: ControlPlaneStub, tmp_path: Path, sessions: dict[str, list[bytes]]) -> Iterator[Consoles]:
    with console_server(stub, sessions) as url:
        loop = BackgroundLoop("test")
        yield Consoles(loop, ControlPlane(agent_config(stub, tmp_path / "state", control_url=url)))
        loop.close()


def pair() -> tuple[socket.socket, socket.socket]:
    ours, guest = socket.socketpair()
    guest.settimeout(20)
    return ours, guest


def read(guest: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count and (piece := guest.recv(count - len(got))):
        got += piece
    return got


def test_bytes_go_both_ways(consoles: Consoles, sessions: dict[str, list[bytes]]) -> None:
    ours, guest = pair()
    consoles.open("known", ours)
    guest.sendall(b"RFB 003.008\n")
    assert read(guest, 12) == b"\n800.300 BFR"
    assert b"".join(sessions["known"]) == b"RFB 003.008\n"


def test_unknown_session_is_refused_and_the_guest_hung_up_on(consoles: Consoles) -> None:
    ours, guest = pair()
    with pytest.raises(Refused, match="403"):
        consoles.open("unknown", ours)
    assert guest.recv(1) == b""


def test_guest_that_ends_frees_the_session(consoles: Consoles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "SESSIONS", 1)
    first, guest = pair()
    consoles.open("known", first)
    second, other = pair()
    with pytest.raises(Refused, match="as many as it allows"):
        consoles.open("known", second)
    assert other.recv(1) == b""
    (task,) = consoles._running
    guest.close()
    consoles._loop.run(_wait_ended(task))
    third, _ = pair()
    consoles.open("known", third)


def test_unreachable_control_plane_is_transient(stub: ControlPlaneStub, tmp_path: Path) -> None:
    loop = BackgroundLoop("test")
    config = agent_config(stub, tmp_path / "state", control_url="https://127.0.0.1:1")
    ours, guest = pair()
    with pytest.raises(Transient, match="cannot be opened"):
        Consoles(loop, ControlPlane(config)).open("known", ours)
    loop.close()
    assert guest.recv(1) == b""


async def _wait_ended(task: object) -> None:
    import asyncio

    assert isinstance(task, asyncio.Task)
    await asyncio.wait([task], timeout=20)
    assert task.done()
