"""JSON Web Signatures (RFC 7515, compact form) with Ed25519 (RFC 8037)."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_HEADER = {"alg": "EdDSA", "typ": "JWT"}


class BadSignature(Exception):
    """Not of this form, or not signed with one of the keys."""


def signing_key(secret: bytes) -> Ed25519PrivateKey:
    """The key that belongs to a secret, always the same one."""
    seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"identity tokens, Ed25519").derive(secret)
    return Ed25519PrivateKey.from_private_bytes(seed)


def sign(payload: Mapping[str, Any], key: Ed25519PrivateKey) -> str:
    """`header.payload.signature`."""
    signed = f"{_encoded(orjson.dumps(_HEADER))}.{_encoded(orjson.dumps(payload))}"
    return f"{signed}.{_encoded(key.sign(signed.encode()))}"


def verified(text: str, keys: Iterable[Ed25519PrivateKey]) -> dict[str, Any]:
    """The payload. Raises BadSignature."""
    try:
        signed, _, signature = text.rpartition(".")
        header, _, payload = signed.partition(".")
        raw = _decoded(signature)
        if orjson.loads(_decoded(header)) != _HEADER or not any(_fits(key, raw, signed.encode()) for key in keys):
            raise BadSignature
        content: dict[str, Any] = orjson.loads(_decoded(payload))
    except ValueError as error:
        raise BadSignature from error
    return content


def _fits(key: Ed25519PrivateKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.public_key().verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
