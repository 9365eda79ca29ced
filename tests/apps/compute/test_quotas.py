"""Limits of single users under those of their project, and pages of usage."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.utils import timezone

from apps.compute.models import KeyPair, Server, ServerGroup
from tests.apps.compute.conftest import Cloud
from tests.apps.compute.test_api import LATEST, body

MINE = "/os-quota-sets/one?user_id=user-of-one"


def test_user_has_what_the_project_has_until_something_is_set(cloud: Cloud, call: Any, admin: Any) -> None:
    boss = call(admin)
    assert boss("GET", MINE, **LATEST).json()["quota_set"]["instances"] == 10
    assert boss("PUT", MINE, {"quota_set": {"instances": 3}}, **LATEST).json()["quota_set"]["instances"] == 3
    assert boss("GET", MINE, **LATEST).json()["quota_set"]["instances"] == 3
    assert boss("GET", "/os-quota-sets/one", **LATEST).json()["quota_set"]["instances"] == 10
    assert boss("GET", "/os-quota-sets/one?user_id=another", **LATEST).json()["quota_set"]["instances"] == 10
    assert boss("DELETE", MINE, **LATEST).status_code == 202
    assert boss("GET", MINE, **LATEST).json()["quota_set"]["instances"] == 10


def test_deleting_the_projects_limits_deletes_its_users(cloud: Cloud, call: Any, admin: Any) -> None:
    boss = call(admin)
    boss("PUT", MINE, {"quota_set": {"instances": 3}}, **LATEST)
    boss("DELETE", "/os-quota-sets/one", **LATEST)
    assert boss("GET", MINE, **LATEST).json()["quota_set"]["instances"] == 10


@pytest.mark.parametrize("limits", [{"instances": 1}, {"cores": 1}, {"ram": 512}])
def test_user_cannot_launch_beyond_the_own_limit(cloud: Cloud, call: Any, admin: Any, limits: dict[str, int]) -> None:
    call(admin)("PUT", MINE, {"quota_set": limits}, **LATEST)
    cloud.create()
    api = call(cloud.ctx)
    assert api("POST", "/servers", body(cloud), **LATEST).status_code == 403
    assert Server.objects.count() == 1
    detail = call(admin)("GET", "/os-quota-sets/one/detail?user_id=user-of-one", **LATEST).json()["quota_set"]
    (name,) = limits
    assert detail[name] == {"limit": limits[name], "in_use": limits[name], "reserved": 0}


def test_another_users_servers_do_not_count(cloud: Cloud, call: Any, admin: Any) -> None:
    call(admin)("PUT", MINE, {"quota_set": {"instances": 1}}, **LATEST)
    cloud.create()
    Server.objects.update(user_id="another")
    assert call(cloud.ctx)("POST", "/servers", body(cloud), **LATEST).status_code == 202


def test_as_many_as_the_users_limit_has_room_for(cloud: Cloud, call: Any, admin: Any) -> None:
    call(admin)("PUT", MINE, {"quota_set": {"instances": 2}}, **LATEST)
    cloud.create(min_count=1, max_count=5)
    assert Server.objects.count() == 2


def test_groups_and_keys_of_a_user_are_bounded(cloud: Cloud, call: Any, admin: Any) -> None:
    call(admin)("PUT", MINE, {"quota_set": {"server_groups": 0, "key_pairs": 0}}, **LATEST)
    api = call(cloud.ctx)
    group = {"server_group": {"name": "g", "policy": "affinity"}}
    assert api("POST", "/os-server-groups", group, **LATEST).status_code == 403
    assert api("POST", "/os-keypairs", {"keypair": {"name": "mine"}}).status_code == 403
    assert (ServerGroup.objects.count(), KeyPair.objects.count()) == (0, 0)


REFUSED = [
    ("?user_id=user-of-one", {"instances": 11}),  # above the project's
    ("?user_id=user-of-one", {"instances": -1}),  # unlimited in a project that is not
    ("?user_id=user-of-one", {"instances": 0}),  # below what is used
    ("?user_id=user-of-one", {"instances": 9}),  # above what the other user leaves
    ("", {"instances": 1}),  # below what its users were promised
]


@pytest.mark.parametrize(("query", "limits"), REFUSED)
def test_limit_between_what_is_used_and_what_is_left(
    cloud: Cloud, call: Any, admin: Any, query: str, limits: dict[str, int]
) -> None:
    boss = call(admin)
    cloud.create()
    boss("PUT", "/os-quota-sets/one?user_id=another", {"quota_set": {"instances": 2}}, **LATEST)
    path = f"/os-quota-sets/one{query}"
    before = boss("GET", path, **LATEST).json()
    assert boss("PUT", path, {"quota_set": limits}, **LATEST).status_code == 400
    assert boss("GET", path, **LATEST).json() == before
    assert boss("PUT", path, {"quota_set": {**limits, "force": True}}, **LATEST).status_code == 200


def test_project_that_is_none_has_no_quotas(cloud: Cloud, call: Any, admin: Any) -> None:
    boss = call(admin)
    for path in ("/os-quota-sets/none-such", "/os-quota-sets/none-such/detail", "/os-quota-sets/none-such/defaults"):
        assert boss("GET", path, **LATEST).status_code == 400
    assert boss("PUT", "/os-quota-sets/none-such", {"quota_set": {"instances": 1}}, **LATEST).status_code == 400
    assert call(cloud.ctx)("GET", "/os-quota-sets/two", **LATEST).status_code == 403


def test_usage_is_told_by_the_clock_that_servers_are_launched_by(
    cloud: Cloud, call: Any, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.active(name="a")
    slow = timezone.now() - datetime.timedelta(hours=1)
    monkeypatch.setattr(timezone, "now", lambda: slow)
    shown = call(admin)("GET", "/os-simple-tenant-usage/one", **LATEST).json()["tenant_usage"]
    assert [(one["name"], 0 <= one["uptime"] < 3600) for one in shown["server_usages"]] == [("a", True)]
    assert 0 < shown["total_hours"] < 1


def test_usage_is_paged_by_server(cloud: Cloud, call: Any, admin: Any) -> None:
    boss, path = call(admin), "/os-simple-tenant-usage/one?detailed=1"
    idents = sorted(str(cloud.active(name=name).pk) for name in ("a", "b", "c"))
    one = boss("GET", "/os-simple-tenant-usage/one?limit=2", **LATEST).json()
    assert [row["instance_id"] for row in one["tenant_usage"]["server_usages"]] == idents[:2]
    link = one["tenant_usage_links"][0]["href"].split("/compute/v2.1")[1]
    rest = boss("GET", link, **LATEST).json()
    assert [row["instance_id"] for row in rest["tenant_usage"]["server_usages"]] == idents[2:]
    assert "tenant_usage_links" not in rest
    assert boss("GET", "/os-simple-tenant-usage?limit=1&marker=none-such", **LATEST).status_code == 400
    assert boss("GET", path, **LATEST).status_code == 400  # `detailed` is for the list
