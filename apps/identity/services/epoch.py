"""Telling every process that what it knows about tokens may be out of date."""

from __future__ import annotations

import secrets

from django.db import connection

_CHANGE = """
INSERT INTO identity_epoch (id, value) VALUES (1, %s)
ON CONFLICT (id) DO UPDATE SET value = excluded.value
"""


def change_epoch() -> None:
    """Called by every service after a change that may alter what a token allows; last, since the row is shared."""
    with connection.cursor() as cursor:
        cursor.execute(_CHANGE, [secrets.randbits(62)])
