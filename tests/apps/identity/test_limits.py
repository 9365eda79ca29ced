from __future__ import annotations

from typing import Any

import pytest

from apps.core.context import system
from apps.core.errors import Invalid, NotFound, OverQuota
from apps.identity import services
from apps.identity.models import Limit, Project
from apps.identity.services import limits
from apps.identity.states import built_in_id

from .conftest import Api

CTX = system()


@pytest.fixture(autouse=True)
def registered(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_registered", {})
    services.limits_register("compute", {"instances": 10, "cores": 20})


@pytest.fixture
def project(cloud: None) -> str:
    return Project.objects.get(name="demo").pk


def claim(project: str, wanted: int, used: int) -> None:
    services.quota_claim(
        CTX, project_id=project, service="compute", resource="instances", wanted=wanted, used=lambda: used
    )


def test_limit_of_a_project_wins_over_everybodys_which_wins_over_the_default(project: str) -> None:
    def limit() -> int:
        return services.limit_get(CTX, project_id=project, service="compute", resource="instances")

    assert limit() == 10
    services.limit_set(CTX, project_id=None, service="compute", resource="instances", value=5)
    assert limit() == 5
    services.limit_set(CTX, project_id=project, service="compute", resource="instances", value=7)
    assert limit() == 7
    assert services.limits_of(CTX, project_id=project, service="compute") == {"instances": 7, "cores": 20}
    assert services.limits_of(CTX, project_id=None, service="compute") == {"instances": 5, "cores": 20}
    services.limits_reset(CTX, project_id=project, service="compute")
    assert limit() == 5


def test_claim_fits_exactly_up_to_the_limit(project: str) -> None:
    claim(project, wanted=2, used=8)
    with pytest.raises(OverQuota) as error:
        claim(project, wanted=3, used=8)
    assert (error.value.used, error.value.wanted, error.value.limit) == (8, 3, 10)


def test_unlimited_is_not_even_counted(project: str) -> None:
    services.limit_set(CTX, project_id=project, service="compute", resource="instances", value=-1)
    services.quota_claim(
        CTX, project_id=project, service="compute", resource="instances", wanted=99, used=lambda: pytest.fail("counted")
    )


def test_unknown_resources_values_and_projects_are_refused(project: str) -> None:
    with pytest.raises(Invalid):
        services.limit_get(CTX, project_id=project, service="compute", resource="ponies")
    with pytest.raises(Invalid):
        services.limit_set(CTX, project_id=project, service="compute", resource="instances", value=-2)
    with pytest.raises(NotFound):
        services.limit_set(CTX, project_id="none", service="compute", resource="instances", value=1)


# --- unified limits --------------------------------------------------------------------------------


def registered_body(service: str, **more: Any) -> dict[str, Any]:
    return {"registered_limits": [{"service_id": service, "resource_name": "thing", "default_limit": 5, **more}]}


def limit_body(service: str, **more: Any) -> dict[str, Any]:
    return {"limits": [{"service_id": service, "resource_name": "thing", "resource_limit": 3, **more}]}


@pytest.fixture
def compute() -> str:
    return built_in_id("compute")


@pytest.fixture
def thing(admin: Api, compute: str) -> str:
    answer = admin("POST", "/registered_limits", registered_body(compute))
    assert answer.status_code == 201, answer.content
    return str(answer.json()["registered_limits"][0]["id"])


def test_what_the_services_check_is_listed_as_registered(admin: Api, compute: str) -> None:
    services.bootstrap(CTX, passwords={})
    rows = admin("GET", f"/registered_limits?service_id={compute}&resource_name=instances").json()["registered_limits"]
    assert [row["default_limit"] for row in rows] == [10]
    answer = admin("PATCH", f"/registered_limits/{rows[0]['id']}", {"registered_limit": {"default_limit": 2}})
    assert answer.json()["registered_limit"] == rows[0] | {"default_limit": 2}
    assert services.limits_of(CTX, project_id=None, service="compute")["instances"] == 2


def test_quota_calls_and_unified_limits_are_the_same_rows(admin: Api, project: str, compute: str) -> None:
    services.bootstrap(CTX, passwords={})
    services.limit_set(CTX, project_id=project, service="compute", resource="instances", value=4)
    (row,) = admin("GET", f"/limits?project_id={project}").json()["limits"]
    assert (row["resource_name"], row["resource_limit"], row["domain_id"]) == ("instances", 4, None)
    assert admin("PATCH", f"/limits/{row['id']}", {"limit": {"resource_limit": 6}}).status_code == 200
    assert services.limit_get(CTX, project_id=project, service="compute", resource="instances") == 6
    assert admin("DELETE", f"/limits/{row['id']}").status_code == 204
    assert admin("GET", f"/limits/{row['id']}").status_code == 404
    assert services.limit_get(CTX, project_id=project, service="compute", resource="instances") == 10


def test_limit_needs_a_registered_one_and_keeps_it_alive(admin: Api, project: str, compute: str) -> None:
    assert admin("POST", "/limits", limit_body(compute, project_id=project)).status_code == 403
    assert Limit.objects.filter(resource="thing").count() == 0
    made = admin("POST", "/registered_limits", registered_body(compute)).json()["registered_limits"][0]
    assert admin("POST", "/limits", limit_body(compute, project_id=project)).status_code == 201
    assert admin("POST", "/limits", limit_body(compute, project_id=project)).status_code == 409
    assert admin("DELETE", f"/registered_limits/{made['id']}").status_code == 403
    renamed = {"registered_limit": {"resource_name": "other"}}
    assert admin("PATCH", f"/registered_limits/{made['id']}", renamed).status_code == 403
    assert Limit.objects.filter(resource="thing").count() == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"project_id": "none"},
        {"domain_id": "none"},
        {"project_id": "x", "domain_id": "default"},
        {"domain_id": "default", "service_id": "none"},
        {"domain_id": "default", "region_id": "none"},
        {"domain_id": "default", "resource_limit": -2},
        {"domain_id": "default", "resource_limit": "3"},
        {"domain_id": "default", "unknown": 1},
    ],
)
def test_bad_limits_are_refused_and_nothing_is_made(admin: Api, thing: str, compute: str, wrong: Any) -> None:
    assert admin("POST", "/limits", limit_body(compute, **wrong)).status_code == 400
    assert Limit.objects.filter(resource="thing").count() == 1


def test_second_registered_limit_is_a_conflict_and_a_list_is_made_whole_or_not(
    admin: Api, thing: str, compute: str
) -> None:
    body = registered_body(compute, resource_name="fresh")
    body["registered_limits"].append(registered_body(compute)["registered_limits"][0])
    assert admin("POST", "/registered_limits", body).status_code == 409
    assert not Limit.objects.filter(resource="fresh").exists()


def test_members_see_limits_of_their_own_project_only(
    admin: Api, demo: Api, thing: str, compute: str, project: str
) -> None:
    other = Project.objects.get(name="admin").pk
    ids = [
        admin("POST", "/limits", limit_body(compute, project_id=each)).json()["limits"][0]["id"]
        for each in (project, other)
    ]
    assert [row["id"] for row in demo("GET", "/limits").json()["limits"]] == ids[:1]
    assert demo("GET", f"/limits/{ids[0]}").status_code == 200
    assert demo("GET", f"/limits/{ids[1]}").status_code == 403
    assert demo("POST", "/limits", limit_body(compute, project_id=project)).status_code == 403
    assert demo("GET", "/registered_limits").status_code == 200
    assert demo("DELETE", f"/registered_limits/{thing}").status_code == 403
    assert demo("GET", "/limits/model").json()["model"]["name"] == "flat"


def test_two_levels_keep_projects_within_their_domain(
    admin: Api, thing: str, compute: str, project: str, configured: Any
) -> None:
    configured(limits_model="strict_two_level")
    assert admin("GET", "/limits/model").json()["model"]["name"] == "strict_two_level"
    assert admin("POST", "/limits", limit_body(compute, domain_id="default")).status_code == 201
    over = limit_body(compute, project_id=project, resource_limit=4)
    assert admin("POST", "/limits", over).status_code == 403
    assert not Limit.objects.filter(project_id=project, resource="thing").exists()
    made = admin("POST", "/limits", limit_body(compute, project_id=project)).json()["limits"][0]
    domain = Limit.objects.get(project_id="default", resource="thing")
    lower = {"limit": {"resource_limit": 2}}
    assert admin("PATCH", f"/limits/{domain.pk}", lower).status_code == 403
    assert admin("PATCH", f"/limits/{made['id']}", lower).status_code == 200
    assert admin("PATCH", f"/limits/{domain.pk}", lower).status_code == 200


def test_two_levels_count_a_domains_projects_together(project: str, configured: Any) -> None:
    def try_one() -> None:
        services.quota_claim(
            CTX,
            project_id=project,
            service="compute",
            resource="instances",
            wanted=1,
            used=lambda: 0,
            used_in=lambda projects: 4 if {project, "default"} < set(projects) else pytest.fail("not the whole domain"),
        )

    services.limit_set(CTX, project_id="default", service="compute", resource="instances", value=4)
    try_one()  # flat: the domain's limit is its own only
    configured(limits_model="strict_two_level")
    with pytest.raises(OverQuota):
        try_one()
    services.limit_set(CTX, project_id="default", service="compute", resource="instances", value=5)
    try_one()


@pytest.mark.parametrize(
    ("keys", "status"),
    [({}, 201), ({"limits_model": "strict_two_level"}, 403), ({"max_project_depth": 1}, 403)],
)
def test_depth_of_projects_is_bounded_by_configuration(
    admin: Api, project: str, configured: Any, keys: Any, status: int
) -> None:
    configured(**keys)
    answer = admin("POST", "/projects", {"project": {"name": "below", "parent_id": project}})
    assert answer.status_code == status, answer.content
    assert Project.objects.filter(name="below").exists() is (status == 201)
