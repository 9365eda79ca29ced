from __future__ import annotations

from typing import Any

import pytest

from apps.identity.models import Endpoint, PolicyAssociation, Project
from apps.identity.states import built_in_id

from .conftest import Api

COMPUTE, IMAGE = built_in_id("compute"), built_in_id("image")


def public(kind: str) -> str:
    return built_in_id(f"{kind}/public")


def project() -> str:
    return Project.objects.get(name="demo").pk


def seen(caller: Api) -> set[tuple[str, str]]:
    entries = caller("GET", "/auth/catalog").json()["catalog"]
    return {(entry["type"], e["interface"]) for entry in entries for e in entry["endpoints"]}


@pytest.fixture
def group(admin: Api) -> str:
    body = {"endpoint_group": {"name": "images", "filters": {"service_id": IMAGE, "interface": "public"}}}
    answer = admin("POST", "/OS-EP-FILTER/endpoint_groups", body)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["endpoint_group"]["id"])


def test_project_sees_its_own_endpoints_only_once_it_has_any(admin: Api, demo: Api) -> None:
    everything = seen(demo)
    path = f"/OS-EP-FILTER/projects/{project()}/endpoints/{public('compute')}"
    assert admin("HEAD", path).status_code == 404
    assert admin("PUT", path).status_code == 204
    assert admin("PUT", path).status_code == 204
    assert admin("HEAD", path).status_code == 204
    assert seen(demo) == {("compute", "public")}
    assert seen(admin) == everything
    listed = admin("GET", f"/OS-EP-FILTER/projects/{project()}/endpoints").json()["endpoints"]
    assert [e["id"] for e in listed] == [public("compute")]
    by_endpoint = admin("GET", f"/OS-EP-FILTER/endpoints/{public('compute')}/projects").json()["projects"]
    assert [p["id"] for p in by_endpoint] == [project()]
    assert admin("DELETE", path).status_code == 204
    assert admin("DELETE", path).status_code == 404
    assert seen(demo) == everything


def test_group_brings_the_endpoints_that_fit_it(admin: Api, demo: Api, group: str) -> None:
    root = f"/OS-EP-FILTER/endpoint_groups/{group}"
    assert [e["id"] for e in admin("GET", f"{root}/endpoints").json()["endpoints"]] == [public("image")]
    assert admin("GET", f"{root}/projects/{project()}").status_code == 404
    assert admin("PUT", f"{root}/projects/{project()}").status_code == 204
    assert admin("GET", f"{root}/projects/{project()}").json()["endpoint_group"]["id"] == group
    assert [p["id"] for p in admin("GET", f"{root}/projects").json()["projects"]] == [project()]
    groups = admin("GET", f"/OS-EP-FILTER/projects/{project()}/endpoint_groups").json()["endpoint_groups"]
    assert [g["id"] for g in groups] == [group]
    assert seen(demo) == {("image", "public")}
    wider = {"endpoint_group": {"filters": {"service_id": IMAGE}}}
    assert admin("PATCH", root, wider).json()["endpoint_group"]["filters"] == {"service_id": IMAGE}
    assert seen(demo) == {("image", i) for i in ("public", "internal", "admin")}
    assert admin("DELETE", f"{root}/projects/{project()}").status_code == 204
    assert admin("DELETE", f"{root}/projects/{project()}").status_code == 404
    assert len(seen(demo)) > 3


def test_deleted_group_is_gone_from_its_projects(admin: Api, demo: Api, group: str) -> None:
    root = f"/OS-EP-FILTER/endpoint_groups/{group}"
    admin("PUT", f"{root}/projects/{project()}")
    assert admin("HEAD", root).status_code == 200
    assert admin("DELETE", root).status_code == 204
    assert admin("GET", root).status_code == 404
    assert len(seen(demo)) > 3


@pytest.mark.parametrize("filters", [{"url": "x"}, {"interface": 5}, "x", None, {"service__name": "nova"}])
def test_filters_that_endpoints_do_not_have_are_refused(admin: Api, filters: Any) -> None:
    body = {"endpoint_group": {"name": "x", "filters": filters}}
    assert admin("POST", "/OS-EP-FILTER/endpoint_groups", body).status_code == 400
    assert admin("GET", "/OS-EP-FILTER/endpoint_groups").json()["endpoint_groups"] == []


def test_associations_are_for_administrators_and_of_what_there_is(admin: Api, demo: Api, group: str) -> None:
    assert demo("GET", "/OS-EP-FILTER/endpoint_groups").status_code == 403
    assert demo("PUT", f"/OS-EP-FILTER/projects/{project()}/endpoints/{public('compute')}").status_code == 403
    assert admin("PUT", f"/OS-EP-FILTER/projects/none/endpoints/{public('compute')}").status_code == 404
    assert admin("PUT", f"/OS-EP-FILTER/projects/{project()}/endpoints/none").status_code == 404
    assert admin("PUT", f"/OS-EP-FILTER/endpoint_groups/none/projects/{project()}").status_code == 404


# --- policy documents ------------------------------------------------------------------------------


@pytest.fixture
def policy(admin: Api) -> str:
    answer = admin("POST", "/policies", {"policy": {"blob": "{}", "type": "application/json"}})
    assert answer.status_code == 201, answer.content
    return str(answer.json()["policy"]["id"])


def test_policy_lives_through_create_show_update_list_delete(admin: Api, demo: Api, policy: str) -> None:
    path = f"/policies/{policy}"
    changed = admin("PATCH", path, {"policy": {"blob": "[]"}}).json()["policy"]
    assert (changed["blob"], changed["type"]) == ("[]", "application/json")
    assert admin("GET", path).json()["policy"] == changed
    assert admin("GET", "/policies?type=application/json").json()["policies"] == [changed]
    assert demo("GET", path).status_code == 403
    assert admin("POST", "/policies", {"policy": {"type": "x"}}).status_code == 400
    assert admin("DELETE", path).status_code == 204
    assert admin("GET", path).status_code == 404


@pytest.mark.parametrize(
    "place", ["endpoints/{endpoint}", "services/{service}", "services/{service}/regions/RegionOne"]
)
def test_policy_is_attached_found_from_the_endpoint_and_detached(admin: Api, policy: str, place: str) -> None:
    path = f"/policies/{policy}/OS-ENDPOINT-POLICY/" + place.format(endpoint=public("compute"), service=COMPUTE)
    found = f"/endpoints/{public('compute')}/OS-ENDPOINT-POLICY/policy"
    assert admin("GET", found).status_code == 404
    assert admin("GET", path).status_code == 404
    assert admin("PUT", path).status_code == 204
    assert admin("PUT", path).status_code == 204
    assert admin("GET", path).status_code == 204
    assert admin("GET", found).json()["policy"]["id"] == policy
    listed = admin("GET", f"/policies/{policy}/OS-ENDPOINT-POLICY/endpoints").json()["endpoints"]
    assert public("compute") in {e["id"] for e in listed}
    assert admin("DELETE", path).status_code == 204
    assert admin("DELETE", path).status_code == 404
    assert not PolicyAssociation.objects.exists()


def test_nearest_policy_wins(admin: Api, policy: str) -> None:
    other = admin("POST", "/policies", {"policy": {"blob": "b", "type": "t"}}).json()["policy"]["id"]
    admin("PUT", f"/policies/{policy}/OS-ENDPOINT-POLICY/services/{COMPUTE}")
    admin("PUT", f"/policies/{other}/OS-ENDPOINT-POLICY/endpoints/{public('compute')}")
    found = f"/endpoints/{public('compute')}/OS-ENDPOINT-POLICY/policy"
    assert admin("GET", found).json()["policy"]["id"] == other
    internal = Endpoint.objects.get(service_id=COMPUTE, interface="internal").pk
    assert admin("GET", f"/endpoints/{internal}/OS-ENDPOINT-POLICY/policy").json()["policy"]["id"] == policy
    assert admin("PUT", f"/policies/{policy}/OS-ENDPOINT-POLICY/services/none").status_code == 404
