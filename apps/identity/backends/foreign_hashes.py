"""Password hashes that Keystone may have made, in passlib's forms: checked at sign-in, never made.

bcrypt (`$2b$…`), bcrypt over SHA-256 (`$bcrypt-sha256$…`, both versions), scrypt (`$scrypt$ln=…`) and PBKDF2 with
SHA-512 (`$pbkdf2-sha512$…`). What a check may cost is bounded, since the parameters come from outside.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable

import bcrypt

_BCRYPT_BYTES = 72  # bcrypt ignores the rest, and its library refuses it
MOST_BCRYPT_ROUNDS = 15
MOST_SCRYPT_BYTES = 256 * 1024 * 1024
MOST_PBKDF2_ROUNDS = 5_000_000

_BCRYPT = re.compile(r"^\$2[aby]\$(\d{2})\$[./A-Za-z0-9]{53}$")
_BCRYPT_SHA256_1 = re.compile(r"^\$bcrypt-sha256\$(2[ab]),(\d{1,2})\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})$")
_BCRYPT_SHA256_2 = re.compile(r"^\$bcrypt-sha256\$v=2,t=(2[ab]),r=(\d{1,2})\$([./A-Za-z0-9]{22})\$([./A-Za-z0-9]{31})$")
_SCRYPT = re.compile(r"^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]*)\$([A-Za-z0-9+/]+)$")
_PBKDF2 = re.compile(r"^\$pbkdf2-sha512\$(\d{1,8})\$([A-Za-z0-9./]*)\$([A-Za-z0-9./]+)$")


def checker_of(stored: str) -> Callable[[str], bool] | None:
    """What tells whether a password belongs to the hash; None for other forms and for ones that cost too much."""
    for pattern, make in _FORMS:
        found = pattern.match(stored)
        if found:
            try:
                return make(stored, found)
            except (ValueError, binascii.Error):
                return None
    return None


def _bcrypt(stored: str, found: re.Match[str]) -> Callable[[str], bool]:
    _bounded(int(found[1]), MOST_BCRYPT_ROUNDS)
    return lambda password: bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], stored.encode())


def _bcrypt_sha256_1(stored: str, found: re.Match[str]) -> Callable[[str], bool]:
    kind, rounds, salt, digest = found.groups()
    return _over_sha256(kind, rounds, salt, digest, lambda password: hashlib.sha256(password).digest())


def _bcrypt_sha256_2(stored: str, found: re.Match[str]) -> Callable[[str], bool]:
    kind, rounds, salt, digest = found.groups()
    return _over_sha256(
        kind, rounds, salt, digest, lambda password: hmac.digest(salt.encode(), password, hashlib.sha256)
    )


def _over_sha256(
    kind: str, rounds: str, salt: str, digest: str, prehash: Callable[[bytes], bytes]
) -> Callable[[str], bool]:
    _bounded(int(rounds), MOST_BCRYPT_ROUNDS)
    inner = f"${kind}${int(rounds):02}${salt}{digest}".encode()
    return lambda password: bcrypt.checkpw(base64.b64encode(prehash(password.encode())), inner)


def _scrypt(stored: str, found: re.Match[str]) -> Callable[[str], bool]:
    log_n, r, p = (int(found[n]) for n in (1, 2, 3))
    _bounded(log_n, 24)
    memory = 128 * r * (2**log_n + p + 2)
    _bounded(memory * p, 4 * MOST_SCRYPT_BYTES)
    _bounded(memory, MOST_SCRYPT_BYTES)
    salt, wanted = _b64(found[4]), _b64(found[5])

    def check(password: str) -> bool:
        made = hashlib.scrypt(
            password.encode(), salt=salt, n=2**log_n, r=r, p=p, maxmem=2 * memory + 1024 * 1024, dklen=len(wanted)
        )
        return hmac.compare_digest(made, wanted)

    return check


def _pbkdf2(stored: str, found: re.Match[str]) -> Callable[[str], bool]:
    rounds = int(found[1])
    _bounded(rounds, MOST_PBKDF2_ROUNDS)
    salt, wanted = _b64(found[2].replace(".", "+")), _b64(found[3].replace(".", "+"))

    def check(password: str) -> bool:
        made = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds, dklen=len(wanted))
        return hmac.compare_digest(made, wanted)

    return check


def _bounded(value: int, most: int) -> None:
    if not 0 < value <= most:
        raise ValueError(f"{value} is beyond {most}")


def _b64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


_FORMS = (
    (_BCRYPT, _bcrypt),
    (_BCRYPT_SHA256_1, _bcrypt_sha256_1),
    (_BCRYPT_SHA256_2, _bcrypt_sha256_2),
    (_SCRYPT, _scrypt),
    (_PBKDF2, _pbkdf2),
)
