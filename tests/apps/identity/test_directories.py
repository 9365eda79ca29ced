"""A domain that lives in a real OpenLDAP server with 10,000 users and 500 groups, through the v3 API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ldap
import pytest
from django.core.management import call_command

from apps.identity.models import Assignment, DomainOption, IdMapping, Membership, User
from apps.identity.reconcile import directories_refresh
from apps.identity.selectors import directories
from tests.apps.identity.conftest import PASSWORDS, Api, password_auth, project_scope
from tests.kit.slapd import ROOT, ROOT_PASSWORD, SUFFIX, USERS, Slapd, group_dn, user_dn

pytestmark = [pytest.mark.contract, pytest.mark.django_db]

OPTIONS: dict[str, Any] = {
    "user": ROOT,
    "password": ROOT_PASSWORD,
    "user_tree_dn": f"ou=people,{SUFFIX}",
    "user_id_attribute": "uid",
    "user_name_attribute": "uid",
    "user_enabled_attribute": "employeeType",
    "group_tree_dn": f"ou=groups,{SUFFIX}",
    "group_name_attribute": "cn",
    "group_nesting_levels": 3,
}
WRITABLE = {f"{noun}_allow_{verb}": True for noun in ("user", "group") for verb in ("create", "update", "delete")}
WRITABLE |= {"use_dumb_member": True}  # the schema wants every group to have a member


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    made = Slapd(tmp_path_factory.mktemp("slapd"))
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def slapd(running: Slapd) -> Iterator[Slapd]:
    """The server, running again whatever a test did to it."""
    yield running
    if running._process is None:
        running.start()


Configure = Callable[..., str]


@pytest.fixture
def configure(slapd: Slapd, admin: Api) -> Configure:
    """Make the domain `corp` with these options besides the usual ones; its id."""

    def make(*, list_limit: int = 20_000, **options: Any) -> str:
        ident: str = admin("POST", "/domains", {"domain": {"name": "corp"}}).json()["domain"]["id"]
        config = {
            "identity": {"driver": "ldap", "list_limit": list_limit},
            "ldap": OPTIONS | {"url": slapd.url} | options,
        }
        answer = admin("PUT", f"/domains/{ident}/config", {"config": config})
        assert answer.status_code == 201, answer.content
        return ident

    return make


@pytest.fixture
def corp(configure: Configure) -> str:
    return configure()


def sign_in(name: str, password: str, scope: Any = None) -> Any:
    return Api()("POST", "/auth/tokens", password_auth(name, password, scope, domain="corp"))


def named(admin: Api, corp: str, noun: str, name: str) -> dict[str, Any]:
    (found,) = admin("GET", f"/{noun}s?domain_id={corp}&name={name}").json()[f"{noun}s"]
    return dict(found)


# --- reading and signing in ---------------------------------------------------------------------------


def test_all_users_are_listed_page_by_page_from_one_reading(admin: Api, corp: str) -> None:
    seen: list[str] = []
    path = f"/users?domain_id={corp}"
    while path:
        page = admin("GET", path).json()
        seen += [user["name"] for user in page["users"]]
        path = (page["links"]["next"] or "").partition("/v3")[2]
    assert len(seen) == USERS
    assert seen == sorted(set(seen))


def test_groups_are_listed(admin: Api, corp: str) -> None:
    groups = admin("GET", f"/groups?domain_id={corp}").json()["groups"]
    assert len(groups) == 503
    assert {"g000", "g499", "outer"} <= {group["name"] for group in groups}


def test_a_list_reads_no_more_than_its_limit(admin: Api, configure: Configure) -> None:
    corp = configure(list_limit=700)
    assert len(admin("GET", f"/users?domain_id={corp}").json()["users"]) == 700
    assert not IdMapping.objects.exclude(gone_at=None).exists()


def test_a_server_that_answers_no_more_than_it_wants_cuts_the_list(admin: Api, configure: Configure) -> None:
    corp = configure(page_size=0, user=user_dn(3), password="pw-u00003")
    assert named(admin, corp, "user", "u09000")
    assert len(admin("GET", f"/users?domain_id={corp}").json()["users"]) == 501
    assert not IdMapping.objects.exclude(gone_at=None).exists()  # who is beyond the cut is not gone


def test_a_user_has_the_id_that_keystone_would_give(admin: Api, corp: str) -> None:
    user = named(admin, corp, "user", "u00042")
    assert user["id"] == directories.public_id(corp, "user", "u00042")
    assert len(user["id"]) == 64
    assert (user["domain_id"], user["email"], user["enabled"]) == (corp, "u00042@kumo.test", True)
    assert admin("GET", f"/users/{user['id']}").json()["user"] == user


def test_sign_in_by_name_and_by_id(admin: Api, corp: str) -> None:
    assert sign_in("u00042", "pw-u00042").status_code == 201
    ident = directories.public_id(corp, "user", "u00042")
    by_id = {"identity": {"methods": ["password"], "password": {"user": {"id": ident, "password": "pw-u00042"}}}}
    answer = Api()("POST", "/auth/tokens", {"auth": by_id})
    assert answer.status_code == 201
    assert answer.json()["token"]["user"] == {
        "id": ident,
        "name": "u00042",
        "domain": {"id": corp, "name": "corp"},
        "password_expires_at": None,
    }
    assert User.objects.get(pk=ident).password_hash == ""


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("u00042", "wrong"),
        ("u00042", ""),  # an unauthenticated bind succeeds, and proves nothing
        ("nobody", "pw-u00042"),
        ("*", "pw-u00000"),
        ("u0004*", "pw-u00042"),
        ("u00042)(uid=*", "pw-u00042"),
        ("*)(objectClass=*))(|(uid=*", "pw-u00000"),
        ("\\2a", "pw-u00000"),
        ("u09999", "pw-u09999"),  # disabled by its attribute
    ],
)
def test_who_may_not_sign_in_is_told_the_same(corp: str, name: str, password: str) -> None:
    answer = sign_in(name, password)
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == "The request you have made requires authentication."
    assert not Membership.objects.exists()


def test_filters_do_not_inject(admin: Api, corp: str) -> None:
    for name in ("*", "u0000*", ")(uid=*", "\\2a"):
        answer = admin("GET", f"/users?domain_id={corp}&name={name}")
        assert (answer.status_code, answer.json()["users"]) == (200, [])


def test_a_group_gives_roles(admin: Api, corp: str) -> None:
    group = named(admin, corp, "group", "g002")
    project, role = _demo_and_member(admin)
    assert admin("PUT", f"/projects/{project}/groups/{group['id']}/roles/{role}").status_code == 204
    answer = sign_in("u00042", "pw-u00042", project_scope("demo"))
    assert answer.status_code == 201, answer.content
    assert {r["name"] for r in answer.json()["token"]["roles"]} == {"member", "reader"}
    assert sign_in("u00100", "pw-u00100", project_scope("demo")).status_code == 401


def test_members_and_groups_of_a_user(admin: Api, corp: str) -> None:
    group = named(admin, corp, "group", "g002")
    members = admin("GET", f"/groups/{group['id']}/users").json()["users"]
    assert {user["name"] for user in members} == {f"u{n:05}" for n in range(40, 60)}
    ident = directories.public_id(corp, "user", "u00042")
    assert [g["name"] for g in admin("GET", f"/users/{ident}/groups").json()["groups"]] == ["g002"]
    assert admin("HEAD", f"/groups/{group['id']}/users/{ident}").status_code == 204


def test_groups_in_groups_are_followed_as_far_as_configured(admin: Api, corp: str) -> None:
    outer = named(admin, corp, "group", "outer")
    members = admin("GET", f"/groups/{outer['id']}/users").json()["users"]
    assert {user["name"] for user in members} == {f"u{n:05}" for n in range(40)}
    ident = directories.public_id(corp, "user", "u00007")
    assert {g["name"] for g in admin("GET", f"/users/{ident}/groups").json()["groups"]} == {"g000", "outer"}
    circle = named(admin, corp, "group", "round")
    assert admin("GET", f"/groups/{circle['id']}/users").json()["users"] == []


def test_without_nesting_a_group_has_its_own_members_only(admin: Api, configure: Configure) -> None:
    outer = named(admin, configure(group_nesting_levels=0), "group", "outer")
    assert admin("GET", f"/groups/{outer['id']}/users").json()["users"] == []


def test_the_filter_of_the_configuration_holds(admin: Api, configure: Configure) -> None:
    corp = configure(user_filter="(uid=u0001*)")
    assert len(admin("GET", f"/users?domain_id={corp}").json()["users"]) == 10
    assert sign_in("u00042", "pw-u00042").status_code == 401
    assert sign_in("u00010", "pw-u00010").status_code == 201


def test_a_readers_domain_is_read_without_naming_it(admin: Api, corp: str) -> None:
    role = next(r["id"] for r in admin("GET", "/roles").json()["roles"] if r["name"] == "reader")
    user = named(admin, corp, "user", "u00001")
    assert admin("PUT", f"/domains/{corp}/users/{user['id']}/roles/{role}").status_code == 204
    token = sign_in("u00001", "pw-u00001", {"domain": {"id": corp}})
    assert token.status_code == 201, token.content
    reader = Api(token["X-Subject-Token"])
    assert len(reader("GET", "/groups").json()["groups"]) == 503


# --- TLS, several servers, and a server that is away -------------------------------------------------


def test_tls_with_the_right_authority(configure: Configure, slapd: Slapd) -> None:
    configure(url=slapd.tls_url, tls_cacertfile=str(slapd.ca))
    assert sign_in("u00042", "pw-u00042").status_code == 201


def test_starttls_with_the_right_authority(configure: Configure, slapd: Slapd) -> None:
    configure(use_tls=True, tls_cacertfile=str(slapd.ca))
    assert sign_in("u00042", "pw-u00042").status_code == 201


@pytest.mark.parametrize("start_tls", [False, True])
def test_tls_with_an_unknown_authority_is_refused(configure: Configure, slapd: Slapd, start_tls: bool) -> None:
    configure(url=slapd.url if start_tls else slapd.tls_url, use_tls=start_tls)
    assert sign_in("u00042", "pw-u00042").status_code == 503


def test_the_next_server_answers_when_the_first_is_away(configure: Configure, slapd: Slapd) -> None:
    configure(url=f"ldap://127.0.0.1:1,{slapd.url}")
    assert sign_in("u00042", "pw-u00042").status_code == 201


def test_a_directory_that_is_away_and_comes_back(admin: Api, corp: str, slapd: Slapd) -> None:
    token = sign_in("u00042", "pw-u00042")["X-Subject-Token"]
    user = named(admin, corp, "user", "u00042")
    slapd.stop()
    answer = sign_in("u00042", "pw-u00042")
    assert answer.status_code == 503
    assert "directory of domain corp does not answer" in answer.json()["error"]["message"]
    assert admin("GET", f"/users/{user['id']}").status_code == 503
    assert admin("GET", f"/users?domain_id={corp}").status_code == 503
    assert Api(token)("GET", "/auth/projects").status_code == 200  # what was given stays valid
    assert Api()("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"])).status_code == 201
    assert admin("GET", "/users?domain_id=default").status_code == 200
    assert directories_refresh() == {"corp": "The directory of domain corp does not answer."}
    assert Api(token)("GET", "/auth/projects").status_code == 200
    slapd.start()
    assert sign_in("u00042", "pw-u00042").status_code == 201
    assert admin("GET", f"/users/{user['id']}").status_code == 200


def test_a_wrong_reading_password_is_the_operators_fault(configure: Configure) -> None:
    configure(password="wrong")
    answer = sign_in("u00042", "pw-u00042")
    assert answer.status_code == 503
    assert "refuses the configured user" in answer.json()["error"]["message"]


# --- what changes in the directory --------------------------------------------------------------------


def test_who_leaves_a_group_loses_its_role(admin: Api, corp: str, slapd: Slapd) -> None:
    group = named(admin, corp, "group", "g003")
    project, role = _demo_and_member(admin)
    admin("PUT", f"/projects/{project}/groups/{group['id']}/roles/{role}")
    token = sign_in("u00065", "pw-u00065", project_scope("demo"))["X-Subject-Token"]
    held = slapd.root_connection()
    held.modify_s(group_dn(3), [(ldap.MOD_DELETE, "member", [user_dn(65).encode()])])
    try:
        assert Api(token)("GET", "/auth/projects").status_code == 200
        assert directories_refresh() == {}
        assert Api(token)("GET", "/auth/projects").status_code == 401
    finally:
        held.modify_s(group_dn(3), [(ldap.MOD_ADD, "member", [user_dn(65).encode()])])


def test_who_is_gone_cannot_be_found_and_their_token_ends(admin: Api, corp: str, slapd: Slapd) -> None:
    held = slapd.root_connection()
    dn = f"uid=guest,ou=people,{SUFFIX}"
    entry = {"objectClass": b"inetOrgPerson", "cn": b"Guest", "sn": b"G", "userPassword": b"pw"}
    held.add_s(dn, [(name, [value]) for name, value in entry.items()])
    token = sign_in("guest", "pw")["X-Subject-Token"]
    ident = directories.public_id(corp, "user", "guest")
    held.delete_s(dn)
    assert admin("GET", f"/users/{ident}").status_code == 404
    assert Api(token)("GET", "/auth/projects").status_code == 401
    assert admin("GET", f"/users?domain_id={corp}&name=guest").json()["users"] == []
    held.add_s(dn, [(name, [value]) for name, value in entry.items()])
    try:
        assert sign_in("guest", "pw").json()["token"]["user"]["id"] == ident
        assert admin("GET", f"/users/{ident}").json()["user"]["enabled"] is True
    finally:
        held.delete_s(dn)


# --- writing ------------------------------------------------------------------------------------------


def test_a_directory_is_read_only_unless_it_is_said(admin: Api, corp: str) -> None:
    user, group = named(admin, corp, "user", "u00042"), named(admin, corp, "group", "g002")
    for method, path, body in (
        ("POST", "/users", {"user": {"name": "new", "domain_id": corp, "password": "x"}}),
        ("PATCH", f"/users/{user['id']}", {"user": {"email": "other@kumo.test"}}),
        ("DELETE", f"/users/{user['id']}", None),
        ("POST", "/groups", {"group": {"name": "new", "domain_id": corp}}),
        ("PATCH", f"/groups/{group['id']}", {"group": {"description": "x"}}),
        ("DELETE", f"/groups/{group['id']}", None),
        ("DELETE", f"/groups/{group['id']}/users/{user['id']}", None),
    ):
        answer = admin(method, path, body)
        assert answer.status_code == 403, (method, path, answer.content)
        assert "LDAP does not support write operations" in answer.json()["error"]["message"]
    assert named(admin, corp, "user", "u00042") == user
    assert len(admin("GET", f"/groups/{group['id']}/users").json()["users"]) == 20


def test_users_and_groups_are_written_where_it_is_allowed(admin: Api, configure: Configure, slapd: Slapd) -> None:
    corp = configure(**WRITABLE)
    name = "new,one+(x)"  # DNs and filters have other special characters
    made = admin("POST", "/users", {"user": {"name": name, "domain_id": corp, "password": "first", "email": "a@b.c"}})
    assert made.status_code == 201, made.content
    user = made.json()["user"]
    assert sign_in(name, "first").status_code == 201
    changed = admin("PATCH", f"/users/{user['id']}", {"user": {"email": "d@e.f", "password": "second"}})
    assert changed.json()["user"]["email"] == "d@e.f"
    assert sign_in(name, "first").status_code == 401
    token = sign_in(name, "second")["X-Subject-Token"]
    passwords = {"user": {"original_password": "second", "password": "third"}}
    assert Api()("POST", f"/users/{user['id']}/password", passwords).status_code == 204
    assert Api(token)("GET", "/auth/projects").status_code == 401
    assert sign_in(name, "third").status_code == 201
    group = admin("POST", "/groups", {"group": {"name": "team", "domain_id": corp}}).json()["group"]
    assert admin("PUT", f"/groups/{group['id']}/users/{user['id']}").status_code == 204
    assert [u["id"] for u in admin("GET", f"/groups/{group['id']}/users").json()["users"]] == [user["id"]]
    assert admin("DELETE", f"/groups/{group['id']}/users/{user['id']}").status_code == 204
    assert admin("GET", f"/groups/{group['id']}/users").json()["users"] == []
    again = admin("POST", "/users", {"user": {"name": name, "domain_id": corp}})
    assert again.status_code == 409
    off = admin("PATCH", f"/users/{user['id']}", {"user": {"enabled": False}})
    assert off.json()["user"]["enabled"] is False
    assert sign_in(name, "third").status_code == 401
    for path in (f"/groups/{group['id']}", f"/users/{user['id']}"):
        assert admin("DELETE", path).status_code == 204
        assert admin("GET", path).status_code == 404
    assert slapd.root_connection().search_s(f"ou=people,{SUFFIX}", ldap.SCOPE_ONELEVEL, "(mail=d@e.f)") == []


def test_what_the_directory_has_no_attribute_for_is_refused(admin: Api, configure: Configure) -> None:
    corp = configure(**WRITABLE)
    user = named(admin, corp, "user", "u00042")
    answer = admin("PATCH", f"/users/{user['id']}", {"user": {"nickname": "Jo"}})
    assert answer.status_code == 403
    assert "no attribute for `nickname`" in answer.json()["error"]["message"]
    assert named(admin, corp, "user", "u00042") == user


def test_a_group_of_ours_takes_no_user_of_a_directory(admin: Api, corp: str) -> None:
    user = named(admin, corp, "user", "u00042")
    group = admin("POST", "/groups", {"group": {"name": "ours", "domain_id": "default"}}).json()["group"]
    assert admin("PUT", f"/groups/{group['id']}/users/{user['id']}").status_code == 403
    assert not Membership.objects.filter(group_id=group["id"]).exists()


def test_a_domain_goes_with_all_that_was_read(admin: Api, corp: str) -> None:
    named(admin, corp, "user", "u00042")
    admin("PATCH", f"/domains/{corp}", {"domain": {"enabled": False}})
    assert admin("DELETE", f"/domains/{corp}").status_code == 204
    assert not IdMapping.objects.exists()
    assert not DomainOption.objects.exists()
    assert not Assignment.objects.filter(target_id=corp).exists()


# --- the operator's command ---------------------------------------------------------------------------


def test_the_command_tries_everything_and_maps_a_user(corp: str, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("ldap", "test", "--domain", "corp", "--user", "u00042")
    said = capsys.readouterr().out
    for words in ("connected", "bound as", "users: 10000", "groups: 503", "u00042", "u00042@kumo.test", "g002"):
        assert words in said, said
    assert ROOT_PASSWORD not in said


def test_the_command_says_what_to_do(
    configure: Configure, slapd: Slapd, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    configure(user_tree_dn=f"ou=nowhere,{SUFFIX}")
    with pytest.raises(SystemExit):
        call_command("ldap", "test", "--domain", "corp")
    assert "user_tree_dn" in capsys.readouterr().out


def _demo_and_member(admin: Api) -> tuple[str, str]:
    (project,) = admin("GET", "/projects?name=demo").json()["projects"]
    (role,) = admin("GET", "/roles?name=member").json()["roles"]
    return project["id"], role["id"]
