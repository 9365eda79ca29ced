"""A code besides the password: adding an authenticator, signing in with it, and taking it away."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.identity.backends import totp
from apps.identity.models import Credential, User
from apps.identity.services import MoreFactors, token_issue
from tests.apps.dashboard.conftest import PASSWORD

Door = Callable[..., Client]


class Clock:
    """Time as the check of codes sees it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now

    def code(self, secret: str) -> str:
        """The code that an app would show, a step after the last one that was asked for."""
        self.now += totp.PERIOD
        return totp.code(secret, totp.step_at(self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    for module in ("authenticators", "proofs"):
        monkeypatch.setattr(f"apps.identity.services.{module}.time", found)
    return found


def enrol(client: Client, clock: Clock) -> str:
    """Add an authenticator as the page says; the secret."""
    page = client.get("/p/demo/profile/authenticator")
    assert page["Cache-Control"] == "no-store"
    assert "data:image/svg+xml" in page.content.decode()
    found = re.search(r'data-copy="([A-Z2-7 ]{39})"', page.content.decode())
    assert found
    secret = found[1].replace(" ", "")
    answer = client.post("/p/demo/profile/authenticator", {"code": clock.code(secret)})
    assert answer.status_code == 302
    return secret


def knock() -> tuple[Client, Any]:
    client = Client()
    return client, client.post("/sign-in", {"name": "demo", "password": PASSWORD, "domain": "Default"})


def test_a_code_is_asked_for_after_the_password(sign_in: Door, clock: Clock) -> None:
    secret = enrol(sign_in(), clock)
    client, answer = knock()
    assert answer["Location"] == "/sign-in/code"
    assert client.get("/p/demo/tasks").status_code == 302  # half is not in
    assert client.get("/sign-in/code").status_code == 200
    assert client.post("/sign-in/code", {"code": clock.code(secret)})["Location"] == "/"
    assert client.get("/p/demo/tasks").status_code == 200


def test_the_way_back_is_kept_over_both_steps(sign_in: Door, clock: Clock) -> None:
    secret, client = enrol(sign_in(), clock), Client()
    given = {"name": "demo", "password": PASSWORD, "domain": "Default"}
    step = client.post("/sign-in?next=/p/demo/tasks", given)
    assert client.post(step["Location"], {"code": clock.code(secret)})["Location"] == "/p/demo/tasks"


def test_the_api_asks_for_the_code_as_well(sign_in: Door, clock: Clock) -> None:
    secret, user = enrol(sign_in(), clock), User.objects.get(name="demo")
    password = {"user": {"id": user.pk, "password": PASSWORD}}
    with pytest.raises(MoreFactors):
        token_issue(identity={"methods": ["password"], "password": password}, scope="unscoped")
    code = {"user": {"id": user.pk, "passcode": clock.code(secret)}}
    both = {"methods": ["password", "totp"], "password": password, "totp": code}
    _, session = token_issue(identity=both, scope="unscoped")
    assert set(session.claims.methods) == {"password", "totp"}


def test_programs_go_on_with_their_application_credentials(sign_in: Door, clock: Clock) -> None:
    client = sign_in()
    enrol(client, clock)
    page = client.post("/p/demo/profile/credentials/create", {"name": "ci", "roles": ["reader"], "days": ""})
    found = re.search(r"application_credential_id: (\w+)\s+application_credential_secret: (\S+)", page.content.decode())
    assert found
    method = {"id": found[1], "secret": found[2]}
    asked = {"methods": ["application_credential"], "application_credential": method}
    assert token_issue(identity=asked, scope=None)[1].context.project_name == "demo"


def test_a_code_that_was_used_or_is_wrong_opens_nothing(sign_in: Door, clock: Clock) -> None:
    secret = enrol(sign_in(), clock)
    code = clock.code(secret)
    first, _ = knock()
    assert first.post("/sign-in/code", {"code": code}).status_code == 302
    client, _ = knock()
    for wrong in (code, "000000" if code != "000000" else "111111"):
        assert client.post("/sign-in/code", {"code": wrong}).status_code == 401
    assert client.post("/sign-in/code", {"code": "12345"}).status_code == 422
    assert client.get("/p/demo/tasks").status_code == 302


def test_codes_cannot_be_guessed_at_leisure(sign_in: Door, clock: Clock) -> None:
    secret = enrol(sign_in(), clock)
    for _ in range(2):
        client, _answer = knock()  # the right password does not begin the count of codes anew
        for _guess in range(5):
            assert client.post("/sign-in/code", {"code": "000000"}).status_code == 401
    refused = client.post("/sign-in/code", {"code": clock.code(secret)})
    assert refused.status_code == 429
    assert refused["Retry-After"]


def test_signing_in_with_both_steps_costs_nothing(sign_in: Door, clock: Clock) -> None:
    secret = enrol(sign_in(), clock)
    for _ in range(12):
        client, answer = knock()
        assert answer["Location"] == "/sign-in/code"
        assert client.post("/sign-in/code", {"code": clock.code(secret)}).status_code == 302


def test_rules_that_these_pages_cannot_fulfil_are_said(people: None) -> None:
    User.objects.filter(name="demo").update(options={"multi_factor_auth_rules": [["password", "oauth1"]]})
    client, answer = knock()
    assert answer.status_code == 403
    assert "do not have" in answer.content.decode()
    assert client.get("/p/demo/tasks").status_code == 302


def test_without_the_password_there_is_no_second_step(people: None) -> None:
    assert Client().get("/sign-in/code")["Location"] == "/sign-in"
    assert Client().post("/sign-in/code", {"code": "123456"})["Location"] == "/sign-in"


def test_an_authenticator_that_does_not_work_is_not_kept(sign_in: Door, clock: Clock) -> None:
    client = sign_in()
    client.get("/p/demo/profile/authenticator")
    assert client.post("/p/demo/profile/authenticator", {"code": "000000"}).status_code == 422
    assert not Credential.objects.exists()
    sign_in()


def test_the_secret_lies_sealed(sign_in: Door, clock: Clock) -> None:
    secret = enrol(sign_in(), clock)
    assert secret.encode() not in bytes(Credential.objects.get(type="totp").sealed_blob)


def test_an_authenticator_is_taken_away_with_a_code(sign_in: Door, clock: Clock) -> None:
    client = sign_in()
    secret = enrol(client, clock)
    assert client.post("/p/demo/profile/authenticator/remove", {"code": "000000"}).status_code == 422
    assert Credential.objects.exists()
    assert client.post("/p/demo/profile/authenticator/remove", {"code": clock.code(secret)}).status_code == 302
    assert not Credential.objects.exists()
    assert User.objects.get(name="demo").options == {}
    sign_in()


def test_what_an_administrator_asks_for_cannot_be_taken_away(sign_in: Door, clock: Clock) -> None:
    client = sign_in()
    secret = enrol(client, clock)
    rules = {"multi_factor_auth_rules": [["password", "totp"]]}
    User.objects.filter(name="demo").update(options=rules)
    assert client.post("/p/demo/profile/authenticator/remove", {"code": clock.code(secret)}).status_code == 422
    assert Credential.objects.exists()
    assert User.objects.get(name="demo").options == rules


def test_a_second_authenticator_is_refused(sign_in: Door, clock: Clock) -> None:
    client = sign_in()
    enrol(client, clock)
    client.get("/p/demo/profile/authenticator")
    secret = client.session["authenticator"]
    assert client.post("/p/demo/profile/authenticator", {"code": clock.code(secret)}).status_code == 422
    assert Credential.objects.count() == 1
