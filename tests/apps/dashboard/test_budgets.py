"""What a page may cost: a bound on the queries of every page in the table of addresses, new pages included."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.apps.dashboard.conftest import Town
from tests.apps.dashboard.pages import address, pages, things

__all__ = ["things"]

Door = Callable[..., Client]

MOST = 12
LESS = {"dashboard:overview": 10, "compute:launch": 10}  # what people look at most


@pytest.mark.slow
def test_no_page_asks_the_database_too_often(sign_in: Door, things: Mapping[str, str]) -> None:
    clients = {who: sign_in(who) for who in ("demo", "admin")}
    dear = {}
    for name, arguments in pages().items():
        for who, client in clients.items():
            path = address(name, arguments, things, who)
            seen = client.get(path).status_code if path else 403
            if seen == 403 or (seen == 404 and who == "admin"):  # what is demo's alone is not there for others
                continue
            with CaptureQueriesContext(connection) as captured:
                status = client.get(path).status_code
            assert status in {200, 405}, path
            if len(captured) > LESS.get(name, MOST):
                dear[name, who] = len(captured), [q["sql"][:110] for q in captured]
    assert dear == {}


def test_the_overview_of_an_empty_project_is_within_the_budget_too(sign_in: Door, town: Town) -> None:
    client = sign_in("admin")
    client.get("/p/admin/")
    with CaptureQueriesContext(connection) as captured:
        client.get("/p/admin/")
    assert len(captured) <= LESS["dashboard:overview"], [q["sql"][:110] for q in captured]
