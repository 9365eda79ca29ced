"""Threads that keep to one processor, and those that do not."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from apps.core import processors

EVERY = os.sched_getaffinity(0)


@pytest.mark.parametrize(
    ("environ", "is_small"),
    [
        ({"REQUEST_METHOD": "PUT", "CONTENT_LENGTH": "1024"}, True),
        ({"REQUEST_METHOD": "PUT", "CONTENT_LENGTH": str(processors.SMALL_BYTES)}, True),
        ({"REQUEST_METHOD": "DELETE", "CONTENT_LENGTH": ""}, True),
        ({"REQUEST_METHOD": "HEAD"}, True),
        ({"REQUEST_METHOD": "PUT", "CONTENT_LENGTH": str(processors.SMALL_BYTES + 1)}, False),
        ({"REQUEST_METHOD": "PUT", "CONTENT_LENGTH": "-1"}, False),
        ({"REQUEST_METHOD": "PUT", "HTTP_TRANSFER_ENCODING": "chunked"}, False),
        ({"REQUEST_METHOD": "GET"}, False),
    ],
)
def test_small_requests_are_those_that_move_few_bytes(environ: dict[str, Any], is_small: bool) -> None:
    assert processors.is_small(environ) is is_small


def test_a_thread_goes_where_its_request_is_best_served(monkeypatch: pytest.MonkeyPatch) -> None:
    def after(method: str) -> set[int]:
        processors.choose({"REQUEST_METHOD": method})
        return os.sched_getaffinity(0)

    with ThreadPoolExecutor(1) as pool:
        found = list(pool.map(after, ["HEAD", "HEAD", "GET", "PUT"]))
    one = found[0]
    assert (len(one), one <= EVERY) == (1, True)
    assert found == [one, one, EVERY, one]
    assert os.sched_getaffinity(0) == EVERY


def test_processors_that_are_gone_stop_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "_ONE", frozenset({100_000}))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(processors.together).result()
        assert pool.submit(os.sched_getaffinity, 0).result() == EVERY
