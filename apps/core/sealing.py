"""Encrypting what must not lie open in the database, with the master key that lies beside the configuration."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

from apps.core.errors import Unavailable


def _key() -> Fernet:
    return Fernet(f"{settings.KUMO_MASTER_KEY}=")


def seal(clear: bytes) -> bytes:
    """Encrypted and authenticated."""
    return _key().encrypt(clear)


def unseal(sealed: bytes | memoryview) -> bytes:
    """What was sealed. Raises Unavailable where the master key is another one."""
    try:
        return _key().decrypt(bytes(sealed))
    except InvalidToken as error:
        raise Unavailable(
            "An encrypted value cannot be opened with this master key.",
            hint="Put the right file `master_key` back.",
        ) from error


def derived(purpose: str) -> bytes:
    """A key for one purpose alone, 32 bytes: always the same one, and of no use to find another's."""
    return hmac.digest(settings.KUMO_MASTER_KEY.encode(), purpose.encode(), hashlib.sha256)
