"""Statements that a connection's database plans once."""

from __future__ import annotations

import pytest
from django.db import ProgrammingError, connection, transaction

from apps.core.prepared import Prepared

pytestmark = pytest.mark.django_db(transaction=True)

SUMS = Prepared("test_sums", ["integer[]", "text"], "SELECT $2, sum(n) FROM unnest($1) n")


def known() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE name = 'kumo_test_sums'")
        return int(cursor.fetchone()[0])


def test_it_is_made_known_to_a_connection_once_and_is_one_query_each_time(django_assert_num_queries):
    with django_assert_num_queries(2):
        assert SUMS.rows([1, 2, 3], "it's") == [("it's", 6)]
        assert SUMS.rows([], "%s") == [("%s", None)]
    assert known() == 1


def test_another_connection_learns_it_too():
    SUMS.rows([1], "a")
    connection.close()
    assert known() == 0
    assert SUMS.rows([2], "b") == [("b", 2)]


def test_a_transaction_that_is_undone_does_not_take_it_along():
    connection.close()
    with transaction.atomic():
        SUMS.rows([1], "a")
        transaction.set_rollback(True)
    assert known() == 1
    assert SUMS.rows([2], "b") == [("b", 2)]


def test_what_the_database_refuses_is_djangos_error():
    wrong = Prepared("test_wrong", [], "SELECT nothing FROM nowhere")
    for _ in range(2):
        with pytest.raises(ProgrammingError):
            wrong.rows()
