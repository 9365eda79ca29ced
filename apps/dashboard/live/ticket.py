"""Short-lived signed tickets: how the web process tells the live process who may hear what.

Stateless on purpose: the live process asks no database before it lets somebody listen, and what is heard are ids only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import asdict, dataclass

LIFETIME_S = 60  # to connect; a stream that runs is ended by the live process itself


@dataclass(frozen=True, slots=True)
class Ticket:
    """One listener: a project, and whether its events are all that is heard."""

    project_id: str
    everything: bool  # operators hear all projects
    until: float  # seconds since the epoch


def issue(secret: str, *, project_id: str, everything: bool) -> str:
    """A ticket as URL-safe text."""
    ticket = Ticket(project_id, everything, time.time() + LIFETIME_S)
    body = base64.urlsafe_b64encode(json.dumps(asdict(ticket)).encode()).decode().rstrip("=")
    return f"{body}.{_sign(secret, body)}"


def read(secret: str, text: str) -> Ticket | None:
    """The ticket, or None for one that is forged, damaged or past its time."""
    body, _, signature = text.partition(".")
    if not hmac.compare_digest(_sign(secret, body).encode(), signature.encode()):
        return None
    ticket = Ticket(**json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
    return ticket if ticket.until > time.time() else None


def _sign(secret: str, body: str) -> str:
    key = hashlib.sha256(b"kumo live ticket\0" + secret.encode()).digest()
    return hmac.new(key, body.encode(), hashlib.sha256).hexdigest()
