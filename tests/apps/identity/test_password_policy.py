from __future__ import annotations

import datetime
from typing import Any

import pytest
from django.utils import timezone

from apps.identity.models import User

from .conftest import PASSWORDS, Api, password_auth

NEW = "Tr0ub4dor&3"


def me() -> User:
    return User.objects.get(name="demo")


def sign_in(password: str) -> Any:
    return Api()("POST", "/auth/tokens", password_auth("demo", password))


def change(password: str, original: str = PASSWORDS["demo"]) -> Any:
    body = {"user": {"password": password, "original_password": original}}
    return Api()("POST", f"/users/{me().pk}/password", body)


def reset(admin: Api, **user: Any) -> Any:
    return admin("PATCH", f"/users/{me().pk}", {"user": user})


def test_passwords_must_match_the_pattern_everywhere(admin: Api, configured: Any) -> None:
    configured(password_regex=r"^(?=.*\d).{8,}$", password_regex_description="eight characters, one a digit")
    for answer in (
        change("short1"),
        reset(admin, password="no digit here"),
        admin("POST", "/users", {"user": {"name": "x", "password": "weak"}}),
    ):
        assert answer.status_code == 400
        assert "eight characters, one a digit" in answer.json()["error"]["message"]
    assert not User.objects.filter(name="x").exists()
    assert sign_in(PASSWORDS["demo"]).status_code == 201
    assert change("long enough 1").status_code == 204


def test_password_that_was_set_must_be_changed_before_use(admin: Api, configured: Any) -> None:
    configured(change_password_upon_first_use=True)
    assert reset(admin, password="given").status_code == 200
    answer = sign_in("given")
    assert answer.status_code == 401
    assert "expired and needs to be changed" in answer.json()["error"]["message"]
    assert sign_in("wrong").json()["error"]["message"] == "The request you have made requires authentication."
    assert change(NEW, "given").status_code == 204
    assert sign_in(NEW).status_code == 201


def test_first_use_can_be_waived_for_a_user(admin: Api, configured: Any) -> None:
    configured(change_password_upon_first_use=True)
    reset(admin, options={"ignore_change_password_upon_first_use": True}, password="given")
    assert sign_in("given").status_code == 201


def test_passwords_expire_after_days_unless_waived(admin: Api, configured: Any) -> None:
    configured(password_expires_days=30)
    shown = reset(admin, password="given").json()["user"]["password_expires_at"]
    left = datetime.datetime.fromisoformat(shown) - timezone.now()
    assert datetime.timedelta(days=29) < left <= datetime.timedelta(days=30)
    User.objects.filter(pk=me().pk).update(password_expires_at=timezone.now())
    assert sign_in("given").status_code == 401
    reset(admin, options={"ignore_password_expiry": True})
    assert sign_in("given").status_code == 201
    assert reset(admin, password="again").json()["user"]["password_expires_at"] is None


def test_own_password_is_kept_for_its_minimum_age(admin: Api, configured: Any) -> None:
    configured(minimum_password_age_days=2)
    assert change(NEW).status_code == 204  # the former was set by somebody else
    answer = change("another", NEW)
    assert answer.status_code == 400
    assert "it must be used for 2 day(s)" in answer.json()["error"]["message"]
    assert sign_in(NEW).status_code == 201
    User.objects.filter(pk=me().pk).update(password_changed_at=timezone.now() - datetime.timedelta(days=2))
    assert change("another", NEW).status_code == 204


def test_inactive_users_are_disabled_until_enabled_again(admin: Api, configured: Any) -> None:
    configured(inactive_days=10)
    User.objects.filter(pk=me().pk).update(last_active_on=timezone.now().date() - datetime.timedelta(days=10))
    assert sign_in(PASSWORDS["demo"]).status_code == 401
    assert not me().enabled
    reset(admin, enabled=True)
    assert sign_in(PASSWORDS["demo"]).status_code == 201


def test_inactivity_can_be_waived(admin: Api, configured: Any) -> None:
    configured(inactive_days=10)
    reset(admin, options={"ignore_user_inactivity": True})
    today = timezone.now().date()
    User.objects.filter(pk=me().pk).update(last_active_on=today - datetime.timedelta(days=99))
    assert sign_in(PASSWORDS["demo"]).status_code == 201
    active_on = me().last_active_on
    assert active_on is not None
    assert today <= active_on <= timezone.now().date()


@pytest.mark.parametrize("waived", [False, True])
def test_wrong_passwords_lock_unless_waived(admin: Api, configured: Any, waived: bool) -> None:
    configured(lockout_failures=2)
    reset(admin, options={"ignore_lockout_failure_attempts": waived})
    for _ in range(2):
        assert sign_in("wrong").status_code == 401
    assert sign_in(PASSWORDS["demo"]).status_code == (201 if waived else 401)
    reset(admin, enabled=True)
    assert sign_in(PASSWORDS["demo"]).status_code == 201


def test_former_passwords_are_refused(cloud: None, configured: Any) -> None:
    configured(unique_last_passwords=2)
    assert change(PASSWORDS["demo"]).status_code == 400
    assert change(NEW).status_code == 204
    assert change(PASSWORDS["demo"], NEW).status_code == 400
    assert sign_in(NEW).status_code == 201


def test_unknown_users_and_wrong_passwords_get_the_same_answer(cloud: None) -> None:
    wrong = sign_in("wrong")
    unknown = Api()("POST", "/auth/tokens", password_auth("nobody", "wrong"))
    elsewhere = Api()("POST", "/auth/tokens", password_auth("demo", "wrong", domain="nowhere"))
    assert wrong.status_code == unknown.status_code == elsewhere.status_code == 401
    assert wrong.content == unknown.content == elsewhere.content
