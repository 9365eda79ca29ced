"""Making and rotating the keys of tokens and of stored secrets."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connection
from django.db.models import F, Model
from django.utils import timezone

from apps.core import sealing
from apps.core.context import RequestContext
from apps.core.transactions import internal
from apps.identity.models import (
    AccessToken,
    Consumer,
    Credential,
    CredentialKey,
    RequestToken,
    TokenKey,
    User,
    WrappedKey,
)
from apps.identity.selectors.epoch import pulse
from apps.identity.selectors.keys import KeyRing, key_ring
from apps.identity.services.epoch import change_epoch

_MARGIN = datetime.timedelta(hours=1)  # clocks, and requests that were under way
# The columns that the credential keys seal.
_SEALED: tuple[tuple[type[Model], str], ...] = (
    (Credential, "sealed_blob"),
    (Consumer, "sealed_secret"),
    (RequestToken, "sealed_secret"),
    (AccessToken, "sealed_secret"),
)
_BATCH = 500  # rows written with one statement


def key_ring_ensured(keys: type[WrappedKey] = TokenKey) -> KeyRing:
    """The keys in force; the first one is made now if there is none."""
    return key_ring(pulse()[0], keys) or _first_ring(keys)


def sealed_secret(clear: str) -> bytes:
    """A secret as it is stored."""
    return key_ring_ensured(CredentialKey).newest.encrypt(clear.encode())


@internal("before the first token or secret is made")
def _first_ring(keys: type[WrappedKey]) -> KeyRing:
    _lock(keys)
    if not keys._default_manager.exists():
        _make(keys)
    change_epoch()
    ring = key_ring(pulse()[0], keys)
    assert ring is not None
    return ring


@internal("an operator's command")
def token_keys_rotate(ctx: RequestContext, *, discard: bool = False) -> int:
    """Make a new key for new tokens and return how many old ones still open theirs.

    Old keys stay until the last token made with them has expired. `discard` drops them at once, for a key that
    somebody else has seen: every token ends and everybody signs in again.
    """
    _lock(TokenKey)
    now = timezone.now()
    if discard:
        TokenKey.objects.all().delete()
        User.objects.update(token_generation=F("token_generation") + 1)
    else:
        limits = settings.CONFIG.identity
        lifetime = datetime.timedelta(hours=limits.token_hours + limits.allow_expired_hours)
        TokenKey.objects.filter(retired_at__lt=now - lifetime - _MARGIN).delete()
        TokenKey.objects.filter(retired_at=None).update(retired_at=now)
    _make(TokenKey)
    change_epoch()
    return TokenKey.objects.exclude(retired_at=None).count()


@internal("an operator's command")
def credential_keys_rotate(ctx: RequestContext) -> int:
    """Make a new key, seal every stored secret with it, drop the old ones; returns how many secrets there were.

    Nobody notices: readers that still hold the old keys read the new one when they meet what it sealed.
    """
    _lock(CredentialKey)
    former = key_ring_ensured(CredentialKey)
    CredentialKey.objects.filter(retired_at=None).update(retired_at=timezone.now())
    new = _make(CredentialKey)
    count = 0
    for model, column in _SEALED:
        for rows in _batches(model, column):
            for row in rows:
                setattr(row, column, new.encrypt(former.every.decrypt(bytes(getattr(row, column)))))
            count += model._default_manager.bulk_update(rows, [column])
    CredentialKey.objects.exclude(retired_at=None).delete()
    change_epoch()
    return count


def _batches(model: type[Model], column: str) -> Iterator[list[Model]]:
    """All rows, locked, by their ids."""
    last = ""
    while True:
        rows = model._default_manager.select_for_update(no_key=True).filter(pk__gt=last).order_by("pk")
        batch = list(rows.only("pk", column)[:_BATCH])
        if not batch:
            return
        yield batch
        last = batch[-1].pk


def _lock(keys: type[WrappedKey]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"identity/{keys._meta.model_name}"])


def _make(keys: type[WrappedKey]) -> Fernet:
    made = Fernet.generate_key()
    keys._default_manager.create(wrapped=sealing.seal(made))
    return Fernet(made)
