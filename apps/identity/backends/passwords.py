"""Password hashes: argon2id for new ones, bcrypt understood for users taken over from Keystone.

What a hash costs is the setting `KUMO_PASSWORD_COST`.
"""

from __future__ import annotations

import functools
import secrets

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from django.conf import settings

MAX_PASSWORD_LENGTH = 4096  # as Keystone; also bounds the work a stranger can ask for
_BCRYPT_BYTES = 72  # bcrypt ignores the rest, and its library refuses it
_hasher = PasswordHasher(**settings.KUMO_PASSWORD_COST)


def hash_password(password: str) -> str:
    """A salted argon2id hash in PHC form."""
    return _hasher.hash(password)


def verify_password(password: str, stored: str) -> bool:
    """Does the password belong to the stored hash? An empty hash costs the same time and never matches."""
    if len(password) > MAX_PASSWORD_LENGTH:
        return False
    if not stored:
        _matches(password, _dummy())
        return False
    return _matches(password, stored)


def needs_rehash(stored: str) -> bool:
    """Was this hash made by an older method or with weaker parameters?"""
    return not stored.startswith("$argon2id$") or _hasher.check_needs_rehash(stored)


def _matches(password: str, stored: str) -> bool:
    if stored.startswith(("$2a$", "$2b$", "$2y$")):
        return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], stored.encode())
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


@functools.cache
def _dummy() -> str:
    """What an unknown user's password is compared with, so that the answer takes as long as any other."""
    return hash_password(secrets.token_urlsafe(32))
