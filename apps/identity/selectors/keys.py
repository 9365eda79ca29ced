"""The keys of tokens: rows encrypted with the master key, opened once per process and epoch."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db.models import F

from apps.core.errors import Unavailable
from apps.identity.models import TokenKey


@dataclass(frozen=True, slots=True)
class KeyRing:
    """`newest` seals; `every` opens. `epoch` is that at which they were read."""

    epoch: int
    newest: Fernet
    every: MultiFernet


_ring: KeyRing | None = None


def master_key() -> Fernet:
    """The key that wraps other keys; a file beside the configuration, never in the database."""
    return Fernet(f"{settings.KUMO_MASTER_KEY}=")


def key_ring(epoch: int) -> KeyRing | None:
    """The keys in force, or None before the first was made. Raises Unavailable if the master key is another one.

    Rotation raises the epoch, so that every process reads them again with its next request.
    """
    global _ring
    held = _ring
    if held is not None and held.epoch == epoch:
        return held
    rows = list(TokenKey.objects.order_by(F("retired_at").desc(nulls_first=True)).values_list("wrapped", flat=True))
    if not rows:
        return None
    try:
        keys = [Fernet(master_key().decrypt(bytes(wrapped))) for wrapped in rows]
    except InvalidToken as error:
        raise Unavailable(
            "The keys of tokens cannot be opened with this master key.",
            hint="Put the right file `master_key` back, or make new keys: manage.py token-keys rotate --discard.",
        ) from error
    _ring = KeyRing(epoch, keys[0], MultiFernet(keys))
    return _ring


def forget_keys() -> None:
    """Drop what this process keeps."""
    global _ring
    _ring = None
