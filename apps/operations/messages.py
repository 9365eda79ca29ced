"""What the control plane says to hosts, signed, and which signatures it believes."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from agents.envelope import (
    CANCEL,
    CONTROL,
    Envelope,
    envelope,
    key_file,
    public_key,
    public_pem,
    seal,
    unseal,
)
from apps.operations.models import Executor, Operation


@cache
def control_key() -> Ed25519PrivateKey:
    """The control plane's signing key, a secret of its own made at first use."""
    return key_file(settings.CONFIG.secrets / "signing_key")


def control_public_key() -> str:
    """What hosts must be given to believe the control plane; PEM."""
    return public_pem(control_key())


def sealed(host: str, verb: str, body: msgspec.Struct | dict[str, Any], **fields: Any) -> str:
    """A signed message for a host."""
    return seal(control_key(), envelope(sender=CONTROL, to=host, verb=verb, body=body, **fields))


def cancel(operation: Operation) -> str:
    """Tell the host to stop the attempt that is under way."""
    return sealed(operation.host, CANCEL, {}, operation=str(operation.pk), attempt=operation.attempt)


def opened(text: str) -> Envelope:
    """A message of a host. Raises EnvelopeError unless it is signed by an enrolled host."""
    return unseal(text, to=CONTROL, key_of=_host_key)


_parsed: dict[str, Ed25519PublicKey] = {}
_guard = threading.Lock()


def _host_key(host: str) -> Ed25519PublicKey | None:
    pem = Executor.objects.filter(host=host).values_list("public_key", flat=True).first()
    if not pem:
        return None
    with _guard:
        if pem not in _parsed:
            _parsed.clear() if len(_parsed) > 10_000 else None
            _parsed[pem] = public_key(pem)
        return _parsed[pem]
