"""The page that explains permissions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from tests.apps.dashboard.conftest import people, sign_in

__all__ = ["people", "sign_in"]

Door = Callable[..., Client]
HYPERVISORS = "os_compute_api:os-hypervisors:list"


def test_a_refusal_is_explained_with_the_roles_and_what_would_do(sign_in: Door) -> None:
    answer = sign_in("admin").get(f"/p/admin/permissions?user=demo&target=demo&rule={HYPERVISORS}")
    text = answer.content.decode()
    assert answer.status_code == 200
    assert "Refused" in text
    assert "has the role admin" in text
    assert '<span class="tag">member</span> → <span class="tag">reader</span>' in text
    assert "One of these roles there would be enough:" in text


def test_without_a_rule_everything_allowed_is_listed(sign_in: Door) -> None:
    text = sign_in().get("/p/demo/permissions").content.decode()
    assert "?rule=os_compute_api%3Aservers%3Acreate" in text
    assert f"?rule={HYPERVISORS.replace(':', '%3A')}" not in text


def test_members_are_not_asked_for_a_user_and_see_no_others(sign_in: Door) -> None:
    client = sign_in()
    assert 'name="user"' not in client.get("/p/demo/permissions").content.decode()
    refused = client.get("/p/demo/permissions?user=admin")
    assert refused.status_code == 422
    assert "manager" not in refused.content.decode().partition("<form class=")[2].partition("<datalist")[0]


@pytest.mark.parametrize("query", ["user=nobody", "target=nowhere", "rule=none:such", "scope=galaxy"])
def test_what_does_not_exist_stands_in_the_form(sign_in: Door, query: str) -> None:
    answer = sign_in("admin").get(f"/p/admin/permissions?{query}")
    assert answer.status_code == 422
    assert 'role="alert"' in answer.content.decode()


def test_the_page_speaks_japanese(sign_in: Door) -> None:
    client = sign_in("admin", headers={"accept-language": "ja"})
    text = client.get(f"/p/admin/permissions?user=demo&target=demo&rule={HYPERVISORS}").content.decode()
    assert "ロール admin を持つ" in text
