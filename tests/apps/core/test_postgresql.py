"""A kept connection is known to be dead before anything is asked over it."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest
from django.db import DataError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

pytestmark = pytest.mark.django_db


@pytest.fixture
def other() -> Iterator[BaseDatabaseWrapper]:
    made = connections.create_connection("default")
    made.settings_dict = made.settings_dict | {"NAME": connection.settings_dict["NAME"]}
    yield made
    made.close()


def _value(of: BaseDatabaseWrapper, statement: str) -> object:
    with of.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def test_an_idle_connection_is_usable(other: BaseDatabaseWrapper) -> None:
    assert not other.is_usable()
    other.ensure_connection()
    assert other.is_usable()
    assert _value(other, "SELECT 1") == 1
    assert other.is_usable()


def test_a_connection_that_the_server_ended_is_not_and_the_next_request_has_another(other: BaseDatabaseWrapper) -> None:
    first = _value(other, "SELECT pg_backend_pid()")
    assert _value(connection, f"SELECT pg_terminate_backend({first})")
    look = select.poll()
    look.register(other.connection.fileno(), select.POLLIN)
    assert look.poll(10_000)
    assert not other.is_usable()
    other.close_if_unusable_or_obsolete()  # as at the begin of a request
    assert _value(other, "SELECT pg_backend_pid()") != first


def test_a_connection_closed_on_this_side_is_not_usable(other: BaseDatabaseWrapper) -> None:
    other.ensure_connection()
    other.connection.close()
    assert not other.is_usable()


def test_a_connection_whose_transaction_failed_is_not_usable_until_it_ends(other: BaseDatabaseWrapper) -> None:
    other.set_autocommit(False)
    with other.cursor() as cursor, pytest.raises(DataError):
        cursor.execute("SELECT 1 / 0")
    assert not other.is_usable()
    other.rollback()
    assert other.is_usable()
