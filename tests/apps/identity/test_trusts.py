from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from apps.identity.models import ApplicationCredential, Assignment, Credential, Project, Role, Trust, User

from .conftest import PASSWORDS, Api, password_auth

Make = Callable[..., Any]


def ident(name: str) -> str:
    return User.objects.get(name=name).pk


def project() -> str:
    return Project.objects.get(name="demo").pk


def trust_scope(trust: dict[str, Any]) -> dict[str, Any]:
    return {"OS-TRUST:trust": {"id": trust["id"]}}


@pytest.fixture
def friend(admin: Api) -> str:
    body = {"user": {"name": "friend", "password": "pw", "domain_id": "default"}}
    return str(admin("POST", "/users", body).json()["user"]["id"])


@pytest.fixture
def lend(demo: Api, friend: str) -> Make:
    """Asks for a trust of demo in friend; the answer."""

    def make(caller: Api = demo, **more: Any) -> Any:
        trust = {
            "trustor_user_id": ident("demo"),
            "trustee_user_id": friend,
            "project_id": project(),
            "impersonation": False,
            "roles": [{"name": "member"}],
        }
        return caller("POST", "/OS-TRUST/trusts", {"trust": {**trust, **more}})

    return make


def take(trust: dict[str, Any], name: str = "friend", password: str = "pw") -> Any:
    return Api()("POST", "/auth/tokens", password_auth(name, password, trust_scope(trust)))


def test_trust_is_shown_whole_and_listed_without_roles(demo: Api, lend: Make, friend: str) -> None:
    later = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    trust = lend(expires_at=later, remaining_uses=3).json()["trust"]
    assert [role["name"] for role in trust["roles"]] == ["member"]
    assert trust["expires_at"] == later
    assert (trust["remaining_uses"], trust["redelegation_count"], trust["deleted_at"]) == (3, 0, None)
    assert trust["roles_links"]["self"].endswith(f"/OS-TRUST/trusts/{trust['id']}/roles")
    assert demo("GET", f"/OS-TRUST/trusts/{trust['id']}").json()["trust"] == trust
    (listed,) = demo("GET", f"/OS-TRUST/trusts?trustor_user_id={ident('demo')}").json()["trusts"]
    assert "roles" not in listed
    assert listed["id"] == trust["id"]
    role = trust["roles"][0]["id"]
    assert demo("GET", f"/OS-TRUST/trusts/{trust['id']}/roles").json()["roles"][0]["id"] == role
    assert demo("GET", f"/OS-TRUST/trusts/{trust['id']}/roles/{role}").json()["role"]["name"] == "member"
    assert demo("HEAD", f"/OS-TRUST/trusts/{trust['id']}/roles/{role}").status_code == 200
    reader = Role.objects.get(name="reader").pk
    assert demo("GET", f"/OS-TRUST/trusts/{trust['id']}/roles/{reader}").status_code == 404


@pytest.mark.parametrize(("impersonation", "who"), [(True, "demo"), (False, "friend")])
def test_trustee_acts_in_the_project_with_what_was_lent(lend: Make, impersonation: bool, who: str) -> None:
    trust = lend(impersonation=impersonation).json()["trust"]
    answer = take(trust)
    assert answer.status_code == 201, answer.content
    token = answer.json()["token"]
    assert len(answer["X-Subject-Token"]) <= 255
    assert token["user"]["name"] == who
    assert token["project"]["id"] == project()
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    assert token["OS-TRUST:trust"] == {
        "id": trust["id"],
        "impersonation": impersonation,
        "trustor_user": {"id": ident("demo")},
        "trustee_user": {"id": ident("friend")},
    }
    assert Api(answer["X-Subject-Token"])("GET", "/auth/catalog").status_code == 200


def test_only_the_trustee_gets_a_token(lend: Make) -> None:
    trust = lend().json()["trust"]
    assert take(trust, "admin", PASSWORDS["admin"]).status_code == 403
    assert take({"id": "unknown"}).status_code == 401
    assert Api()("POST", "/auth/tokens", password_auth("friend", "pw", {"OS-TRUST:trust": {}})).status_code == 400


def ending_role(admin: Api) -> None:
    Assignment.objects.filter(user__name="demo").delete()
    admin("PATCH", f"/roles/{Role.objects.get(name='creator').pk}", {"role": {"description": "x"}})
    path = f"/projects/{project()}/users/{ident('demo')}/roles/{Role.objects.get(name='reader').pk}"
    assert admin("PUT", path).status_code == 204


def ending_trustor(admin: Api) -> None:
    assert admin("PATCH", f"/users/{ident('demo')}", {"user": {"enabled": False}}).status_code == 200


def ending_password(admin: Api) -> None:
    assert admin("PATCH", f"/users/{ident('demo')}", {"user": {"password": "new"}}).status_code == 200


def ending_trust(admin: Api) -> None:
    assert admin("DELETE", f"/OS-TRUST/trusts/{Trust.objects.get().pk}").status_code == 204


@pytest.mark.slow
@pytest.mark.parametrize("end", [ending_role, ending_trustor, ending_password, ending_trust])
@pytest.mark.parametrize("impersonation", [True, False])
def test_token_ends_with_what_it_rests_on(admin: Api, lend: Make, end: Make, impersonation: bool) -> None:
    trust = lend(impersonation=impersonation).json()["trust"]
    token = Api(take(trust)["X-Subject-Token"])
    assert token("GET", "/auth/catalog").status_code == 200
    end(admin)
    assert token("GET", "/auth/catalog").status_code == 401


def test_trust_can_be_used_as_often_as_it_says(demo: Api, lend: Make) -> None:
    trust = lend(remaining_uses=2).json()["trust"]
    assert take(trust).status_code == 201
    assert demo("GET", f"/OS-TRUST/trusts/{trust['id']}").json()["trust"]["remaining_uses"] == 1
    last = take(trust)
    assert last.status_code == 201
    assert Api(last["X-Subject-Token"])("GET", "/auth/catalog").status_code == 200
    assert take(trust).status_code == 401
    assert demo("GET", f"/OS-TRUST/trusts/{trust['id']}").status_code == 404


def test_trust_ends_when_it_expires(demo: Api, lend: Make) -> None:
    soon = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    trust = lend(expires_at=soon).json()["trust"]
    assert take(trust).json()["token"]["expires_at"][:19] == soon[:19]
    Trust.objects.update(expires_at=datetime.datetime.now(datetime.UTC))
    assert take(trust).status_code == 401
    assert demo("GET", f"/OS-TRUST/trusts/{trust['id']}").status_code == 404


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"roles": []}, 403),
        ({"roles": [{"name": "admin"}]}, 404),
        ({"roles": [{"id": "unknown"}]}, 404),
        ({"trustee_user_id": "unknown"}, 404),
        ({"project_id": "unknown"}, 404),
        ({"trustor_user_id": "unknown"}, 403),
        ({"expires_at": "bad.123Z"}, 400),
        ({"expires_at": "2001-01-01T00:00:00Z"}, 400),
        ({"remaining_uses": 0}, 400),
        ({"remaining_uses": 1, "allow_redelegation": True}, 400),
        ({"allow_redelegation": True, "redelegation_count": 99}, 403),
        ({"impersonation": "yes"}, 400),
    ],
)
def test_bad_trusts_are_refused_and_nothing_is_lent(lend: Make, change: Any, status: int) -> None:
    answer = lend(**change)
    assert answer.status_code == status, answer.content
    assert not Trust.objects.exists()


def test_others_see_no_trusts(admin: Api, lend: Make, token_of: Make) -> None:
    trust = lend().json()["trust"]
    stranger = Api(token_of("friend", "pw"))
    assert stranger("GET", f"/OS-TRUST/trusts/{trust['id']}").status_code == 200  # the trustee
    assert stranger("DELETE", f"/OS-TRUST/trusts/{trust['id']}").status_code == 403
    assert stranger("GET", "/OS-TRUST/trusts").status_code == 403
    assert stranger("GET", f"/OS-TRUST/trusts?trustor_user_id={ident('demo')}").status_code == 403
    assert len(stranger("GET", f"/OS-TRUST/trusts?trustee_user_id={ident('friend')}").json()["trusts"]) == 1
    assert [t["id"] for t in admin("GET", "/OS-TRUST/trusts").json()["trusts"]] == [trust["id"]]
    assert Trust.objects.exists()


def test_trust_scoped_token_cannot_be_exchanged(lend: Make) -> None:
    token = take(lend().json()["trust"])["X-Subject-Token"]
    auth = {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}}
    assert Api()("POST", "/auth/tokens", auth).status_code == 403


def test_trustee_makes_nothing_that_outlives_the_trust(lend: Make) -> None:
    acting = Api(take(lend(impersonation=True).json()["trust"])["X-Subject-Token"])
    mine = f"/users/{ident('demo')}"
    body = {"application_credential": {"name": "robot"}}
    assert acting("POST", f"{mine}/application_credentials", body).status_code == 403
    assert acting("POST", f"{mine}/credentials/OS-EC2", {"tenant_id": project()}).status_code == 403
    assert acting("GET", "/credentials").status_code == 403
    assert not ApplicationCredential.objects.exists()
    assert not Credential.objects.exists()


# --- lending on ------------------------------------------------------------------------------------


@pytest.fixture
def third(admin: Api) -> str:
    return str(admin("POST", "/users", {"user": {"name": "third", "password": "pw"}}).json()["user"]["id"])


def test_what_was_lent_is_lent_on_and_ends_with_it(admin: Api, lend: Make, third: str) -> None:
    first = lend(impersonation=True, allow_redelegation=True).json()["trust"]
    assert first["redelegation_count"] == 3
    trustee = Api(take(first)["X-Subject-Token"])
    second = lend(trustee, trustee_user_id=third, impersonation=True, allow_redelegation=True).json()["trust"]
    assert (second["redelegated_trust_id"], second["redelegation_count"]) == (first["id"], 2)
    token = Api(take(second, "third")["X-Subject-Token"])
    assert token("GET", "/auth/catalog").status_code == 200
    assert admin("DELETE", f"/OS-TRUST/trusts/{first['id']}").status_code == 204
    assert token("GET", "/auth/catalog").status_code == 401
    assert not Trust.objects.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("above", "change"),
    [
        ({}, {}),  # may not be lent on
        ({"allow_redelegation": True}, {"remaining_uses": 1}),
        ({"allow_redelegation": True, "impersonation": False}, {"impersonation": True}),
        ({"allow_redelegation": True, "roles": [{"name": "reader"}]}, {"roles": [{"name": "member"}]}),
        ({"allow_redelegation": True}, {"allow_redelegation": True, "redelegation_count": 1}),
        ({"allow_redelegation": True, "expires_at": "2999-01-01T00:00:00Z"}, {"expires_at": "2999-02-01T00:00:00Z"}),
    ],
)
def test_more_than_was_lent_cannot_be_lent_on(lend: Make, third: str, friend: str, above: Any, change: Any) -> None:
    first = lend(**{"impersonation": True, **above}).json()["trust"]
    trustee = Api(take(first)["X-Subject-Token"])
    giver = ident("demo") if first["impersonation"] else friend
    answer = lend(trustee, **{"trustor_user_id": giver, "trustee_user_id": third, "impersonation": True, **change})
    assert answer.status_code == 403, answer.content
    assert Trust.objects.count() == 1
