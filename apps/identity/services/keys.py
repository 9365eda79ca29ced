"""Making and rotating the keys of tokens."""

from __future__ import annotations

import datetime

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connection
from django.db.models import F
from django.utils import timezone

from apps.core.context import RequestContext
from apps.core.transactions import internal
from apps.identity.models import TokenKey, User
from apps.identity.selectors.epoch import pulse
from apps.identity.selectors.keys import KeyRing, key_ring, master_key
from apps.identity.services.epoch import change_epoch

_MARGIN = datetime.timedelta(hours=1)  # clocks, and requests that were under way


def key_ring_ensured() -> KeyRing:
    """The keys in force; the first one is made now if there is none."""
    return key_ring(pulse()[0]) or _first_ring()


@internal("before the first token is made")
def _first_ring() -> KeyRing:
    _lock()
    if not TokenKey.objects.exists():
        _make()
    change_epoch()
    ring = key_ring(pulse()[0])
    assert ring is not None
    return ring


@internal("an operator's command")
def token_keys_rotate(ctx: RequestContext, *, discard: bool = False) -> int:
    """Make a new key for new tokens and return how many old ones still open theirs.

    Old keys stay until the last token made with them has expired. `discard` drops them at once, for a key that
    somebody else has seen: every token ends and everybody signs in again.
    """
    _lock()
    now = timezone.now()
    if discard:
        TokenKey.objects.all().delete()
        User.objects.update(token_generation=F("token_generation") + 1)
    else:
        lifetime = datetime.timedelta(hours=settings.CONFIG.identity.token_hours)
        TokenKey.objects.filter(retired_at__lt=now - lifetime - _MARGIN).delete()
        TokenKey.objects.filter(retired_at=None).update(retired_at=now)
    _make()
    change_epoch()
    return TokenKey.objects.exclude(retired_at=None).count()


def _lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('identity/token-keys', 0))")


def _make() -> None:
    TokenKey.objects.create(wrapped=master_key().encrypt(Fernet.generate_key()))
