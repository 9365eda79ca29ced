"""Encryption of objects' bytes at rest: with keys of this store (SSE-S3), or with keys that callers bring (SSE-C).

Bytes are cut into records, each encrypted by AES-256-GCM and as large, with its tag, as a chunk of the back end: a
range is read by opening the records it touches. The number of a record and whether it is the last are in its nonce,
so that none can be left out, doubled or moved; each blob has a key of its own, derived from the object's key and a
random salt, so that no nonce is used twice. An object's row keeps the envelope: the mode, the object's key sealed by
the master key (SSE-S3) or what tells whether a key is the right one (SSE-C), and the salt of its bytes. A caller's
key is kept nowhere.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from apps.core.errors import Forbidden, Invalid, Unavailable
from apps.core.sealing import seal, unseal
from apps.objectstore.models import Container
from apps.objectstore.selectors.access import bucket_of
from apps.objectstore.states import CHUNK

DOCUMENT = "encryption"  # of a bucket; the one algorithm it can name is AES256
AES256 = "AES256"  # the store's own keys
CUSTOMER = "customer"  # keys that callers bring
KEY_BYTES = 32
TAG = 16
CLEAR = CHUNK - TAG  # of the caller's bytes in a record


# What is kept of an object's encryption; bytes are base64. `mode`; `key`, sealed, or `check` and `check_salt`, which
# tell whether a caller's key is the right one; `salt` of the blob (objects of parts have one with each part).
Envelope: TypeAlias = dict[str, str]


@dataclass(frozen=True, slots=True)
class Wish:
    """How an object's bytes shall be encrypted. The key is 32 bytes for SSE-C, else empty."""

    mode: str
    key: bytes = field(default=b"", repr=False)


def wish_of(place: Container, wish: Wish | None) -> Wish | None:
    """How an object that comes there is encrypted: as its caller says, or by the bucket's default."""
    bucket = bucket_of(place)
    return wish or (Wish(AES256) if bucket and bucket.documents.get(DOCUMENT) else None)


@dataclass(frozen=True, slots=True)
class Secret:
    """An envelope and the key that it is about."""

    envelope: Envelope
    key: bytes = field(repr=False)

    @property
    def is_customers(self) -> bool:
        return self.envelope["mode"] == CUSTOMER


def secret_new(wish: Wish) -> Secret:
    """A fresh key of the store's, or the caller's key; the envelope has no salt yet."""
    if wish.mode == AES256:
        key = secrets.token_bytes(KEY_BYTES)
        return Secret({"mode": AES256, "key": seal(key).decode()}, key)
    salt = secrets.token_bytes(16)
    check = _text(_derived(wish.key, salt, b"check"))
    return Secret({"mode": CUSTOMER, "check": check, "check_salt": _text(salt)}, wish.key)


def secret_of(envelope: Envelope, customer: bytes = b"") -> Secret:
    """What opens an object. `customer` is the key that the caller brings, or empty.

    Raises Invalid where one is missing or does not belong here, Forbidden for another than the object's, Unavailable
    where the master key is another.
    """
    require_key(envelope, customer)
    return Secret(envelope, customer or unseal(envelope["key"].encode()))


def require_key(envelope: Envelope | None, customer: bytes) -> None:
    """Raise as `secret_of` unless the key that the caller brings, if any, is what this envelope needs."""
    if envelope is None or envelope["mode"] == AES256:
        if customer:
            raise Invalid("The encryption parameters are not applicable to this object.", code="InvalidRequest")
        return
    if not customer:
        raise Invalid(
            "The object was stored using a form of Server Side Encryption. "
            "The correct parameters must be provided to retrieve the object.",
            hint="It is read through S3 with the key that it was written with.",
            code="InvalidRequest",
        )
    check = _derived(customer, base64.b64decode(envelope["check_salt"]), b"check")
    if not hmac.compare_digest(check, base64.b64decode(envelope["check"])):
        raise Forbidden("The key is not the one that the object is encrypted with.", code="AccessDenied")


def sealed_size(size: int) -> int:
    """Bytes that so many of a caller's become."""
    return size + TAG * _records(size)


def _records(size: int) -> int:
    return -(-size // CLEAR)


def _cipher(key: bytes, salt: str) -> AESGCM:
    return AESGCM(_derived(key, base64.b64decode(salt), b"bytes"))


def _derived(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt, b"kumo object " + purpose).derive(key)


def _nonce(index: int, is_last: bool) -> bytes:
    return index.to_bytes(11) + bytes([is_last])


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Sealer:
    """Encrypts a blob's bytes as they come in. A record is held back until it is known whether it is the last."""

    def __init__(self, key: bytes, salt: str = "") -> None:
        self.salt = salt or _text(secrets.token_bytes(16))
        self._cipher = _cipher(key, self.salt)
        self._index, self._rest = 0, bytearray()

    def records(self, piece: bytes) -> Iterator[bytes]:
        """The records that are complete, and not the last, with this piece."""
        self._rest += piece
        while len(self._rest) > CLEAR:
            yield self._record(is_last=False)

    def last(self) -> bytes:
        """The last record; nothing where there were no bytes."""
        return self._record(is_last=True) if self._rest else b""

    def _record(self, *, is_last: bool) -> bytes:
        sealed = self._cipher.encrypt(_nonce(self._index, is_last), self._rest[:CLEAR], None)
        del self._rest[:CLEAR]
        self._index += 1
        return sealed


def sealed_span(start: int, end: int, size: int) -> tuple[int, int]:
    """From where to where of the sealed bytes the records lie that hold `start` up to `end` of `size` bytes."""
    return start // CLEAR * CHUNK, min(_records(end) * CHUNK, sealed_size(size))


def opened(sealed: Iterable[bytes], key: bytes, salt: str, start: int, end: int, size: int) -> Iterator[bytes]:
    """The caller's bytes from `start` up to `end` of `size`, given the sealed ones of `sealed_span`.

    Raises Unavailable where bytes are not those that were written.
    """
    cipher, last = _cipher(key, salt), _records(size) - 1
    for index, record in enumerate(_recut(sealed), start // CLEAR):
        try:
            clear = cipher.decrypt(_nonce(index, index == last), record, None)
        except InvalidTag as error:
            raise Unavailable("The bytes of the object are damaged.", hint="Tell your administrator.") from error
        at = index * CLEAR
        yield clear[max(start - at, 0) : end - at]


def _recut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of one record."""
    rest = b""
    for piece in pieces:
        rest = rest + piece if rest else piece
        while len(rest) >= CHUNK:
            yield rest[:CHUNK]
            rest = rest[CHUNK:]
    if rest:
        yield rest
