from __future__ import annotations

import time
from typing import Any

import pytest

from apps.core.errors import Unauthorized
from apps.identity import services
from apps.identity.backends import totp
from apps.identity.models import Credential, User

from .conftest import PASSWORDS, Api, password_auth, project_scope

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # RFC 6238's "12345678901234567890"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_the_rfc(seconds: int, code: str) -> None:
    """RFC 6238, appendix B, the last six digits."""
    assert totp.code(SECRET, totp.step_at(seconds)) == code


def test_codes_of_former_windows_are_taken_as_far_as_wanted() -> None:
    now = 1_000_000_000.0
    former = totp.code(SECRET, totp.step_at(now) - 1)
    assert totp.matching_step(SECRET, former, now=now, previous=0) is None
    assert totp.matching_step(SECRET, former, now=now, previous=1) == totp.step_at(now) - 1
    coming = totp.code(SECRET, totp.step_at(now) + 1)
    assert totp.matching_step(SECRET, coming, now=now, previous=1) is None


def now_code(back: int = 0) -> str:
    return totp.code(SECRET, totp.step_at(time.time()) - back)


def code_auth(code: str, **more: Any) -> dict[str, Any]:
    who = {"name": "demo", "domain": {"name": "Default"}, "passcode": code}
    return {"auth": {"identity": {"methods": ["totp"], "totp": {"user": who}}, **more}}


def both_auth(code: str) -> dict[str, Any]:
    auth = password_auth("demo", PASSWORDS["demo"], project_scope("demo"))
    auth["auth"]["identity"] |= code_auth(code)["auth"]["identity"] | {"methods": ["password", "totp"]}
    return auth


@pytest.fixture
def authenticator(demo: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"type": "totp", "blob": SECRET, "user_id": User.objects.get(name="demo").pk}
    assert demo("POST", "/credentials", {"credential": body}).status_code == 201
    at = time.time()
    monkeypatch.setattr(time, "time", lambda: at)


@pytest.fixture
def strict(authenticator: None, admin: Api) -> None:
    options = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]}
    path = f"/users/{User.objects.get(name='demo').pk}"
    assert admin("PATCH", path, {"user": {"options": options}}).status_code == 200


def test_code_of_an_authenticator_signs_in_once(authenticator: None, nobody: Api) -> None:
    answer = nobody("POST", "/auth/tokens", code_auth(now_code()))
    assert answer.status_code == 201, answer.content
    assert answer.json()["token"]["methods"] == ["totp"]
    assert nobody("POST", "/auth/tokens", code_auth(now_code())).status_code == 401
    assert nobody("POST", "/auth/tokens", code_auth(now_code(1))).status_code == 401  # older than the last one


@pytest.mark.parametrize("code", ["", "000", "１２３４５６", "abcdef", "0" * 200])
def test_wrong_codes_are_a_401(authenticator: None, nobody: Api, code: str) -> None:
    assert nobody("POST", "/auth/tokens", code_auth(code)).status_code == 401
    assert Credential.objects.get().last_step is None


def test_code_too_old_or_of_nobody_is_a_401(authenticator: None, nobody: Api) -> None:
    assert nobody("POST", "/auth/tokens", code_auth(now_code(2))).status_code == 401
    auth = code_auth(now_code())
    auth["auth"]["identity"]["totp"]["user"]["name"] = "nobody"
    assert nobody("POST", "/auth/tokens", auth).status_code == 401


def test_wrong_codes_lock_the_user(authenticator: None, nobody: Api, configured: Any) -> None:
    configured(lockout_failures=2)
    for _ in range(2):
        assert nobody("POST", "/auth/tokens", code_auth("000000")).status_code == 401
    assert nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"])).status_code == 401


def test_one_factor_of_two_gives_a_receipt_that_the_other_completes(strict: None, nobody: Api) -> None:
    first = nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"]))
    assert first.status_code == 401
    body = first.json()
    assert body["required_auth_methods"] == [["password", "totp"]]
    assert body["receipt"]["methods"] == ["password"]
    assert body["receipt"]["user"]["name"] == "demo"
    assert set(body["receipt"]) == {"methods", "user", "issued_at", "expires_at"}
    receipt = first["Openstack-Auth-Receipt"]
    second = nobody("POST", "/auth/tokens", code_auth(now_code()), Openstack_Auth_Receipt=receipt)
    assert second.status_code == 201, second.content
    assert second.json()["token"]["methods"] == ["password", "totp"]


def test_both_factors_at_once_need_no_receipt(strict: None, nobody: Api) -> None:
    answer = nobody("POST", "/auth/tokens", both_auth(now_code()))
    assert answer.status_code == 201
    assert answer.json()["token"]["project"]["name"] == "demo"


def test_receipt_is_no_token_and_no_receipt_of_somebody_else(strict: None, nobody: Api, admin: Api) -> None:
    receipt = nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"]))["Openstack-Auth-Receipt"]
    assert Api(receipt)("GET", "/auth/projects").status_code == 401
    assert admin("GET", "/auth/tokens", X_Subject_Token=receipt).status_code == 404
    stranger = password_auth("admin", PASSWORDS["admin"])
    assert nobody("POST", "/auth/tokens", stranger, Openstack_Auth_Receipt=receipt).status_code == 401
    for bad in ("rubbish", admin.token):
        answer = nobody("POST", "/auth/tokens", code_auth(now_code()), Openstack_Auth_Receipt=bad)
        assert answer.status_code == 401
        Credential.objects.update(last_step=None)


def test_receipt_ends_with_time_and_with_a_change_of_password(
    strict: None, nobody: Api, admin: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"]))["Openstack-Auth-Receipt"]
    later = time.time() + 301
    monkeypatch.setattr(time, "time", lambda: later)
    assert nobody("POST", "/auth/tokens", code_auth(now_code()), Openstack_Auth_Receipt=receipt).status_code == 401
    fresh = nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"]))["Openstack-Auth-Receipt"]
    admin("PATCH", f"/users/{User.objects.get(name='demo').pk}", {"user": {"password": "new"}})
    Credential.objects.update(last_step=None)
    assert nobody("POST", "/auth/tokens", code_auth(now_code()), Openstack_Auth_Receipt=fresh).status_code == 401


@pytest.mark.parametrize(
    "options",
    [
        {"multi_factor_auth_enabled": False, "multi_factor_auth_rules": [["password", "totp"]]},
        {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": []},
        {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["no-such-method"]]},
        {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["totp"], ["password"]]},
    ],
)
def test_rules_that_ask_for_no_more_let_a_password_do(cloud: None, nobody: Api, admin: Api, options: Any) -> None:
    admin("PATCH", f"/users/{User.objects.get(name='demo').pk}", {"user": {"options": options}})
    assert nobody("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"])).status_code == 201


@pytest.mark.parametrize("rules", [[[]], [["password", "password"]], [["a"], ["a"]], ["password"], [[5]], "password"])
def test_bad_rules_are_refused(admin: Api, rules: Any) -> None:
    user = User.objects.get(name="demo")
    body = {"user": {"options": {"multi_factor_auth_rules": rules}}}
    assert admin("PATCH", f"/users/{user.pk}", body).status_code == 400
    user.refresh_from_db()
    assert user.options == {}


def test_pages_ask_for_the_code_too(strict: None) -> None:
    who = {"name": "demo", "domain_name": "Default", "password": PASSWORDS["demo"]}
    with pytest.raises(services.MoreFactors):
        services.sign_in(**who)
    with pytest.raises(Unauthorized):
        services.sign_in(**who, passcode="000000")
    assert services.sign_in(**who, passcode=now_code()).name == "demo"
