"""The keys of tokens and of stored secrets: rows encrypted with the master key, opened once per process and epoch."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db.models import F

from apps.core import sealing
from apps.core.errors import Unavailable
from apps.identity.backends.jws import signing_key
from apps.identity.models import CredentialKey, TokenKey, WrappedKey
from apps.identity.selectors.epoch import pulse


@dataclass(frozen=True, slots=True)
class KeyRing:
    """`newest` seals; `every` opens; `signers` sign and check, the newest first. `epoch` is that at which they were
    read."""

    epoch: int
    newest: Fernet
    every: MultiFernet
    signers: tuple[Ed25519PrivateKey, ...]


_rings: dict[type[WrappedKey], KeyRing] = {}


def key_ring(epoch: int, keys: type[WrappedKey] = TokenKey) -> KeyRing | None:
    """The keys in force, or None before the first was made. Raises Unavailable if the master key is another one.

    Rotation raises the epoch, so that every process reads them again with its next request.
    """
    held = _rings.get(keys)
    if held is not None and held.epoch == epoch:
        return held
    newest_first = keys._default_manager.order_by(F("retired_at").desc(nulls_first=True))
    rows = list(newest_first.values_list("wrapped", flat=True))
    if not rows:
        return None
    try:
        secrets = [sealing.unseal(wrapped) for wrapped in rows]
    except Unavailable as error:
        raise Unavailable(
            f"The keys of {'tokens' if keys is TokenKey else 'credentials'} cannot be opened with this master key.",
            hint="Put the right file `master_key` back, or make new keys: manage.py token-keys rotate --discard.",
        ) from error
    opened = [Fernet(secret) for secret in secrets]
    signers = tuple(signing_key(secret) for secret in secrets)
    ring = _rings[keys] = KeyRing(epoch, opened[0], MultiFernet(opened), signers)
    return ring


def opened_secret(sealed: bytes | memoryview) -> str:
    """A stored secret in clear, with the keys this process knows; they are read again where none of them fits.

    Raises Unavailable if its key is gone.
    """
    held = _rings.get(CredentialKey)
    for ring in (held, None):
        ring = ring or key_ring(pulse()[0], CredentialKey)
        if ring is None:
            break
        try:
            return ring.every.decrypt(bytes(sealed)).decode()
        except InvalidToken:
            _rings.pop(CredentialKey, None)
    raise Unavailable("A stored secret cannot be opened: the key that sealed it is gone.")


def forget_keys() -> None:
    """Drop what this process keeps."""
    _rings.clear()
