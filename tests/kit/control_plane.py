"""A control plane for hosts under test: real TLS with client certificates, canned answers, nothing else.

`ControlPlaneStub` speaks the paths below /internal/host/v1 that hosts ask. It records who asked for what.
"""

from __future__ import annotations

import asyncio
import datetime
import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import ServerConnection, serve

PREFIX = "/internal/host/v1"


@dataclass
class Asked:
    """One request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    host: str  # the client certificate's common name; empty without one


@dataclass
class ControlPlaneStub:
    """What it answers with, and what it was asked."""

    directory: Path
    address: str = "127.0.0.1"
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)  # path below the prefix -> answer
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    broken_after: int | None = None  # bytes after which an answer breaks off

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.port}"

    def answer_json(self, path: str, document: Any, status: int = 200) -> None:
        self.answers[path] = (status, json.dumps(document).encode())

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    # --- certificates -------------------------------------------------------------------------------

    def make_authority(self) -> None:
        self.authority_key = ec.generate_private_key(ec.SECP256R1())
        self.authority = self._certificate("Test authority", self.authority_key.public_key(), None)

    def issue(self, name: str, key: Any) -> bytes:
        """A certificate for a host or for this server."""
        return self._certificate(name, key, self.authority).public_bytes(Encoding.PEM)

    def give_identity(self, identity: Path, name: str) -> None:
        """What enrolment would have left for a host."""
        identity.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        (identity / "host.key").write_bytes(_pem(key))
        (identity / "host.crt").write_bytes(self.issue(name, key.public_key()))
        (identity / "ca.crt").write_bytes(self.authority.public_bytes(Encoding.PEM))

    def _certificate(self, name: str, key: Any, issuer: x509.Certificate | None) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(self.address))]),
                critical=False,
            )
        )
        return made.sign(self.authority_key, hashes.SHA256())

    # --- serving ------------------------------------------------------------------------------------

    def tls(self) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        bundle = self.directory / "server.pem"
        bundle.write_bytes(_pem(key) + self.issue("control", key.public_key()))
        ca = self.directory / "ca.pem"
        ca.write_bytes(self.authority.public_bytes(Encoding.PEM))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
        context.load_cert_chain(str(bundle))
        context.verify_mode = ssl.CERT_OPTIONAL
        return context


@contextmanager
def control_plane(directory: Path, address: str = "127.0.0.1") -> Iterator[ControlPlaneStub]:
    """A stub that serves until the block ends."""
    stub = ControlPlaneStub(directory, address)
    stub.make_authority()
    server = _Server((address, 0), _handler(stub))
    server.socket = stub.tls().wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    stub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # five is the default: a sixth that comes at once is not heard for a second


def _handler(stub: ControlPlaneStub) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.removeprefix(PREFIX)
            headers = {name.lower(): value for name, value in self.headers.items()}
            stub.asked.append(Asked(self.command, path, headers, body, self._common_name()))
            status, content = stub.answers.get(path, (404, b"no such thing"))
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.send_header("content-type", "text/plain")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: stub.broken_after])
            if stub.broken_after is not None:
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = answer

        def _common_name(self) -> str:
            shown = self.connection.getpeercert() or {}
            return dict(pair for part in shown.get("subject", ()) for pair in part).get("commonName", "")

        def log_message(self, *_: Any) -> None: ...

    return Handler


@contextmanager
def console_server(stub: ControlPlaneStub, sessions: dict[str, list[bytes]]) -> Iterator[str]:
    """A WebSocket end for consoles: keeps what each known session sent, answers each message with its reversal.

    Yields the URL to use as a host's `control_url`.
    """
    loop = asyncio.new_event_loop()
    ready: list[int] = []
    started = threading.Event()
    finished = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        session = connection.request.path.removeprefix(f"{PREFIX}/console/")
        async for message in connection:
            assert isinstance(message, bytes)
            sessions[session].append(message)
            await connection.send(message[::-1])

    def refuse_strangers(connection: ServerConnection, request: Any) -> Any:
        session = request.path.removeprefix(f"{PREFIX}/console/")
        known = session in sessions and connection.transport.get_extra_info("peercert")
        return None if known else connection.respond(403, "unknown session\n")

    async def main() -> None:
        async with serve(handle, stub.address, 0, ssl=stub.tls(), process_request=refuse_strangers) as server:
            ready.append(next(iter(server.sockets)).getsockname()[1])
            started.set()
            await finished.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    started.wait(60)
    try:
        yield f"https://{stub.address}:{ready[0]}"
    finally:
        loop.call_soon_threadsafe(finished.set)
        thread.join(60)
        loop.close()


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
