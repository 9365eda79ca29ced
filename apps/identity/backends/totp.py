"""Time-based one-time passwords (RFC 6238): six digits, 30 seconds, HMAC-SHA-1, as authenticators make them."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP

PERIOD: Final = 30  # seconds
DIGITS: Final = 6
_LEAST_KEY = 10  # bytes; what RFC 4226 asks for is 16, some authenticators hand out 10


def key_of(secret: str) -> bytes:
    """The key behind a base32 text, padded or not, in any case. Raises ValueError for what is none or too short."""
    text = secret.strip().replace(" ", "").rstrip("=").upper()
    try:
        key = base64.b32decode(text + "=" * (-len(text) % 8))
    except binascii.Error as error:
        raise ValueError("not base32") from error
    if len(key) < _LEAST_KEY:
        raise ValueError("too short")
    return key


def code(secret: str, step: int) -> str:
    """The code of one step of time. Raises ValueError for an unusable secret."""
    algorithm = SHA1()  # noqa: S303 - what authenticators do; as an HMAC it is sound
    return HOTP(key_of(secret), DIGITS, algorithm, enforce_key_length=False).generate(step).decode()


def step_at(seconds: float) -> int:
    """The step of a moment, in seconds since 1970."""
    return int(seconds) // PERIOD


def matching_step(secret: str, passcode: str, *, now: float, previous: int) -> int | None:
    """The newest step, at most `previous` ones ago, whose code this is; None if none is. Takes the same time always."""
    found = None
    for step in range(step_at(now) - previous, step_at(now) + 1):
        if hmac.compare_digest(code(secret, step), passcode):
            found = step
    return found
