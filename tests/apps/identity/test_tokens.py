from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.context import system
from apps.core.errors import Unauthorized
from apps.identity import selectors, services
from apps.identity.backends.tokens import Claims, new_audit_id, seal
from apps.identity.models import Assignment, Domain, Project, RevokedToken, Role, User
from apps.identity.selectors import epoch
from apps.identity.services.epoch import change_epoch
from apps.identity.states import Method, Scope, new_id

from .conftest import PASSWORDS, Api, password_auth, project_scope

DENIED = {
    "error": {
        "code": 401,
        "message": "The request you have made requires authentication.",
        "title": "Unauthorized",
    }
}


def test_password_gives_a_project_token_with_roles_and_catalogue(nobody: Api) -> None:
    answer = nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"], project_scope("demo")))
    assert answer.status_code == 201
    assert len(answer["X-Subject-Token"]) <= 255
    token = answer.json()["token"]
    assert token["methods"] == ["password"]
    assert token["user"]["name"] == "demo"
    assert token["user"]["domain"] == {"id": "default", "name": "Default"}
    assert token["project"]["name"] == "demo"
    assert token["is_domain"] is False
    assert [role["name"] for role in token["roles"]] == ["member", "reader"]
    assert {entry["type"] for entry in token["catalog"]} >= {"identity", "compute", "network", "image"}
    endpoint = next(e for e in token["catalog"] if e["type"] == "identity")["endpoints"][0]
    assert endpoint["url"] == "http://testserver/identity"
    assert endpoint["region"] == endpoint["region_id"] == "RegionOne"


def test_admin_has_implied_roles(nobody: Api) -> None:
    answer = nobody("POST", "/auth/tokens", password_auth("admin", PASSWORDS["admin"], project_scope("admin")))
    assert {r["name"] for r in answer.json()["token"]["roles"]} == {"admin", "manager", "member", "reader"}


@pytest.mark.parametrize(
    ("scope", "key", "value"),
    [
        ({"system": {"all": True}}, "system", {"all": True}),
        ({"domain": {"name": "Default"}}, "domain", {"id": "default", "name": "Default"}),
        ({"domain": {"id": "default"}}, "domain", {"id": "default", "name": "Default"}),
    ],
)
def test_other_scopes(nobody: Api, scope: Any, key: str, value: Any) -> None:
    answer = nobody("POST", "/auth/tokens", password_auth("admin", PASSWORDS["admin"], scope))
    assert answer.status_code == 201
    assert answer.json()["token"][key] == value


@pytest.mark.parametrize("scope", [None, "unscoped", {"unscoped": {}}])
def test_unscoped_token_has_neither_roles_nor_catalogue(nobody: Api, scope: Any) -> None:
    token = nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"], scope)).json()["token"]
    assert not {"roles", "catalog", "project"} & set(token)


def test_default_project_is_the_scope_where_none_is_asked(nobody: Api) -> None:
    project = Project.objects.get(name="demo")
    User.objects.filter(name="demo").update(default_project_id=project.pk)
    token = nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"])).json()["token"]
    assert token["project"]["id"] == project.pk
    token = nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"], "unscoped")).json()["token"]
    assert "project" not in token


@pytest.mark.parametrize(
    "body",
    [
        password_auth("demo", "wrong"),
        password_auth("nobody", "wrong"),
        password_auth("demo", PASSWORDS["demo"], domain="Nowhere"),
        password_auth("demo", PASSWORDS["demo"], project_scope("admin")),
        password_auth("demo", PASSWORDS["demo"], project_scope("nothing")),
        password_auth("demo", PASSWORDS["demo"], {"system": {"all": True}}),
        password_auth("demo", "x" * 5000),
        {"auth": {"identity": {"methods": []}}},
    ],
)
def test_all_refusals_to_sign_in_read_the_same(nobody: Api, body: Any) -> None:
    answer = nobody("POST", "/auth/tokens", body)
    assert (answer.status_code, answer.json()) == (401, DENIED)
    assert answer["WWW-Authenticate"].startswith("Keystone uri=")
    assert "X-Subject-Token" not in answer


def test_unknown_users_password_is_hashed_too(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.identity.backends import passwords

    hashed: list[str] = []

    def matches(password: str, stored: str) -> bool:
        hashed.append(stored)
        return False

    monkeypatch.setattr(passwords, "_matches", matches)
    for name in ("demo", "nobody"):
        with pytest.raises(Unauthorized):
            services.sign_in(name=name, domain_name="Default", password="x")
    assert len(hashed) == 2
    costs = {stored.rsplit("$", 2)[0] for stored in hashed}
    assert costs == {passwords.hash_password("x").rsplit("$", 2)[0]}, "both cost what a hash costs now"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"auth": {}},
        {"auth": {"identity": {"methods": "password"}}},
        {"auth": {"identity": {"methods": ["password"]}}},
        {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "demo", "password": "x"}}}}},
        password_auth("demo", PASSWORDS["demo"], {"project": {"name": "demo"}}),
        password_auth("demo", PASSWORDS["demo"], {"project": {"id": "x"}, "domain": {"id": "default"}}),
        password_auth("demo", PASSWORDS["demo"], {}),
    ],
)
def test_malformed_body_is_a_400(nobody: Api, body: Any) -> None:
    assert nobody("POST", "/auth/tokens", body).status_code == 400


def test_unsupported_method_is_named(nobody: Api) -> None:
    answer = nobody("POST", "/auth/tokens", {"auth": {"identity": {"methods": ["magic"], "magic": {}}}})
    assert answer.status_code == 401
    assert "unsupported method" in answer.json()["error"]["message"]


def test_token_from_a_token_keeps_expiry_and_chain(nobody: Api) -> None:
    first = nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"]))
    identity = {"methods": ["token"], "token": {"id": first["X-Subject-Token"]}}
    second = nobody("POST", "/auth/tokens", {"auth": {"identity": identity, "scope": project_scope("demo")}})
    assert second.status_code == 201
    before, after = first.json()["token"], second.json()["token"]
    assert after["expires_at"] == before["expires_at"]
    assert set(after["methods"]) == {"password", "token"}
    assert after["audit_ids"][1] == before["audit_ids"][0]


def test_validate_shows_what_issue_showed(admin: Api, nobody: Api) -> None:
    issued = nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"], project_scope("demo")))
    subject = issued["X-Subject-Token"]
    shown = admin("GET", "/auth/tokens", X_Subject_Token=subject)
    assert shown.status_code == 200
    assert shown.json() == issued.json()
    assert shown["X-Subject-Token"] == subject
    assert "catalog" not in admin("GET", "/auth/tokens?nocatalog", X_Subject_Token=subject).json()["token"]
    head = admin("HEAD", "/auth/tokens", X_Subject_Token=subject)
    assert (head.status_code, head.content) == (200, b"")


def test_everybody_may_validate_their_own_token_but_nobody_elses(admin: Api, demo: Api) -> None:
    assert demo("GET", "/auth/tokens", X_Subject_Token=demo.token).status_code == 200
    assert demo("GET", "/auth/tokens", X_Subject_Token=admin.token).status_code == 403
    assert demo("DELETE", "/auth/tokens", X_Subject_Token=admin.token).status_code == 403
    assert admin("GET", "/auth/tokens", X_Subject_Token=admin.token).status_code == 200


def test_unknown_token_is_a_404_to_everybody_with_one(admin: Api, demo: Api, nobody: Api) -> None:
    for api in (admin, demo):
        for method in ("GET", "HEAD", "DELETE"):
            assert api(method, "/auth/tokens", X_Subject_Token="nonsense").status_code == 404
    body = {"auth": {"identity": {"methods": ["token"], "token": {"id": "gAAAA"}}}}
    assert nobody("POST", "/auth/tokens", body).status_code == 404
    assert nobody("GET", "/auth/tokens", X_Subject_Token="nonsense").status_code == 401


def test_revoked_token_ends_with_the_next_request(admin: Api, demo: Api) -> None:
    assert demo("GET", "/auth/catalog").status_code == 200
    assert admin("DELETE", "/auth/tokens", X_Subject_Token=demo.token).status_code == 204
    assert demo("GET", "/auth/catalog").status_code == 401
    assert admin("GET", "/auth/tokens", X_Subject_Token=demo.token).status_code == 404
    assert admin("DELETE", "/auth/tokens", X_Subject_Token=demo.token).status_code == 404
    assert admin("GET", "/auth/catalog").status_code == 200


def test_known_token_costs_one_query(admin: Api, demo: Api) -> None:
    for api in (admin, demo):
        api("GET", "/auth/tokens", X_Subject_Token=demo.token)
    with CaptureQueriesContext(connection) as queries:
        assert admin("GET", "/auth/tokens", X_Subject_Token=demo.token).status_code == 200
    assert len(queries) == 1


def test_change_made_by_another_process_holds_at_once(demo: Api) -> None:
    assert demo("GET", "/auth/catalog").status_code == 200
    Assignment.objects.filter(user__name="demo").delete()  # past this process's services, as another would
    change_epoch()
    assert demo("GET", "/auth/catalog").status_code == 401


@pytest.mark.parametrize("disable", ["user", "project", "domain"])
def test_disabling_anything_in_the_chain_ends_the_token(demo: Api, disable: str) -> None:
    assert demo("GET", "/auth/catalog").status_code == 200
    match disable:
        case "user":
            User.objects.filter(name="demo").update(enabled=False)
        case "project":
            Project.objects.filter(name="demo").update(enabled=False)
        case _:
            Domain.objects.filter(name="Default").update(enabled=False)
    change_epoch()
    assert demo("GET", "/auth/catalog").status_code == 401


def test_expired_token_is_refused(cloud: None) -> None:
    user = User.objects.get(name="demo")
    ring = services.key_ring_ensured()
    claims = Claims(
        user_id=user.pk,
        user_generation=0,
        scope=Scope.UNSCOPED,
        target_id="",
        target_generation=0,
        methods=(Method.PASSWORD,),
        issued_at=0,
        expires_at=int(time.time()) - 1,
        audit_ids=(new_audit_id(),),
    )
    assert selectors.session_of(seal(claims, ring.newest)) is None


def test_expired_password_cannot_sign_in(nobody: Api) -> None:
    User.objects.filter(name="demo").update(password_expires_at="2020-01-01T00:00:00Z")
    answer = nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"]))
    assert answer.status_code == 401
    assert "expired" in answer.json()["error"]["message"]


@pytest.mark.parametrize("length", [32, 64])
@pytest.mark.parametrize(("audit_ids", "credential_id"), [(2, ""), (1, "0123456789abcdef" * 2)])
def test_token_fits_255_characters_whatever_it_carries(
    cloud: None, length: int, audit_ids: int, credential_id: str
) -> None:
    ring = services.key_ring_ensured()
    claims = Claims(
        user_id="a" * length,
        user_generation=2**31,
        scope=Scope.PROJECT,
        target_id=new_id(),
        target_generation=2**31,
        methods=tuple(Method),
        issued_at=time.time_ns() // 1000,
        expires_at=int(time.time()) + 3600,
        audit_ids=tuple(new_audit_id() for _ in range(audit_ids)),
        credential_id=credential_id,
    )
    assert len(seal(claims, ring.newest)) <= 255


def test_keys_rotate_without_ending_tokens(demo: Api, token_of: Any) -> None:
    assert services.token_keys_rotate(system()) == 1
    assert demo("GET", "/auth/catalog").status_code == 200
    assert Api(token_of("demo", scope=project_scope("demo")))("GET", "/auth/catalog").status_code == 200


def test_discarding_keys_ends_every_token(demo: Api, admin: Api, token_of: Any) -> None:
    assert services.token_keys_rotate(system(), discard=True) == 0
    assert demo("GET", "/auth/catalog").status_code == 401
    assert admin("GET", "/auth/catalog").status_code == 401
    assert Api(token_of("demo", scope=project_scope("demo")))("GET", "/auth/catalog").status_code == 200


def test_expired_revocations_are_dropped(admin: Api, demo: Api) -> None:
    RevokedToken.objects.create(audit_id="old", expires_at="2020-01-01T00:00:00Z")
    admin("DELETE", "/auth/tokens", X_Subject_Token=demo.token)
    assert set(RevokedToken.objects.values_list("audit_id", flat=True)) == {selectors_audit_id(demo.token)}


def selectors_audit_id(token: str) -> str:
    from apps.identity.backends.tokens import unseal

    return unseal(token, services.key_ring_ensured().every).audit_ids[0]


def test_inherited_role_counts_below_its_target_only(cloud: None) -> None:
    user = User.objects.create(name="heir", domain_id="default")
    parent = Project.objects.create(name="parent", domain_id="default", parent_id="default")
    child = Project.objects.create(name="child", domain_id="default", parent=parent)
    Assignment.objects.create(
        user=user, role=Role.objects.get(name="reader"), scope=Scope.PROJECT, target=parent, inherited=True
    )

    def names(target: Project) -> list[str]:
        found = selectors.effective_roles(user_id=user.pk, scope=Scope.PROJECT, target_id=target.pk)
        return [role.name for role in found]

    assert names(parent) == []
    assert names(child) == ["reader"]


def test_bootstrap_again_changes_nothing(demo: Api) -> None:
    before = (User.objects.count(), Role.objects.count(), Assignment.objects.count())
    services.bootstrap(system(), passwords=PASSWORDS)
    assert (User.objects.count(), Role.objects.count(), Assignment.objects.count()) == before
    assert demo("GET", "/auth/catalog").status_code == 200


def test_bootstrap_with_another_password_sets_it_and_ends_tokens(demo: Api, nobody: Api) -> None:
    services.bootstrap(system(), passwords={"demo": "another"})
    assert demo("GET", "/auth/catalog").status_code == 401
    assert nobody("POST", "/auth/tokens", password_auth("demo", "another")).status_code == 201


def test_bcrypt_hash_taken_over_is_verified_and_replaced(nobody: Api) -> None:
    import bcrypt

    stored = bcrypt.hashpw(b"from keystone", bcrypt.gensalt(4)).decode()
    User.objects.filter(name="demo").update(password_hash=stored)
    assert nobody("POST", "/auth/tokens", password_auth("demo", "from keystone")).status_code == 201
    assert User.objects.get(name="demo").password_hash.startswith("$argon2id$")


def test_version_documents(nobody: Api) -> None:
    for path in ("/identity", "/identity/"):
        answer = nobody.client.get(path)
        assert answer.status_code == 300
        assert answer.json()["versions"]["values"][0]["id"] == "v3.14"
    for path in ("/identity/v3", "/identity/v3/"):
        answer = nobody.client.get(path)
        assert answer.status_code == 200
        assert answer.json()["version"]["links"] == [{"rel": "self", "href": "http://testserver/identity/v3/"}]


def test_connection_that_the_server_closed_is_opened_again(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    own = connection.copy()  # outside the test's transaction, as in a request
    monkeypatch.setattr(epoch, "connection", own)
    try:
        before = selectors.pulse()
        with own.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            process = cursor.fetchone()[0]
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [process])
            assert cursor.fetchone() == (True,)
        assert selectors.pulse() == before
    finally:
        own.close()
