"""Asks the control plane for what messages do not carry: images, config drives, answers to guests.

Every connection is mutually authenticated with the certificate of this host's enrolment; the control plane
checks each time that what is asked for is placed on this host. Connections are kept, one per thread.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from agents.config import AgentConfig
from agents.errors import Refused, Transient

PREFIX = "/internal/host/v1"
TIMEOUT_S = 30
PIECE = 2**20
LARGEST_ANSWER = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of the control plane."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


def tls_context(config: AgentConfig) -> ssl.SSLContext:
    """Trusts Kumo's own authority only and shows this host's certificate."""
    context = ssl.create_default_context(cafile=str(config.authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(str(config.certificate), str(config.private_key))
    return context


class ControlPlane:
    """The client. All methods raise Transient where the control plane cannot be reached."""

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._url = urlsplit(config.control_url)
        self._local = threading.local()
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()

    @property
    def context(self) -> ssl.SSLContext:
        """TLS settings; loaded on first use, since enrolment writes the files."""
        with self._lock:
            if self._context is None:
                try:
                    self._context = tls_context(self._config)
                except OSError as error:
                    raise Transient(f"the host's certificate cannot be used: {error}") from error
            return self._context

    @property
    def websocket_url(self) -> str:
        """Start of the addresses of WebSockets."""
        return f"wss://{self._url.netloc}{PREFIX}"

    def request(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """Any answer, whatever its status. `path` is below /internal/host/v1 and must be quoted already."""
        with self._exchange(method, path, headers or {}, body) as response:
            content = response.read(LARGEST_ANSWER + 1)
            if len(content) > LARGEST_ANSWER:
                raise Refused(f"the answer to {method} {path} is larger than {LARGEST_ANSWER} bytes")
            return Answer(response.status, _lower(response), content)

    def get_json(self, path: str) -> Any:
        """The JSON document at `path`. Raises Refused where the control plane says no."""
        answer = self.request("GET", path, headers={"Accept": "application/json"})
        _refuse(answer.status, answer.body, path)
        return json.loads(answer.body)

    def config_drive(self, server_id: str) -> dict[str, str]:
        """Files of a server's config drive: name to Base64."""
        return self.get_json(f"/config-drive/{server_id}")["files"]

    @contextlib.contextmanager
    def image(self, image_id: str) -> Iterator[Iterator[bytes]]:
        """The bytes of an image, in pieces."""
        path = f"/image/{image_id}"
        with self._exchange("GET", path, {}, b"") as response:
            if response.status != 200:
                _refuse(response.status, response.read(LARGEST_ANSWER), path)
            yield _pieces(response)

    @contextlib.contextmanager
    def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Iterator[http.client.HTTPResponse]:
        """One request on this thread's connection; a kept one that went stale is replaced once."""
        target = PREFIX + path
        for fresh in (False, True):
            connection = self._connection(fresh)
            try:
                connection.request(method, target, body=body or None, headers=dict(headers))
                response = connection.getresponse()
                break
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                if fresh:
                    raise Transient(f"the control plane cannot be reached: {error}") from error
        try:
            yield response
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise Transient(f"the connection to the control plane broke: {error}") from error
        finally:
            if not response.isclosed():  # the rest was not read: the connection cannot be used again
                self._drop()

    def _connection(self, fresh: bool) -> http.client.HTTPSConnection:
        kept = getattr(self._local, "connection", None)
        if kept is None or fresh:
            self._drop()
            kept = http.client.HTTPSConnection(
                self._url.hostname or "", self._url.port or 443, timeout=TIMEOUT_S, context=self.context
            )
            self._local.connection = kept
        return kept

    def _drop(self) -> None:
        kept = getattr(self._local, "connection", None)
        self._local.connection = None
        if kept is not None:
            kept.close()


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := response.read(PIECE):
        yield piece


def _lower(response: http.client.HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


def _refuse(status: int, body: bytes, path: str) -> None:
    if status == 200:
        return
    words = f"the control plane answered {status} to {path}: {body[:300].decode(errors='replace').strip()}"
    if status >= 500 or status in (408, 425, 429):
        raise Transient(words)
    raise Refused(words)
