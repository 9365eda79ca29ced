"""The clock that times are taken from."""

from __future__ import annotations

import datetime

import pytest

from apps.core.clock import database_time


@pytest.mark.django_db
def test_time_goes_on_within_a_transaction() -> None:
    first, second = database_time(), database_time()
    assert first < second
    assert first.utcoffset() == datetime.timedelta()
