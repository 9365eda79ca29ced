"""The one read that every request makes: has anything changed, and was this token revoked? And what changes it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from django.db import DatabaseError, InterfaceError, connection

from apps.core.combining import Combiner
from apps.core.prepared import Prepared
from apps.core.transactions import is_database_away

_PULSE = Prepared(
    "pulse",
    ["text[]"],
    """
SELECT coalesce((SELECT value FROM identity_epoch), 0),
       ARRAY(SELECT audit_id FROM identity_revokedtoken WHERE audit_id = ANY($1))
""",
)

_CHANGE = """
INSERT INTO identity_epoch (id, value) VALUES (1, %s)
ON CONFLICT (id) DO UPDATE SET value = excluded.value
"""


def change_epoch() -> None:
    """Tell every process that what it knows about tokens may be out of date.

    Called after a change that may alter what a token allows; last in its transaction, since the row is shared.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CHANGE, [secrets.randbits(62)])


def pulse(audit_ids: Sequence[str] = ()) -> tuple[int, frozenset[str]]:
    """The current epoch, and which of these audit ids are revoked; one query, for all who ask at the same time.

    As the first query of a request it also serves as the check of a kept connection, in place of Django's own
    `SELECT 1`: one that the server has closed is opened again, once.
    """
    if connection.in_atomic_block:
        return _ask(audit_ids)
    return _together(audit_ids)


def _ask_for_all(asked: list[Sequence[str]]) -> list[tuple[int, frozenset[str]]]:
    every = {audit_id for audit_ids in asked for audit_id in audit_ids}
    epoch, revoked = _ask_on_living(list(every))
    return [(epoch, revoked.intersection(audit_ids)) for audit_ids in asked]


_together = Combiner(_ask_for_all, again=True)


def _ask_on_living(audit_ids: Sequence[str]) -> tuple[int, frozenset[str]]:
    if connection.connection is None:
        return _ask(audit_ids)
    connection.health_check_done = True  # type: ignore[attr-defined]
    try:
        return _ask(audit_ids)
    except (DatabaseError, InterfaceError) as error:
        if not is_database_away(error) and connection.is_usable():
            raise
        connection.close()
        return _ask(audit_ids)


def _ask(audit_ids: Sequence[str]) -> tuple[int, frozenset[str]]:
    ((epoch, revoked),) = _PULSE.rows(list(audit_ids))
    return epoch, frozenset(revoked)
