"""Tokens that are shown once and kept as their hash. Without Django, because the live process reads them too."""

from __future__ import annotations

import hashlib
import secrets


def new_token() -> str:
    """A new token, URL-safe: 256 random bits, which is why a plain hash is enough to keep it by."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """What is stored of a token: its SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(token.encode()).hexdigest()
