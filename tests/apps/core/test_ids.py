"""Ids that begin with the time."""

from __future__ import annotations

import time
import uuid

from apps.core.ids import timed_uuid


def test_id_is_version_7_and_begins_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = timed_uuid()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= after


def test_ids_of_one_moment_differ() -> None:
    assert len({timed_uuid() for _ in range(1000)}) == 1000
