"""Bounds on guessing: how often one account, and one address, may be refused at the door within a while.

Counted in the database, which every web process shares whatever the broker is. An account is counted by the name
that was typed, whether it exists or not, so the answer tells nothing.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from apps.core.errors import KumoError
from apps.dashboard.models import Attempts

# Counts before the password is looked at: a burst of parallel guesses gets no further than a row of them.
_COUNT = """
INSERT INTO dashboard_attempts (key, count, ends_at) VALUES (%s, 1, now() + make_interval(secs => %s))
ON CONFLICT (key) DO UPDATE SET
    count = CASE WHEN dashboard_attempts.ends_at <= now() THEN 1 ELSE dashboard_attempts.count + 1 END,
    ends_at = CASE WHEN dashboard_attempts.ends_at <= now() THEN excluded.ends_at ELSE dashboard_attempts.ends_at END
RETURNING count, ceil(extract(epoch FROM ends_at - now()))
"""
_TAKE_BACK = "UPDATE dashboard_attempts SET count = count - 1 WHERE key = %s AND count > 0"


class TooManyAttempts(KumoError):
    """Wait `seconds`, then try again."""

    status = 429
    title = "Too Many Requests"

    def __init__(self, seconds: int) -> None:
        minutes = -(-seconds // 60)
        super().__init__(_("Too many attempts. Try again in %d min.") % minutes)
        self.seconds = seconds


def attempt(*, address: str, account: str) -> None:
    """Count one more attempt. Raises TooManyAttempts where the account or the address has had too many."""
    limits = settings.CONFIG.security
    for key, most in (
        (_digest("account", account), limits.sign_in_failures),
        (_digest("address", _network(address)), limits.sign_in_failures_of_address),
    ):
        if not most:
            continue
        with connection.cursor() as cursor:
            cursor.execute(_COUNT, [key, limits.sign_in_window_seconds])
            count, seconds = cursor.fetchone()
        if count > most:
            raise TooManyAttempts(int(seconds))


def succeeded(*, address: str, account: str) -> None:
    """The attempt was right after all: the account begins anew, and the address is not charged for it."""
    Attempts.objects.filter(key=_digest("account", account)).delete()
    Attempts.objects.filter(ends_at__lt=Now()).delete()
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_BACK, [_digest("address", _network(address))])


def account_of(parts: Iterable[str]) -> str:
    """A name for an account out of what was typed; case and blanks around do not matter."""
    return "\0".join(part.strip().casefold() for part in parts)


def _digest(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}\0{text}".encode()).hexdigest()


def _network(address: str) -> str:
    """Somebody with IPv6 has a whole /64 of addresses."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return address if found.version == 4 else str(ipaddress.ip_network(f"{address}/64", strict=False))
