"""What a host must not forget when its worker dies: the highest fence of each resource, and answers of acts that
must not happen twice. One SQLite file, synced to disk before a verb acts on it."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import msgspec

KEPT_S = 30 * 24 * 3600  # far longer than any message can lie in a queue

_TABLES = """
CREATE TABLE IF NOT EXISTS fence (resource TEXT PRIMARY KEY, fence INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answer (operation TEXT NOT NULL, step TEXT NOT NULL, reply BLOB NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (operation, step)) WITHOUT ROWID;
"""
_RAISE = """
INSERT INTO fence (resource, fence, at) VALUES (?, ?, ?)
ON CONFLICT (resource) DO UPDATE SET fence = excluded.fence, at = excluded.at WHERE excluded.fence >= fence.fence
"""


class Journal:
    """Safe for threads. Raises sqlite3.Error when the disk fails, in which case no verb may act."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._guard = threading.Lock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_TABLES)

    def admits(self, resource: str, fence: int) -> bool:
        """Raise the resource's fence to this one; false if a higher one was there, also after the resource is gone."""
        with self._guard:
            return self._db.execute(_RAISE, (resource, fence, time.time())).rowcount == 1

    def recorded(self, operation: str, step: str) -> dict[str, object] | None:
        """The reply of an act that was done already."""
        with self._guard:
            row = self._db.execute(
                "SELECT reply FROM answer WHERE operation = ? AND step = ?", (operation, step)
            ).fetchone()
        return msgspec.json.decode(row[0]) if row else None

    def record(self, operation: str, step: str, reply: dict[str, object]) -> None:
        """Keep the reply of an act that must not happen again for this step."""
        with self._guard:
            self._db.execute(
                "INSERT OR REPLACE INTO answer (operation, step, reply, at) VALUES (?, ?, ?, ?)",
                (operation, step, msgspec.json.encode(reply), time.time()),
            )

    def prune(self, kept_s: float = KEPT_S) -> None:
        """Forget what no message can ask for any more."""
        limit = time.time() - kept_s
        with self._guard:
            self._db.execute("DELETE FROM answer WHERE at < ?", (limit,))
            self._db.execute("DELETE FROM fence WHERE at < ?", (limit,))

    def close(self) -> None:
        """Write everything and let go of the file."""
        with self._guard:
            self._db.close()
