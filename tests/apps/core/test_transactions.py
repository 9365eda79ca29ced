"""Services and the database's own refusals."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from django.db import connection

from apps.core import transactions
from apps.core.errors import Conflict
from apps.network.models import Port


@pytest.fixture
def orphan_create(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Port]:
    """A service that makes a port of no network, which the database refuses at the end of a transaction."""
    monkeypatch.setattr(transactions, "_violations", {})
    monkeypatch.setattr(transactions, "INTERNAL", {})
    with connection.cursor() as cursor:
        constraints = connection.introspection.get_constraints(cursor, Port._meta.db_table)
    name = next(name for name, said in constraints.items() if said["foreign_key"] == ("network_network", "id"))
    transactions.on_violation(name, lambda detail: Conflict("The network is gone."))

    @transactions.internal("a test calls it")
    def create() -> Port:
        return Port.objects.create(network_id=uuid.uuid4(), project_id="p", mac_address="fa:16:3e:00:00:01")

    return create


@pytest.mark.django_db(transaction=True)
def test_what_the_commit_refuses_is_an_error_of_the_call(orphan_create: Callable[[], Port]) -> None:
    with pytest.raises(Conflict, match="The network is gone"):
        orphan_create()
    assert not Port.objects.exists()


@pytest.mark.django_db
def test_what_a_commit_would_refuse_later_is_an_error_of_the_call(orphan_create: Callable[[], Port]) -> None:
    with pytest.raises(Conflict, match="The network is gone"):
        orphan_create()
    assert not Port.objects.exists()
