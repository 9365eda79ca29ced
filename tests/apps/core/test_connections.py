"""Connections to the database and the threads that have them."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from apps.core import connections


@pytest.fixture
def without_collections() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def connected_in_a_thread() -> Any:
    """The connection of a thread that has ended."""
    found: list[Any] = []

    def work() -> None:
        connection.ensure_connection()
        found.append(connection.connection)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("without_collections")
def test_a_connection_ends_with_its_thread() -> None:
    connections.end_with_threads()
    try:
        assert connected_in_a_thread().closed
    finally:
        connections.stay_after_threads()
    left_open = connected_in_a_thread()
    assert not left_open.closed, "Django alone leaves it open"
    left_open.close()
