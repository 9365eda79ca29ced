from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.identity.models import Assignment, Domain, Endpoint, Group, Membership, Project, Role, Service, User
from apps.identity.states import Scope

from .conftest import PASSWORDS, Api, password_auth, project_scope


def made(answer: Any, noun: str, status: int = 201) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    return dict(answer.json()[noun])


def role_id(name: str) -> str:
    return Role.objects.get(name=name, domain=None).pk


# --- users ------------------------------------------------------------------------------------------


def test_user_lives_through_create_show_update_list_delete(admin: Api) -> None:
    user = made(
        admin(
            "POST",
            "/users",
            {"user": {"name": "ann", "password": "pw", "email": "ann@example.org", "description": "d"}},
        ),
        "user",
    )
    assert len(user["id"]) == 32
    assert "password" not in user
    expected = {
        "name": "ann",
        "domain_id": "default",
        "enabled": True,
        "email": "ann@example.org",
        "description": "d",
        "options": {},
        "password_expires_at": None,
        "links": {"self": f"http://testserver/identity/v3/users/{user['id']}"},
    }
    assert user == expected | {"id": user["id"]}
    changed = made(
        admin("PATCH", f"/users/{user['id']}", {"user": {"name": "anna", "project_id": "x", "enabled": False}}),
        "user",
        200,
    )
    assert changed == user | {"name": "anna", "project_id": "x", "enabled": False, "links": user["links"]}
    assert made(admin("GET", f"/users/{user['id']}"), "user", 200) == changed
    listed = admin("GET", "/users?name=anna").json()
    assert listed["users"] == [changed]
    assert listed["links"] == {"next": None, "self": "http://testserver/identity/v3/users", "previous": None}
    assert admin("DELETE", f"/users/{user['id']}").status_code == 204
    assert admin("GET", f"/users/{user['id']}").status_code == 404


def test_two_users_of_one_name_in_a_domain_are_refused(admin: Api) -> None:
    answer = admin("POST", "/users", {"user": {"name": "demo"}})
    assert answer.status_code == 409
    assert answer.json()["error"]["message"].startswith("Conflict occurred attempting to store user")
    assert User.objects.filter(name="demo").count() == 1


@pytest.mark.parametrize(
    "user",
    [{}, {"name": ""}, {"name": "  "}, {"name": 5}, {"name": "x" * 256}, {"name": "x", "enabled": "yes"},
     {"name": "x", "password": ""}, {"name": "x", "options": {"unknown": 1}},
     {"name": "x", "default_project_id": "default"}],
)  # fmt: skip
def test_bad_users_are_refused_and_nothing_is_made(admin: Api, user: Any) -> None:
    before = User.objects.count()
    assert admin("POST", "/users", {"user": user}).status_code == 400
    assert User.objects.count() == before


def test_user_of_an_unknown_domain_is_a_404(admin: Api) -> None:
    assert admin("POST", "/users", {"user": {"name": "x", "domain_id": "nowhere"}}).status_code == 404


def test_domain_of_a_user_cannot_change(admin: Api) -> None:
    user = User.objects.get(name="demo")
    body = {"user": {"domain_id": "default", "name": "demo"}}
    assert admin("PATCH", f"/users/{user.pk}", body).status_code == 200
    assert admin("PATCH", f"/users/{user.pk}", {"user": {"domain_id": "other"}}).status_code == 400


def test_members_see_themselves_and_nobody_else(demo: Api) -> None:
    me, other = User.objects.get(name="demo"), User.objects.get(name="admin")
    assert demo("GET", f"/users/{me.pk}").status_code == 200
    assert demo("GET", f"/users/{other.pk}").status_code == 403
    assert demo("GET", "/users/unknown").status_code == 403
    assert demo("GET", "/users").status_code == 403
    assert demo("POST", "/users", {"user": {"name": "x"}}).status_code == 403
    assert demo("DELETE", f"/users/{me.pk}").status_code == 403
    assert demo("PATCH", f"/users/{me.pk}", {"user": {"name": "x"}}).status_code == 403
    assert User.objects.filter(name="demo").exists()


def test_no_token_is_a_401_everywhere(nobody: Api) -> None:
    for path in ("/users", "/projects", "/domains", "/roles", "/role_assignments", "/services", "/auth/projects"):
        answer = nobody("GET", path)
        assert answer.status_code == 401, path
        assert answer.json()["error"]["code"] == 401


def test_own_password_change_ends_tokens_and_needs_the_present_one(demo: Api, nobody: Api) -> None:
    path = f"/users/{User.objects.get(name='demo').pk}/password"
    wrong = {"user": {"original_password": "wrong", "password": "new one"}}
    assert demo("POST", path, wrong).status_code == 401
    assert demo("POST", "/users/unknown/password", wrong).status_code == 401
    assert demo("GET", "/auth/catalog").status_code == 200
    right = {"user": {"original_password": PASSWORDS["demo"], "password": "new one"}}
    assert nobody("POST", path, right).status_code == 204
    assert demo("GET", "/auth/catalog").status_code == 401
    assert nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"])).status_code == 401
    assert nobody("POST", "/auth/tokens", password_auth("demo", "new one")).status_code == 201


def test_administrator_sets_a_password_which_ends_tokens(admin: Api, demo: Api) -> None:
    path = f"/users/{User.objects.get(name='demo').pk}"
    assert admin("PATCH", path, {"user": {"password": "reset"}}).status_code == 200
    assert demo("GET", "/auth/catalog").status_code == 401


@pytest.mark.parametrize("noun", ["user", "project"])
def test_enabling_again_does_not_revive_tokens(admin: Api, demo: Api, noun: str) -> None:
    row = User.objects.get(name="demo") if noun == "user" else Project.objects.get(name="demo")
    for enabled, status in ((False, 401), (True, 401)):
        assert admin("PATCH", f"/{noun}s/{row.pk}", {noun: {"enabled": enabled}}).status_code == 200
        assert demo("GET", "/auth/catalog").status_code == status


# --- domains and projects ---------------------------------------------------------------------------


def test_default_domain_is_found_by_name(admin: Api) -> None:
    assert [d["id"] for d in admin("GET", "/domains?name=Default").json()["domains"]] == ["default"]


def test_domain_must_be_disabled_before_it_goes_with_all_it_holds(admin: Api) -> None:
    domain = made(admin("POST", "/domains", {"domain": {"name": "d1"}}), "domain")
    made(admin("POST", "/users", {"user": {"name": "u", "domain_id": domain["id"]}}), "user")
    made(admin("POST", "/groups", {"group": {"name": "g", "domain_id": domain["id"]}}), "group")
    made(admin("POST", "/roles", {"role": {"name": "r", "domain_id": domain["id"]}}), "role")
    parent = made(admin("POST", "/projects", {"project": {"name": "p", "domain_id": domain["id"]}}), "project")
    made(admin("POST", "/projects", {"project": {"name": "c", "parent_id": parent["id"]}}), "project")
    assert admin("DELETE", f"/domains/{domain['id']}").status_code == 403
    assert admin("PATCH", f"/domains/{domain['id']}", {"domain": {"enabled": False}}).status_code == 200
    assert admin("DELETE", f"/domains/{domain['id']}").status_code == 204
    assert not Domain.objects.filter(name="d1").exists()
    assert not Project.objects.filter(name__in=["p", "c"]).exists()
    assert not User.objects.filter(name="u").exists()


def test_domain_with_its_own_id(admin: Api) -> None:
    ident = "a" * 32
    body = {"domain": {"name": "d", "explicit_domain_id": ident}}
    assert made(admin("POST", "/domains", body), "domain")["id"] == ident
    assert admin("POST", "/domains", {"domain": {"name": "e", "explicit_domain_id": ident}}).status_code == 409
    assert admin("POST", "/domains", {"domain": {"name": "f", "explicit_domain_id": "x"}}).status_code == 400


def test_project_gets_domain_and_parent(admin: Api) -> None:
    project = made(admin("POST", "/projects", {"project": {"name": "p", "colour": "blue"}}), "project")
    assert project == {
        "id": project["id"],
        "name": "p",
        "domain_id": "default",
        "parent_id": "default",
        "is_domain": False,
        "description": "",
        "enabled": True,
        "tags": [],
        "options": {},
        "colour": "blue",
        "links": {"self": f"http://testserver/identity/v3/projects/{project['id']}"},
    }
    child = made(admin("POST", "/projects", {"project": {"name": "c", "parent_id": project["id"]}}), "project")
    assert (child["parent_id"], child["domain_id"]) == (project["id"], "default")
    shown = made(admin("GET", f"/projects/{child['id']}?parents_as_ids"), "project", 200)
    assert shown["parents"] == {project["id"]: None}
    shown = made(admin("GET", f"/projects/{project['id']}?subtree_as_list"), "project", 200)
    assert [p["project"]["id"] for p in shown["subtree"]] == [child["id"]]


def test_branch_is_disabled_from_the_leaves(admin: Api) -> None:
    parent = made(admin("POST", "/projects", {"project": {"name": "p"}}), "project")["id"]
    child = made(admin("POST", "/projects", {"project": {"name": "c", "parent_id": parent}}), "project")["id"]
    off, on = {"project": {"enabled": False}}, {"project": {"enabled": True}}
    assert admin("PATCH", f"/projects/{parent}", off).status_code == 403
    assert admin("PATCH", f"/projects/{child}", off).status_code == 200
    assert admin("PATCH", f"/projects/{parent}", off).status_code == 200
    assert admin("PATCH", f"/projects/{child}", on).status_code == 403
    assert admin("POST", "/projects", {"project": {"name": "x", "parent_id": parent}}).status_code == 403
    assert admin("DELETE", f"/projects/{parent}").status_code == 403
    assert admin("PATCH", f"/projects/{child}", {"project": {"parent_id": "default"}}).status_code == 403


def test_hierarchy_has_a_depth(admin: Api) -> None:
    parent = "default"
    for level in range(5):
        body = {"project": {"name": f"p{level}", "parent_id": parent}}
        parent = made(admin("POST", "/projects", body), "project")["id"]
    assert admin("POST", "/projects", {"project": {"name": "deep", "parent_id": parent}}).status_code == 403


@pytest.mark.parametrize("name", ["", "a" * 65, " "])
def test_project_names_are_bounded(admin: Api, name: str) -> None:
    assert admin("POST", "/projects", {"project": {"name": name}}).status_code == 400


def test_project_that_acts_as_a_domain_is_seen_as_both(admin: Api) -> None:
    project = made(
        admin("POST", "/projects", {"project": {"name": "d", "is_domain": True, "domain_id": None}}), "project"
    )
    assert project["is_domain"] is True
    assert project["domain_id"] is None
    assert project["id"] in [p["id"] for p in admin("GET", "/projects?is_domain=True").json()["projects"]]
    assert project["id"] in [d["id"] for d in admin("GET", "/domains").json()["domains"]]
    assert project["id"] not in [p["id"] for p in admin("GET", "/projects").json()["projects"]]


def test_member_sees_their_own_project_only(demo: Api) -> None:
    mine, other = Project.objects.get(name="demo"), Project.objects.get(name="admin")
    assert demo("GET", f"/projects/{mine.pk}").status_code == 200
    assert demo("GET", f"/projects/{other.pk}").status_code == 403
    assert demo("GET", "/projects").status_code == 403
    assert [p["id"] for p in demo("GET", "/auth/projects").json()["projects"]] == [mine.pk]
    me = User.objects.get(name="demo").pk
    assert [p["id"] for p in demo("GET", f"/users/{me}/projects").json()["projects"]] == [mine.pk]
    assert demo("DELETE", f"/projects/{mine.pk}").status_code == 403


def test_immutable_project_is_protected_until_the_option_is_taken_off(admin: Api) -> None:
    body = {"project": {"name": "p", "options": {"immutable": True}}}
    path = f"/projects/{made(admin('POST', '/projects', body), 'project')['id']}"
    assert admin("PATCH", path, {"project": {"name": "q"}}).status_code == 403
    assert admin("DELETE", path).status_code == 403
    assert admin("PATCH", path, {"project": {"options": {"immutable": None}}}).status_code == 200
    assert made(admin("GET", path), "project", 200)["options"] == {}
    assert admin("DELETE", path).status_code == 204


def test_deleted_project_is_nobodys_default_any_more(admin: Api) -> None:
    project = made(admin("POST", "/projects", {"project": {"name": "p"}}), "project")["id"]
    user = made(admin("POST", "/users", {"user": {"name": "u", "default_project_id": project}}), "user")
    assert user["default_project_id"] == project
    assert admin("DELETE", f"/projects/{project}").status_code == 204
    assert "default_project_id" not in made(admin("GET", f"/users/{user['id']}"), "user", 200)


def test_tags(admin: Api) -> None:
    project = made(admin("POST", "/projects", {"project": {"name": "p", "tags": ["a", "b"]}}), "project")["id"]
    path = f"/projects/{project}/tags"
    assert admin("GET", path).json()["tags"] == ["a", "b"]
    assert admin("PUT", f"{path}/c").status_code == 201
    assert admin("HEAD", f"{path}/c").status_code == 204
    assert admin("GET", f"{path}/d").status_code == 404
    assert admin("DELETE", f"{path}/a").status_code == 204
    assert admin("DELETE", f"{path}/a").status_code == 404
    assert [p["id"] for p in admin("GET", "/projects?tags=b,c").json()["projects"]] == [project]
    assert admin("GET", "/projects?tags=b,x").json()["projects"] == []
    assert [p["id"] for p in admin("GET", "/projects?tags-any=b,x").json()["projects"]] == [project]
    assert project not in [p["id"] for p in admin("GET", "/projects?not-tags=b").json()["projects"]]
    assert admin("PUT", path, {"tags": ["z", "y"]}).json()["tags"] == ["y", "z"]
    assert admin("PUT", path, {"tags": ["a,b"]}).status_code == 400
    assert admin("DELETE", path).status_code == 204
    assert admin("GET", path).json()["tags"] == []


# --- groups -----------------------------------------------------------------------------------------


def test_group_brings_its_roles_to_its_members_at_once(admin: Api, demo: Api, token_of: Callable[..., str]) -> None:
    group = made(admin("POST", "/groups", {"group": {"name": "g", "description": "x"}}), "group")["id"]
    project, user = Project.objects.get(name="admin").pk, User.objects.get(name="demo").pk
    assert admin("PUT", f"/projects/{project}/groups/{group}/roles/{role_id('reader')}").status_code == 204
    assert admin("PUT", f"/groups/{group}/users/{user}").status_code == 204
    assert admin("HEAD", f"/groups/{group}/users/{user}").status_code == 204
    assert [u["id"] for u in admin("GET", f"/groups/{group}/users").json()["users"]] == [user]
    assert [g["id"] for g in demo("GET", f"/users/{user}/groups").json()["groups"]] == [group]
    member = Api(token_of("demo", scope=project_scope("admin")))
    assert member("GET", "/auth/catalog").status_code == 200
    assert admin("DELETE", f"/groups/{group}/users/{user}").status_code == 204
    assert member("GET", "/auth/catalog").status_code == 401
    assert admin("HEAD", f"/groups/{group}/users/{user}").status_code == 404
    assert admin("DELETE", f"/groups/{group}").status_code == 204
    assert not Group.objects.filter(pk=group).exists()
    assert not Assignment.objects.filter(group_id=group).exists()


# --- roles and assignments --------------------------------------------------------------------------


def test_role_shows_what_keystone_shows(admin: Api) -> None:
    role = made(admin("POST", "/roles", {"role": {"name": "r"}}), "role")
    assert role == {
        "id": role["id"],
        "name": "r",
        "domain_id": None,
        "description": None,
        "options": {},
        "links": {"self": f"http://testserver/identity/v3/roles/{role['id']}"},
    }
    assert role in admin("GET", "/roles").json()["roles"]
    assert admin("POST", "/roles", {"role": {"name": "r"}}).status_code == 409
    assert admin("DELETE", f"/roles/{role['id']}").status_code == 204


def test_default_roles_are_immutable(admin: Api) -> None:
    assert admin("DELETE", f"/roles/{role_id('admin')}").status_code == 403
    assert admin("PATCH", f"/roles/{role_id('member')}", {"role": {"name": "x"}}).status_code == 403


def test_domain_roles_are_listed_by_domain_only(admin: Api) -> None:
    role = made(admin("POST", "/roles", {"role": {"name": "r", "domain_id": "default"}}), "role")
    assert role["id"] not in [r["id"] for r in admin("GET", "/roles").json()["roles"]]
    assert [r["id"] for r in admin("GET", "/roles?domain_id=default").json()["roles"]] == [role["id"]]


@pytest.mark.parametrize("scope", ["projects", "domains", "system"])
@pytest.mark.parametrize("actor", ["users", "groups"])
def test_role_is_given_checked_listed_and_taken_away(admin: Api, scope: str, actor: str) -> None:
    group = made(admin("POST", "/groups", {"group": {"name": "g"}}), "group")["id"]
    who = User.objects.get(name="demo").pk if actor == "users" else group
    place = {"projects": f"/projects/{Project.objects.get(name='admin').pk}", "domains": "/domains/default"}.get(
        scope, "/system"
    )
    path = f"{place}/{actor}/{who}/roles"
    reader = role_id("reader")
    assert admin("HEAD", f"{path}/{reader}").status_code == 404
    for _ in range(2):
        assert admin("PUT", f"{path}/{reader}").status_code == 204
    assert admin("HEAD", f"{path}/{reader}").status_code == 204
    assert [r["id"] for r in admin("GET", path).json()["roles"]] == [reader]
    assert admin("DELETE", f"{path}/{reader}").status_code == 204
    assert admin("DELETE", f"{path}/{reader}").status_code == 404
    assert admin("PUT", f"{path}/unknown").status_code == 404
    assert admin("GET", path).json()["roles"] == []


def test_member_cannot_give_roles(demo: Api) -> None:
    project, user = Project.objects.get(name="demo").pk, User.objects.get(name="demo").pk
    before = Assignment.objects.count()
    assert demo("PUT", f"/projects/{project}/users/{user}/roles/{role_id('admin')}").status_code == 403
    assert demo("PUT", f"/system/users/{user}/roles/{role_id('admin')}").status_code == 403
    assert Assignment.objects.count() == before


def test_taking_a_role_away_ends_what_it_allowed_at_once(admin: Api, demo: Api) -> None:
    project, user = Project.objects.get(name="demo").pk, User.objects.get(name="demo").pk
    path = f"/projects/{project}/users/{user}/roles"
    admin("PUT", f"{path}/{role_id('creator')}")
    assert "creator" in {r["name"] for r in admin_shows(admin, demo)["roles"]}
    admin("DELETE", f"{path}/{role_id('creator')}")
    assert "creator" not in {r["name"] for r in admin_shows(admin, demo)["roles"]}
    admin("DELETE", f"{path}/{role_id('member')}")
    assert demo("GET", "/auth/catalog").status_code == 401


def admin_shows(admin: Api, subject: Api) -> dict[str, Any]:
    return dict(admin("GET", "/auth/tokens", X_Subject_Token=subject.token).json()["token"])


def test_manager_of_a_domain_works_inside_it_and_no_further(admin: Api, nobody: Api) -> None:
    domain = made(admin("POST", "/domains", {"domain": {"name": "d"}}), "domain")["id"]
    boss = made(admin("POST", "/users", {"user": {"name": "boss", "password": "pw", "domain_id": domain}}), "user")[
        "id"
    ]
    admin("PUT", f"/domains/{domain}/users/{boss}/roles/{role_id('manager')}")
    issued = nobody("POST", "/auth/tokens", password_auth("boss", "pw", {"domain": {"id": domain}}, domain="d"))
    manager = Api(issued["X-Subject-Token"])
    user = made(manager("POST", "/users", {"user": {"name": "u"}}), "user")
    assert user["domain_id"] == domain
    project = made(manager("POST", "/projects", {"project": {"name": "p", "domain_id": domain}}), "project")["id"]
    grant = f"/projects/{project}/users/{user['id']}/roles"
    assert manager("PUT", f"{grant}/{role_id('member')}").status_code == 204
    assert manager("PUT", f"{grant}/{role_id('admin')}").status_code == 403
    assert {u["domain_id"] for u in manager("GET", "/users").json()["users"]} == {domain}
    assert {p["domain_id"] for p in manager("GET", "/projects").json()["projects"]} == {domain}
    assert [d["id"] for d in manager("GET", "/domains").json()["domains"]] == [domain]
    assert manager("POST", "/users", {"user": {"name": "x", "domain_id": "default"}}).status_code == 403
    assert manager("GET", f"/users/{User.objects.get(name='demo').pk}").status_code == 403
    assert manager("POST", "/domains", {"domain": {"name": "x"}}).status_code == 403
    listed = manager("GET", "/role_assignments").json()["role_assignments"]
    assert {a["user"]["id"] for a in listed} == {boss, user["id"]}


def test_system_reader_sees_everything_and_changes_nothing(admin: Api, token_of: Callable[..., str]) -> None:
    user = User.objects.get(name="demo").pk
    admin("PUT", f"/system/users/{user}/roles/{role_id('reader')}")
    reader = Api(token_of("demo", scope={"system": {"all": True}}))
    for path in (
        "/users",
        "/projects",
        "/domains",
        "/roles",
        "/services",
        "/endpoints",
        "/role_assignments",
        "/groups",
    ):
        assert reader("GET", path).status_code == 200, path
    assert reader("POST", "/users", {"user": {"name": "x"}}).status_code == 403
    assert reader("DELETE", f"/users/{user}").status_code == 403


def test_inherited_assignments(admin: Api, nobody: Api) -> None:
    user = User.objects.get(name="demo").pk
    path = f"/OS-INHERIT/domains/default/users/{user}/roles"
    reader = role_id("reader")
    assert admin("PUT", f"{path}/{reader}/inherited_to_projects").status_code == 204
    assert admin("HEAD", f"{path}/{reader}/inherited_to_projects").status_code == 204
    assert [r["id"] for r in admin("GET", f"{path}/inherited_to_projects").json()["roles"]] == [reader]
    scope = project_scope("admin")
    assert nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"], scope)).status_code == 201
    projects = {p["name"] for p in admin("GET", f"/users/{user}/projects").json()["projects"]}
    assert projects == {"admin", "demo"}
    query = f"/role_assignments?user.id={user}&effective&scope.OS-INHERIT:inherited_to=projects"
    found = admin("GET", query).json()["role_assignments"]
    assert {a["scope"]["project"]["id"] for a in found} == set(
        Project.objects.filter(is_domain=False).values_list("pk", flat=True)
    )
    assert admin("DELETE", f"{path}/{reader}/inherited_to_projects").status_code == 204
    assert nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"], scope)).status_code == 401


def test_role_assignments_filters_and_names(admin: Api) -> None:
    user, project = User.objects.get(name="demo"), Project.objects.get(name="demo")
    found = admin("GET", f"/role_assignments?user.id={user.pk}&include_names").json()["role_assignments"]
    base = "http://testserver/identity/v3"
    assert found == [
        {
            "role": {"id": role_id("member"), "name": "member"},
            "user": {"id": user.pk, "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "scope": {"project": {"id": project.pk, "name": "demo", "domain": {"id": "default", "name": "Default"}}},
            "links": {"assignment": f"{base}/projects/{project.pk}/users/{user.pk}/roles/{role_id('member')}"},
        }
    ]
    effective = admin("GET", f"/role_assignments?user.id={user.pk}&effective").json()["role_assignments"]
    assert {a["role"]["id"] for a in effective} == {role_id("member"), role_id("reader")}
    system = admin("GET", "/role_assignments?scope.system=all").json()["role_assignments"]
    assert [a["scope"] for a in system] == [{"system": {"all": True}}]
    of_project = admin("GET", f"/role_assignments?scope.project.id={project.pk}&role.id={role_id('admin')}").json()
    assert [a["user"]["id"] for a in of_project["role_assignments"]] == [User.objects.get(name="admin").pk]
    assert admin("GET", "/role_assignments?user.id=a&group.id=b").status_code == 400
    assert admin("GET", "/role_assignments?include_subtree=true").status_code == 400


def test_implied_roles(admin: Api) -> None:
    first = made(admin("POST", "/roles", {"role": {"name": "first"}}), "role")["id"]
    second = made(admin("POST", "/roles", {"role": {"name": "second"}}), "role")["id"]
    path = f"/roles/{first}/implies/{second}"
    assert admin("GET", path).status_code == 404
    answer = admin("PUT", path)
    assert answer.status_code == 201
    assert answer.json()["role_inference"]["implies"]["name"] == "second"
    assert admin("HEAD", path).status_code == 204
    assert admin("GET", path).json() == answer.json()
    listed = admin("GET", f"/roles/{first}/implies").json()["role_inference"]
    assert [r["id"] for r in listed["implies"]] == [second]
    inferences = admin("GET", "/role_inferences").json()["role_inferences"]
    assert {i["prior_role"]["name"] for i in inferences} == {"admin", "manager", "member", "first"}
    assert admin("PUT", f"/roles/{first}/implies/{role_id('admin')}").status_code == 403
    assert admin("DELETE", path).status_code == 204
    assert admin("DELETE", path).status_code == 404


# --- catalogue --------------------------------------------------------------------------------------


def test_service_with_endpoints_appears_in_the_catalogue_at_once(admin: Api) -> None:
    service = made(admin("POST", "/services", {"service": {"type": "dns", "name": "designate", "x": 1}}), "service")
    assert service["x"] == 1
    endpoint = {
        "service_id": service["id"],
        "interface": "public",
        "url": "http://dns/$(project_id)s",
        "region": "elsewhere",
    }
    row = made(admin("POST", "/endpoints", {"endpoint": endpoint}), "endpoint")
    assert (row["region"], row["region_id"], row["enabled"]) == ("elsewhere", "elsewhere", True)
    entry = next(s for s in admin("GET", "/auth/catalog").json()["catalog"] if s["type"] == "dns")
    assert entry["endpoints"][0]["url"] == f"http://dns/{Project.objects.get(name='admin').pk}"
    path = f"/endpoints/{row['id']}"
    assert admin("PATCH", path, {"endpoint": {"enabled": False}}).status_code == 200
    entry = next(s for s in admin("GET", "/auth/catalog").json()["catalog"] if s["type"] == "dns")
    assert entry["endpoints"] == []
    assert [e["id"] for e in admin("GET", f"/endpoints?service_id={service['id']}").json()["endpoints"]] == [row["id"]]
    assert admin("DELETE", "/regions/elsewhere").status_code == 403
    assert admin("DELETE", f"/services/{service['id']}").status_code == 204
    assert not Endpoint.objects.filter(pk=row["id"]).exists()
    assert admin("DELETE", "/regions/elsewhere").status_code == 204


@pytest.mark.parametrize(
    "change", [{"url": "http://x/$(oops"}, {"interface": "private"}, {"service_id": "none"}, {"region_id": "none"}]
)
def test_bad_endpoints_are_refused(admin: Api, change: dict[str, str]) -> None:
    service = Service.objects.get(type="identity")
    before = Endpoint.objects.count()
    body = {"service_id": service.pk, "interface": "public", "url": "http://x"} | change
    assert admin("POST", "/endpoints", {"endpoint": body}).status_code == 400
    assert Endpoint.objects.count() == before


def test_regions_have_chosen_ids_and_parents(admin: Api) -> None:
    assert made(admin("PUT", "/regions/east", {"region": {"description": "d"}}), "region")["id"] == "east"
    child = made(admin("POST", "/regions", {"region": {"id": "east-1", "parent_region_id": "east"}}), "region")
    assert child["parent_region_id"] == "east"
    assert admin("POST", "/regions", {"region": {"id": "east"}}).status_code == 409
    assert admin("PATCH", "/regions/east", {"region": {"parent_region_id": "east-1"}}).status_code == 400
    assert admin("DELETE", "/regions/east").status_code == 403
    assert [r["id"] for r in admin("GET", "/regions?parent_region_id=east").json()["regions"]] == ["east-1"]


def test_endpoints_of_the_built_in_services_show_the_public_address(admin: Api) -> None:
    urls = {e["url"] for e in admin("GET", "/endpoints?interface=public").json()["endpoints"]}
    assert "http://testserver/identity" in urls


def test_effective_assignments_of_one_are_those_of_all_that_concern_it(admin: Api) -> None:
    demo, project = User.objects.get(name="demo"), Project.objects.get(name="demo", is_domain=False)
    group = Group.objects.create(name="crowd", domain_id="default")
    crowd = User.objects.bulk_create(User(name=f"u{n}", domain_id="default") for n in range(20))
    Membership.objects.bulk_create(Membership(group=group, user=user) for user in [*crowd, demo])
    below = Project.objects.create(name="below", domain_id="default", parent=project)
    for user, role, inherited in ((None, "manager", True), (None, "reader", False), (crowd[0], "member", True)):
        Assignment.objects.create(
            user=user,
            group=None if user else group,
            role_id=role_id(role),
            scope=Scope.PROJECT,
            target=project,
            inherited=inherited,
        )

    def listed(query: str) -> tuple[set[str], int]:
        with CaptureQueriesContext(connection) as queries:
            found = admin("GET", f"/role_assignments?effective{query}").json()["role_assignments"]
        return {json.dumps(one, sort_keys=True) for one in found}, len(queries)

    everything, _ = listed("")
    for query, concerns in (
        (f"&user.id={demo.pk}", lambda one: one["user"]["id"] == demo.pk),
        (f"&user.id={crowd[0].pk}", lambda one: one["user"]["id"] == crowd[0].pk),
        (f"&scope.project.id={below.pk}", lambda one: one["scope"].get("project", {}).get("id") == below.pk),
        (f"&scope.project.id={project.pk}", lambda one: one["scope"].get("project", {}).get("id") == project.pk),
        ("&scope.system=all", lambda one: "system" in one["scope"]),
    ):
        found, few = listed(query)
        assert found == {text for text in everything if concerns(json.loads(text))}, query
        assert found, query
        more = User.objects.bulk_create(User(name=f"{query}{n}", domain_id="default") for n in range(20))
        Membership.objects.bulk_create(Membership(group=group, user=user) for user in more)
        assert listed(query)[1] == few
        Membership.objects.filter(user__in=more).delete()
