"""Ids of rows that come in great numbers."""

from __future__ import annotations

import os
import time
import uuid

_VERSION, _VARIANT = 7 << 76, 0b10 << 62
_RANDOM = (1 << 80) - 1 & ~(0xF << 76) & ~(0b11 << 62)


def timed_uuid() -> uuid.UUID:
    """A UUID that begins with the time (RFC 9562, version 7), so that rows of one day lie together in indexes."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big") & _RANDOM
    return uuid.UUID(int=(milliseconds << 80) | _VERSION | _VARIANT | random)
