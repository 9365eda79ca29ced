"""Ids that begin with the time."""

from __future__ import annotations

import time
import uuid

import pytest

from apps.core.ids import timed_uuid


def test_id_is_version_7_and_begins_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = timed_uuid()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= after


def test_ids_sort_as_they_were_made_within_a_millisecond_too(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(1_766_000_000_123_000_000, 1_766_000_000_125_000_000, 250))
    monkeypatch.setattr(time, "time_ns", lambda: next(moments))
    made = [timed_uuid() for _ in range(8000)]
    assert made == sorted(made)
    assert {(one.version, one.variant) for one in made} == {(7, uuid.RFC_4122)}
    assert {one.int >> 80 for one in made} == {1_766_000_000_123, 1_766_000_000_124}


def test_ids_of_one_moment_differ() -> None:
    assert len({timed_uuid() for _ in range(1000)}) == 1000
