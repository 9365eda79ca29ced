"""Signed messages between the control plane and hosts: one string each, used by both sides.

The form is `<Ed25519 signature, base64url>.<JSON>`; the signature covers the JSON's bytes, and these name
sender, addressee and everything that must not be exchanged. Whoever opens a message says whose key to expect
and to whom it must be addressed.
"""

from __future__ import annotations

import base64
import binascii
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

CONTROL = "control"  # the control plane's name as sender and addressee
MAX_BYTES = 16 * 1024 * 1024

# What a host sends that is no report of a verb.
ANSWER, RENEW, HELLO = "host.answer", "host.renew", "host.hello"
# What a host is sent that is no verb.
CANCEL = "host.cancel"


class EnvelopeError(Exception):
    """A message that must not be believed."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed. `operation` is empty for messages that belong to none."""

    sender: str = msgspec.field(name="from")
    to: str
    operation: str = ""
    step: str = ""
    attempt: int = 0
    fence: int = 0
    verb: str
    body: dict[str, Any]
    issued: float  # sender's clock, seconds since the epoch; for people, never to decide


class Failed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a verb did not do what was asked; `kind` is one of `agents.errors`."""

    kind: str
    message: str


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `host.answer`: a reply, or why there is none."""

    reply: dict[str, Any] | None = None
    error: Failed | None = None


class Running(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One verb that a host has taken and not answered."""

    operation: str
    attempt: int
    percent: int = 0
    text: str = ""


class Renewal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `host.renew`: all verbs that go on, in one message."""

    running: tuple[Running, ...]


class Reported(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of everything else a host sends: its boot, and the verb's own message."""

    boot_id: str
    message: dict[str, Any] = {}


def seal(key: Ed25519PrivateKey, envelope: Envelope) -> str:
    """The message as one signed string."""
    payload = msgspec.json.encode(envelope)
    return f"{base64.urlsafe_b64encode(key.sign(payload)).decode()}.{payload.decode()}"


def unseal(text: str, *, to: str, key_of: Callable[[str], Ed25519PublicKey | None]) -> Envelope:
    """Check addressee and signature, and return what was signed.

    `key_of` maps a sender's name to its key, or None for strangers. Raises EnvelopeError.
    """
    if len(text) > MAX_BYTES:
        raise EnvelopeError("the message is too large")
    signature, _, payload = text.partition(".")
    try:
        envelope = msgspec.json.decode(payload.encode(), type=Envelope)
        mark = base64.b64decode(signature, altchars=b"-_", validate=True)
    except (msgspec.DecodeError, binascii.Error, UnicodeError, ValueError) as error:
        raise EnvelopeError(f"the message cannot be read: {error}") from error
    if base64.urlsafe_b64encode(mark).decode() != signature:  # spare bits of the last character
        raise EnvelopeError("the signature is not written as it should be")
    if envelope.to != to:
        raise EnvelopeError(f"the message is addressed to {envelope.to!r}, not to {to!r}")
    key = key_of(envelope.sender)
    if key is None:
        raise EnvelopeError(f"the sender {envelope.sender!r} is not known")
    try:
        key.verify(mark, payload.encode())
    except InvalidSignature:
        raise EnvelopeError(f"the message is not signed by {envelope.sender!r}") from None
    return envelope


def envelope(*, sender: str, to: str, verb: str, body: msgspec.Struct | dict[str, Any], **fields: Any) -> Envelope:
    """An envelope issued now. `fields` are operation, step, attempt and fence."""
    plain = body if isinstance(body, dict) else msgspec.to_builtins(body)
    return Envelope(sender=sender, to=to, verb=verb, body=plain, issued=time.time(), **fields)


# --- keys ------------------------------------------------------------------------------------------


def new_private_key() -> str:
    """A fresh private key, PEM."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def private_key(pem: str) -> Ed25519PrivateKey:
    """The key in a PEM text. Raises ValueError when it is not an Ed25519 key."""
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("the signing key is not an Ed25519 key")
    return key


def public_key(pem: str) -> Ed25519PublicKey:
    """The key in a PEM text. Raises ValueError when it is not an Ed25519 key."""
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("the public key is not an Ed25519 key")
    return key


def public_pem(key: Ed25519PrivateKey) -> str:
    """The public half, PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def key_file(path: Path) -> Ed25519PrivateKey:
    """The private key in a file of mode 0600, made if absent. Two processes that make it at once agree on one."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(new_private_key())
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return private_key(path.read_text())


def queue_of(host: str, kind: str = "") -> str:
    """Name of a host's queue: `host.H`, `host.H.long` or `host.H.control`."""
    return f"host.{host}.{kind}" if kind else f"host.{host}"
