"""Password hashes: argon2id for new ones; those of users taken over from Keystone are understood until their first use.

What a hash costs is the setting `KUMO_PASSWORD_COST`.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from django.conf import settings

from apps.identity.backends.foreign_hashes import checker_of

MAX_PASSWORD_LENGTH = 4096  # as Keystone; also bounds the work a stranger can ask for


def hasher_at(cost: Mapping[str, int]) -> PasswordHasher:
    """Hashes at this cost: `time_cost`, `memory_cost` in KiB, `parallelism`."""
    return PasswordHasher(cost["time_cost"], cost["memory_cost"], cost["parallelism"])


_hasher = hasher_at(settings.KUMO_PASSWORD_COST)


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
    if not stored.startswith("$argon2"):
        check = checker_of(stored)
        return check is not None and check(password)
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


@functools.cache
def _dummy() -> str:
    """What an unknown user's password is compared with, so that the answer takes as long as any other."""
    return hash_password(secrets.token_urlsafe(32))
