"""The one read that every request makes: has anything changed, and was this token revoked?"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection

_PULSE = """
SELECT coalesce((SELECT value FROM identity_epoch), 0),
       ARRAY(SELECT audit_id FROM identity_revokedtoken WHERE audit_id = ANY(%s))
"""


def pulse(audit_ids: Sequence[str] = ()) -> tuple[int, frozenset[str]]:
    """The current epoch, and which of these audit ids are revoked; one query."""
    with connection.cursor() as cursor:
        cursor.execute(_PULSE, [list(audit_ids)])
        epoch, revoked = cursor.fetchone()
    return epoch, frozenset(revoked)
