"""The database's clock, the only one that times are taken from: by another, rows can seem to come from the future."""

from __future__ import annotations

import datetime

from django.db import connection


def database_time() -> datetime.datetime:
    """What time it is now, also within a transaction that began some time ago."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime.datetime = cursor.fetchone()[0]
    return moment
