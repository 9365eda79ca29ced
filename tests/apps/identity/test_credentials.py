from __future__ import annotations

import datetime
from typing import Any

import msgspec
import pytest

from apps.identity.backends.access_rules import AllowedCall, fits
from apps.identity.models import ApplicationCredential, Assignment, Project, User
from apps.identity.services.epoch import change_epoch

from .conftest import PASSWORDS, Api, password_auth


def mine(user: str = "demo") -> str:
    return f"/users/{User.objects.get(name=user).pk}"


def make(api: Api, user: str = "demo", **attributes: Any) -> dict[str, Any]:
    body = {"application_credential": {"name": "ci", **attributes}}
    answer = api("POST", f"{mine(user)}/application_credentials", body)
    assert answer.status_code == 201, answer.content
    return dict(answer.json()["application_credential"])


def auth(**credential: Any) -> dict[str, Any]:
    identity = {"methods": ["application_credential"], "application_credential": credential}
    return {"auth": {"identity": identity}}


def sign_in(**credential: Any) -> Api:
    answer = Api()("POST", "/auth/tokens", auth(**credential))
    assert answer.status_code == 201, answer.content
    return Api(answer["X-Subject-Token"])


def test_credential_signs_in_by_id_and_by_name(demo: Api, nobody: Api) -> None:
    made = make(demo, description="d")
    assert made["project_id"] == Project.objects.get(name="demo").pk
    assert [role["name"] for role in made["roles"]] in (["member", "reader"], ["reader", "member"])
    assert "access_rules" not in made
    shown = demo("GET", f"{mine()}/application_credentials/{made['id']}").json()["application_credential"]
    assert shown == {key: value for key, value in made.items() if key != "secret"}
    answer = nobody("POST", "/auth/tokens", auth(id=made["id"], secret=made["secret"]))
    token = answer.json()["token"]
    assert token["methods"] == ["application_credential"]
    assert token["project"]["name"] == "demo"
    assert token["application_credential"] == {"id": made["id"], "name": "ci", "restricted": True}
    owner = {"name": "demo", "domain": {"id": "default"}}
    assert sign_in(name="ci", user=owner, secret=made["secret"])("GET", "/auth/catalog").status_code == 200


def test_wrong_unknown_and_expired_credentials_read_the_same(demo: Api, nobody: Api) -> None:
    made = make(demo)
    refused = [
        auth(id=made["id"], secret="wrong"),
        auth(id="unknown", secret=made["secret"]),
        auth(name="ci", user={"name": "nobody", "domain": {"id": "default"}}, secret=made["secret"]),
    ]
    answers = [nobody("POST", "/auth/tokens", body) for body in refused]
    ApplicationCredential.objects.update(expires_at="2020-01-01T00:00:00Z")
    answers.append(nobody("POST", "/auth/tokens", auth(id=made["id"], secret=made["secret"])))
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1


def test_credential_chooses_no_scope_and_its_tokens_are_not_exchanged(demo: Api, nobody: Api) -> None:
    made = make(demo)
    body = auth(id=made["id"], secret=made["secret"])
    body["auth"]["scope"] = "unscoped"
    assert nobody("POST", "/auth/tokens", body).status_code == 401
    token = sign_in(id=made["id"], secret=made["secret"]).token
    exchange = {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}}
    assert nobody("POST", "/auth/tokens", exchange).status_code == 403


def test_fewer_roles_can_be_given_but_none_that_one_lacks(demo: Api) -> None:
    made = make(demo, roles=[{"name": "reader"}])
    assert [role["name"] for role in made["roles"]] == ["reader"]
    reader = sign_in(id=made["id"], secret=made["secret"])
    shown = reader("GET", "/auth/tokens", X_Subject_Token=reader.token).json()["token"]
    assert [role["name"] for role in shown["roles"]] == ["reader"]
    body = {"application_credential": {"name": "more", "roles": [{"name": "admin"}]}}
    assert demo("POST", f"{mine()}/application_credentials", body).status_code == 400
    assert not ApplicationCredential.objects.filter(name="more").exists()


def test_credential_loses_what_its_user_loses(demo: Api) -> None:
    made = make(demo)
    program = sign_in(id=made["id"], secret=made["secret"])
    assert program("GET", "/auth/catalog").status_code == 200
    Assignment.objects.filter(user__name="demo").delete()
    change_epoch()
    assert program("GET", "/auth/catalog").status_code == 401


def test_deleting_a_credential_ends_its_tokens(demo: Api) -> None:
    made = make(demo)
    program = sign_in(id=made["id"], secret=made["secret"])
    path = f"{mine()}/application_credentials/{made['id']}"
    assert program("DELETE", path).status_code == 403
    assert demo("DELETE", path).status_code == 204
    assert program("GET", "/auth/catalog").status_code == 401
    assert demo("GET", path).status_code == 404


def test_restricted_credential_makes_no_others_and_an_unrestricted_one_does(demo: Api) -> None:
    body = {"application_credential": {"name": "second"}}
    first = make(demo)
    program = sign_in(id=first["id"], secret=first["secret"])
    assert program("POST", f"{mine()}/application_credentials", body).status_code == 403
    free = make(demo, name="free", unrestricted=True)
    program = sign_in(id=free["id"], secret=free["secret"])
    assert program("POST", f"{mine()}/application_credentials", body).status_code == 201


def test_nobody_makes_or_sees_credentials_of_another(admin: Api, demo: Api) -> None:
    body = {"application_credential": {"name": "x"}}
    assert admin("POST", f"{mine()}/application_credentials", body).status_code == 403
    assert demo("GET", f"{mine('admin')}/application_credentials").status_code == 403
    assert admin("GET", f"{mine()}/application_credentials").json()["application_credentials"] == []


def test_two_credentials_of_one_name_are_refused(demo: Api) -> None:
    make(demo)
    body = {"application_credential": {"name": "ci"}}
    assert demo("POST", f"{mine()}/application_credentials", body).status_code == 409


@pytest.mark.parametrize("expires_at", ["2020-01-01T00:00:00", "tomorrow"])
def test_bad_expiry_is_refused(demo: Api, expires_at: str) -> None:
    body = {"application_credential": {"name": "ci", "expires_at": expires_at}}
    assert demo("POST", f"{mine()}/application_credentials", body).status_code == 400


def test_token_does_not_outlive_its_credential(demo: Api, nobody: Api) -> None:
    moment = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)).replace(tzinfo=None)
    made = make(demo, expires_at=moment.isoformat())
    assert made["expires_at"] == moment.strftime("%Y-%m-%dT%H:%M:%S.%f")
    token = nobody("POST", "/auth/tokens", auth(id=made["id"], secret=made["secret"])).json()["token"]
    assert token["expires_at"] == moment.strftime("%Y-%m-%dT%H:%M:%S.000000Z")


def test_access_rules_allow_what_they_name_and_nothing_else(demo: Api) -> None:
    rule = {"service": "identity", "method": "GET", "path": "/v3/auth/*"}
    made = make(demo, access_rules=[rule])
    assert [{k: v for k, v in one.items() if k != "id"} for one in made["access_rules"]] == [rule]
    program = sign_in(id=made["id"], secret=made["secret"])
    assert program("GET", "/auth/catalog").status_code == 200
    assert program("GET", "/auth/tokens", X_Subject_Token=program.token).status_code == 200
    assert program("GET", mine()).status_code == 401
    assert program("DELETE", "/auth/tokens", X_Subject_Token=program.token).status_code == 401
    rules = demo("GET", f"{mine()}/access_rules").json()["access_rules"]
    path = f"{mine()}/access_rules/{rules[0]['id']}"
    assert demo("GET", path).status_code == 200
    assert demo("DELETE", path).status_code == 403
    demo("DELETE", f"{mine()}/application_credentials/{made['id']}")
    assert demo("DELETE", path).status_code == 204
    assert demo("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/v2.1/servers/*/ips", "/compute/v2.1/servers/a/ips", True),
        ("/v2.1/servers/*/ips", "/compute/v2.1/servers/a/b/ips", False),
        ("/v2.1/servers/{server_id}", "/compute/v2.1/servers/a", True),
        ("/v2.1/**", "/compute/v2.1/servers/a/b/ips", True),
        ("/v2.1/servers", "/compute/v2.1/servers/a", False),
        ("/v2.1/servers", "/image/v2.1/servers", False),
        ("/v2.1/server.", "/compute/v2.1/servers", False),
        ("/**", "/nothing", False),
    ],
)
def test_patterns_of_access_rules(pattern: str, path: str, expected: bool) -> None:
    assert fits([AllowedCall("compute", "GET", pattern)], method="GET", path=path) is expected
    assert not fits([AllowedCall("compute", "POST", pattern)], method="GET", path=path)


# --- passwords --------------------------------------------------------------------------------------


@pytest.fixture
def strict(settings: Any) -> None:
    identity = msgspec.structs.replace(
        settings.CONFIG.identity, lockout_failures=2, lockout_seconds=60, unique_last_passwords=2
    )
    settings.CONFIG = msgspec.structs.replace(settings.CONFIG, identity=identity)


def status(api: Api, password: str) -> int:
    return int(api("POST", "/auth/tokens", password_auth("demo", password)).status_code)


def test_wrong_passwords_lock_a_user_until_the_time_is_over(strict: None, nobody: Api) -> None:
    assert [status(nobody, "wrong") for _ in range(2)] == [401, 401]
    assert status(nobody, PASSWORDS["demo"]) == 401
    User.objects.filter(name="demo").update(
        failed_auth_at=datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=61)
    )
    assert status(nobody, "wrong") == 401
    assert status(nobody, PASSWORDS["demo"]) == 201
    assert User.objects.get(name="demo").failed_auth_count == 0


def test_wrong_present_passwords_count_too(strict: None, nobody: Api) -> None:
    body = {"user": {"original_password": "wrong", "password": "x"}}
    for _ in range(2):
        assert nobody("POST", f"{mine()}/password", body).status_code == 401
    assert status(nobody, PASSWORDS["demo"]) == 401


def test_option_keeps_a_user_from_being_locked(strict: None, admin: Api, nobody: Api) -> None:
    admin("PATCH", mine(), {"user": {"options": {"ignore_lockout_failure_attempts": True}}})
    assert [status(nobody, "wrong") for _ in range(3)] == [401, 401, 401]
    assert status(nobody, PASSWORDS["demo"]) == 201


def test_new_password_unlocks(strict: None, admin: Api, nobody: Api) -> None:
    assert [status(nobody, "wrong") for _ in range(2)] == [401, 401]
    admin("PATCH", mine(), {"user": {"password": "fresh"}})
    assert status(nobody, "fresh") == 201


def test_last_passwords_cannot_be_chosen_again(strict: None, nobody: Api) -> None:
    def change(old: str, new: str) -> int:
        body = {"user": {"original_password": old, "password": new}}
        return int(nobody("POST", f"{mine()}/password", body).status_code)

    first = PASSWORDS["demo"]
    assert change(first, "second") == 204
    assert change("second", "second") == 400
    assert change("second", first) == 400
    assert change("second", "third") == 204
    assert change("third", first) == 204
    assert User.objects.get(name="demo").former_passwords.count() == 1


def test_locked_password_is_changed_by_administrators_only(admin: Api, nobody: Api) -> None:
    admin("PATCH", mine(), {"user": {"options": {"lock_password": True}}})
    body = {"user": {"original_password": PASSWORDS["demo"], "password": "x"}}
    assert nobody("POST", f"{mine()}/password", body).status_code == 400
    assert status(nobody, PASSWORDS["demo"]) == 201
