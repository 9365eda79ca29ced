"""The end of a guest's serial console log, which virtlogd writes and rotates: FILE, then FILE.0, FILE.1, …"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

BACKUPS = 16  # more than virtlogd is ever set to keep


def tail(path: Path, lines: int | None, max_bytes: int) -> str:
    """The last `lines` lines (all that is kept where None), at most `max_bytes` bytes of them."""
    kept = _last_bytes(path, max_bytes)
    if lines is not None:
        kept = b"".join(kept.splitlines(keepends=True)[-lines:])
    return kept.decode("utf-8", errors="replace")


def _last_bytes(path: Path, count: int) -> bytes:
    found = b""
    for part in _newest_first(path):
        missing = count - len(found)
        if missing <= 0:
            break
        with part.open("rb") as log:
            size = log.seek(0, 2)
            log.seek(max(0, size - missing))
            found = log.read(missing) + found
    return found


def _newest_first(path: Path) -> Iterator[Path]:
    if path.exists():
        yield path
    for number in range(BACKUPS):
        backup = path.with_name(f"{path.name}.{number}")
        if not backup.exists():
            return
        yield backup
