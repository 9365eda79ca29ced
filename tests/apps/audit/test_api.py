"""`/audit`: who may read what, filters, pages, and CADF."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.core.context import system
from apps.identity import services
from apps.identity.models import Project, Role, User
from apps.identity.states import Scope
from tests.apps.identity.conftest import PASSWORDS, Api, project_scope


def get(api: Api, path: str, **headers: str) -> Any:
    sent = {"X-Auth-Token": api.token} if api.token else {}
    return Client().get(f"/audit{path}", headers=sent | headers)


def listed(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = get(api, f"/v1/events{query}")
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


def make_projects(api: Api, *names: str) -> list[str]:
    return [api("POST", "/projects", {"project": {"name": name}}).json()["project"]["id"] for name in names]


def test_versions_need_no_token(client, db):
    assert client.get("/audit").json()["versions"][0]["links"][0]["href"].endswith("/audit/v1/")
    assert client.get("/audit/v1/").json()["version"]["status"] == "CURRENT"


def test_without_a_token_there_are_no_events(nobody):
    assert get(nobody, "/v1/events").status_code == 401


def test_the_newest_comes_first_and_pages_follow(admin):
    make_projects(admin, "a", "b", "c")
    names = [e["target"]["name"] for e in listed(admin, "?action=identity.project.create")]
    assert names == ["c", "b", "a"]
    first = get(admin, "/v1/events?action=identity.project.create&limit=2").json()
    assert [e["target"]["name"] for e in first["events"]] == ["c", "b"]
    following = first["events_links"][0]["href"].split("/audit")[1]
    second = get(admin, following).json()
    assert [e["target"]["name"] for e in second["events"]] == ["a"]
    assert "events_links" not in second


def test_pages_are_one_query_each(admin, django_assert_num_queries):
    make_projects(admin, "a", "b", "c")
    get(admin, "/v1/events")  # the token is known from here on
    with django_assert_num_queries(2):  # the token's, and the page
        listed(admin)


@pytest.mark.parametrize(
    "query",
    ["user_id={user}", "outcome=failure", "request_id={request}", "target_id={project}", "target_type=identity.user"],
)
def test_filters_narrow(admin, demo, query):
    (project,) = make_projects(admin, "a")
    refused = demo("POST", "/projects", {"project": {"name": "x"}})
    where = {
        "user": User.objects.get(name="demo").pk,
        "request": refused["X-Openstack-Request-Id"],
        "project": project,
    }
    found = listed(admin, "?" + query.format(**where))
    assert 0 < len(found) < len(listed(admin))
    name, value = query.format(**where).split("=")
    for event in found:
        flat = event | {f"target_{k}": v for k, v in event["target"].items()}
        assert flat[name] == value


def test_a_range_of_time_narrows(admin):
    make_projects(admin, "a")
    assert listed(admin, "?since=2100-01-01T00:00:00Z") == []
    assert listed(admin, "?until=2000-01-01T00:00:00Z") == []
    assert listed(admin, "?since=2000-01-01T00:00:00Z&until=2100-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "query", ["?since=yesterday", "?nonsense=1", "?limit=x", "?marker=no-uuid", "?sort_key=reason"]
)
def test_a_bad_query_is_refused(admin, query):
    assert get(admin, f"/v1/events{query}").status_code == 400


def test_users_see_their_own_events_and_not_those_of_others(admin, demo):
    make_projects(admin, "a")
    demo("POST", "/projects", {"project": {"name": "x"}})
    me = User.objects.get(name="demo").pk
    assert {e["user"]["id"] for e in listed(demo)} == {me}
    other = listed(admin, "?action=identity.project.create&outcome=success")[0]["id"]
    assert get(demo, f"/v1/events/{other}").status_code == 404
    assert get(admin, f"/v1/events/{other}").json()["event"]["id"] == other


def test_managers_see_what_happened_to_their_project(admin, token_of):
    project = Project.objects.get(name="demo", is_domain=False)
    user = User.objects.get(name="demo")
    admin("PATCH", f"/projects/{project.pk}", {"project": {"description": "by another"}})
    services.assignment_create(
        system(),
        scope=Scope.PROJECT,
        target_id=project.pk,
        user_id=user.pk,
        role_id=Role.objects.get(name="manager").pk,
    )
    manager = Api(token_of("demo", scope=project_scope("demo")))
    assert "identity.project.update" in {e["action"] for e in listed(manager)}
    assert {e["project_id"] for e in listed(manager, f"?project_id={project.pk}")} == {project.pk}
    make_projects(admin, "elsewhere")
    assert "elsewhere" not in json.dumps(listed(manager))


def test_system_readers_see_all(admin, token_of: Callable[..., str]):
    user = User.objects.get(name="demo")
    services.assignment_create(
        system(), scope=Scope.SYSTEM, user_id=user.pk, role_id=Role.objects.get(name="reader").pk
    )
    make_projects(admin, "a")
    reader = Api(token_of("demo", PASSWORDS["demo"], {"system": {"all": True}}))
    assert "identity.project.create" in {e["action"] for e in listed(reader)}


def test_nothing_can_be_written(admin):
    event = listed(admin)[0]["id"]
    for method, path in (("POST", ""), ("DELETE", f"/{event}"), ("PATCH", f"/{event}"), ("PUT", f"/{event}")):
        answer = Client().generic(
            method,
            f"/audit/v1/events{path}",
            data=b"{}",
            content_type="application/json",
            headers={"X-Auth-Token": admin.token},
        )
        assert answer.status_code == 405, method


def test_events_are_given_in_cadf_where_that_is_asked_for(admin, demo):
    (project,) = make_projects(admin, "a")
    demo("POST", "/projects", {"project": {"name": "x"}})
    answer = get(admin, "/v1/events?action=identity.project.create", Accept="application/cadf+json")
    refused, made = answer.json()["events"]
    assert made["typeURI"] == "http://schemas.dmtf.org/cloud/audit/1.0/event"
    assert (made["eventType"], made["action"], made["outcome"]) == ("activity", "create", "success")
    assert made["target"] == {
        "typeURI": "service/identity/project",
        "id": project,
        "name": "a",
        "project_id": project,
    }
    assert made["initiator"]["name"] == "admin"
    assert made["initiator"]["host"]["address"] == "127.0.0.1"
    assert [a["name"] for a in made["attachments"]] == ["after", "arguments"]
    assert refused["reason"]["reasonCode"] == "403"
    assert refused["reason"]["policyId"] == "identity:create_project"
    assert {"id", "eventTime", "observer"} <= set(refused)


def test_the_catalogue_has_it(admin):
    types = {s["type"]: s for s in admin("GET", "/auth/catalog").json()["catalog"]}
    assert types["audit"]["endpoints"][0]["url"].endswith("/audit")
