"""Statements that every request makes: the database plans them once for each connection, not each time.

Only for the few of which planning is the greater part. A new plan is made by itself when tables or their statistics
change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connection
from psycopg2.extensions import connection as Session

_known: WeakKeyDictionary[Session, set[str]] = WeakKeyDictionary()


class Prepared:
    """A statement with `$1`, `$2` … for values of these types."""

    def __init__(self, name: str, types: Sequence[str], text: str) -> None:
        self._name = f"kumo_{name}"
        self._prepare = f"PREPARE {self._name} ({', '.join(types)}) AS {text}"
        self._execute = f"EXECUTE {self._name} ({', '.join(['%s'] * len(types))})"

    def rows(self, *values: Any) -> list[tuple[Any, ...]]:
        """What the statement returns."""
        with connection.cursor() as cursor:
            self._make_known()
            cursor.execute(self._execute, values)
            return list(cursor.fetchall())

    def _make_known(self) -> None:
        known = _known.setdefault(connection.connection, set())
        if self._name not in known:
            # It is no query of the request's, but fails as one.
            with connection.wrap_database_errors, connection.connection.cursor() as bare:
                bare.execute(self._prepare)
            known.add(self._name)
