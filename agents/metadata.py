"""Metadata for guests: one listener per network that has guests here, all served by one loop.

A guest is known by the network it asked through and by its source address, which port security makes
trustworthy; the control plane is asked over this host's own connection and decides what the guest may see.
From what the guest sent only the method, a harmless path, a short body and a few headers are passed on: what
names a guest to the control plane can come from here alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from agents import namespaces
from agents.contracts import MetadataEndpoint
from agents.control import Answer, ControlPlane
from agents.drivers.hypervisor import GuestNetwork
from agents.errors import Transient, VerbError
from agents.loop import BackgroundLoop
from agents.wiring import Wiring

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 30
LARGEST_HEAD = 16 * 1024
LARGEST_BODY = 64 * 1024
CONNECTIONS_PER_NETWORK = 64
CALLS_AT_ONCE = 8
LINGER_S = 2  # how long the rest of a refused request is taken in
LARGEST_REST = 1024 * 1024

METHODS = {"GET", "HEAD", "POST", "PUT"}
PASSED_ON = {"accept", "accept-encoding", "content-type", "user-agent"}
# No percent sign: nothing needs one, and what a proxy decodes must not climb out of the guest's own subtree.
PATH = re.compile(r"/[A-Za-z0-9_.~:=@+,/-]*(\?[A-Za-z0-9_.~:=@+,/&-]*)?")


@dataclass(slots=True)
class _Network:
    """A network with guests here."""

    endpoint: MetadataEndpoint
    guests: set[str] = field(default_factory=set)
    server: asyncio.Server | None = None


class MetadataService:
    """Endpoints of all networks on this host. Without wiring (no real networks) it keeps no endpoint."""

    def __init__(self, loop: BackgroundLoop, control: ControlPlane, wiring: Wiring | None) -> None:
        self._loop = loop
        self._control = control
        self._wiring = wiring
        self._networks: dict[str, _Network] = {}
        self._lock = threading.RLock()
        self._pool = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="metadata")

    def ensure(self, server_id: str, network_id: str, endpoint: MetadataEndpoint) -> None:
        """Serve the network's guests, of which `server_id` is one. Raises Transient."""
        if self._wiring is None:
            return
        with self._lock:
            network = self._networks.get(network_id)
            if network is None:
                network = self._networks[network_id] = _Network(endpoint)
            network.guests.add(server_id)
            if network.server is not None and network.endpoint == endpoint:
                return
            network.endpoint = endpoint
            self._make(network_id, network, self._wiring)

    def release(self, server_id: str, keep: Iterable[str] = ()) -> None:
        """The server left its networks, those in `keep` apart; the last guest takes the endpoint along."""
        kept = set(keep)
        with self._lock:
            for network_id in [
                found for found, network in self._networks.items() if server_id in network.guests and found not in kept
            ]:
                self._networks[network_id].guests.discard(server_id)
                if not self._networks[network_id].guests:
                    self._remove(network_id)

    def adopt(self, guests: Callable[[], Iterable[GuestNetwork]]) -> None:
        """Serve every network that guests on this host have, and remove endpoints nobody needs any more."""
        if self._wiring is None:
            return
        with self._lock:
            for guest in guests():
                try:
                    self.ensure(guest.server_id, guest.network_id, guest.endpoint)
                except VerbError as error:
                    log.warning("metadata of network %s: %s", guest.network_id, error)
            needed = {namespaces.namespace_name(network_id) for network_id in self._networks}
            for name in namespaces.present() - needed:
                log.info("removing metadata namespace %s, which no guest needs", name)
                namespaces.remove(name, namespaces.LINK_PREFIX + name.removeprefix(namespaces.NAME_PREFIX))

    def mend(self) -> None:
        """Make again what could not be made yet, or what somebody took away."""
        if self._wiring is None:
            return
        with self._lock:
            present = namespaces.present()
            for network_id, network in self._networks.items():
                gone = namespaces.namespace_name(network_id) not in present
                if network.server is not None and gone:
                    self._loop.run(_stop(network.server))
                    network.server = None
                if network.server is None:
                    try:
                        self._make(network_id, network, self._wiring)
                    except VerbError as error:
                        log.warning("metadata of network %s: %s", network_id, error)

    def networks(self) -> list[str]:
        """Ids of the networks served, sorted."""
        with self._lock:
            return sorted(self._networks)

    def _make(self, network_id: str, network: _Network, wiring: Wiring) -> None:
        namespaces.ensure(network_id, network.endpoint, wiring)
        if network.server is None:
            network.server = self._serve(network_id)

    def _serve(self, network_id: str) -> asyncio.Server:
        try:
            listener = namespaces.listen(namespaces.namespace_name(network_id))
        except OSError as error:
            raise Transient(f"metadata of network {network_id} cannot be served: {error}") from error
        return self._loop.run(self._start(network_id, listener))

    async def _start(self, network_id: str, listener: socket.socket) -> asyncio.Server:
        slots = asyncio.Semaphore(CONNECTIONS_PER_NETWORK)

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with slots, asyncio.timeout(REQUEST_TIMEOUT_S):
                    await self._handle(network_id, reader, writer)
            writer.close()

        return await asyncio.start_server(handle, sock=listener, limit=LARGEST_HEAD)

    def _remove(self, network_id: str) -> None:
        network = self._networks.pop(network_id)
        if network.server is not None:
            self._loop.run(_stop(network.server))
        namespaces.remove(namespaces.namespace_name(network_id), namespaces.link_name(network_id))

    async def _handle(self, network_id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("peername")[0]
        try:
            request = await _read(reader)
            answer = await asyncio.get_running_loop().run_in_executor(
                self._pool, self._ask, network_id, address, request
            )
        except _BadRequest as error:
            answer = Answer(error.status, {"content-type": "text/plain"}, str(error).encode())
            request = None
        head_only = request is not None and request.method == "HEAD"
        writer.write(_render(answer, head_only=head_only))
        await writer.drain()
        if request is None:
            await _rest_taken(reader, writer)

    def _ask(self, network_id: str, address: str, request: _Request) -> Answer:
        path = f"/metadata/{network_id}/{address}{request.path}"
        try:
            return self._control.request(request.method, path, headers=request.headers, body=request.body)
        except VerbError as error:
            log.warning("metadata for %s on network %s: %s", address, network_id, error)
            return Answer(503, {"content-type": "text/plain", "retry-after": "5"}, b"metadata is not available now\n")


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class _BadRequest(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text + "\n")
        self.status = status


async def _read(reader: asyncio.StreamReader) -> _Request:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise _BadRequest(431, "the request's headers are too long") from error
    except asyncio.IncompleteReadError as error:
        raise ConnectionError from error
    request = parse_head(head)
    length = request.headers.pop("content-length", "0")
    if not length.isdigit() or int(length) > LARGEST_BODY:
        raise _BadRequest(413, f"the body may have at most {LARGEST_BODY} bytes")
    try:
        body = await reader.readexactly(int(length))
    except asyncio.IncompleteReadError as error:
        raise ConnectionError from error
    return _Request(request.method, request.path, request.headers, body)


async def _rest_taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read what the guest still sends: to close before would reset the connection, and the answer may go with it."""
    writer.write_eof()
    left = LARGEST_REST
    async with asyncio.timeout(LINGER_S):
        while left > 0 and (piece := await reader.read(LARGEST_BODY)):
            left -= len(piece)


def parse_head(head: bytes) -> _Request:
    """What is passed on of a guest's request head. Raises _BadRequest."""
    lines = head.decode("latin-1").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    path, _, version = rest.rpartition(" ")
    if not version.startswith("HTTP/1."):
        raise _BadRequest(400, "this is not an HTTP request")
    if method not in METHODS:
        raise _BadRequest(405, f"use one of {', '.join(sorted(METHODS))}")
    if not PATH.fullmatch(path) or {".", ".."} & set(path.partition("?")[0].split("/")):
        raise _BadRequest(404, "there is no such path")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name.lower() in PASSED_ON or name.lower() == "content-length":
            headers[name.lower()] = value.strip()
    return _Request(method, path, headers, b"")


_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    503: "Unavailable",
}
_HANDED_BACK = {"content-type", "content-encoding", "retry-after", "location"}


def _render(answer: Answer, *, head_only: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items() if name in _HANDED_BACK]
    lines += [f"content-length: {len(answer.body)}", "connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + (b"" if head_only else answer.body)


async def _stop(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()
