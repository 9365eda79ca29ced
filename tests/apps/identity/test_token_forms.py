"""Signed tokens, tokens that have expired, and keys that change under them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from apps.core.context import system
from apps.identity import selectors, services
from apps.identity.backends import jws
from apps.identity.models import Project, RevokedToken, User

from .conftest import PASSWORDS, Api, password_auth, project_scope


@pytest.fixture
def signed(configured: Any, token_of: Callable[..., str]) -> str:
    configured(token_provider="jws")
    return token_of("demo", scope=project_scope("demo"))


def test_signed_token_can_be_read_and_is_taken(signed: str) -> None:
    header, payload, _ = signed.split(".")
    assert jws.verified(signed, services.key_ring_ensured().signers)["sub"] == User.objects.get(name="demo").pk
    assert header
    assert payload
    answer = Api(signed)("GET", "/auth/tokens", X_Subject_Token=signed)
    assert answer.json()["token"]["project"]["id"] == Project.objects.get(name="demo").pk
    assert Api(signed)("DELETE", "/auth/tokens", X_Subject_Token=signed).status_code == 204
    assert Api(signed)("GET", "/auth/catalog").status_code == 401


def test_both_forms_hold_after_the_form_was_changed(signed: str, configured: Any, admin: Api) -> None:
    configured(token_provider="fernet")
    assert Api(signed)("GET", "/auth/catalog").status_code == 200
    assert "." not in Api()("POST", "/auth/tokens", password_auth("demo", PASSWORDS["demo"]))["X-Subject-Token"]


def forged(token: str, **payload: Any) -> list[str]:
    """The token with another content, without a signature, or signed by another method."""
    header, _, signature = token.split(".")
    content = jws.verified(token, services.key_ring_ensured().signers) | payload
    other = jws._encoded(orjson.dumps(content))
    none = jws._encoded(orjson.dumps({"alg": "none", "typ": "JWT"}))
    stranger = jws.sign(content, jws.signing_key(b"another secret"))
    return [
        f"{header}.{other}.{signature}",
        f"{none}.{other}.",
        stranger,
        f"{header}.{other}.*",
        f"..{signature}",
        "..",
    ]


def test_forged_tokens_are_refused(signed: str) -> None:
    for token in forged(signed, exp=int(time.time()) + 10**6):
        assert Api(token)("GET", "/auth/catalog").status_code == 401, token


@pytest.mark.parametrize("form", ["fernet", "jws"])
def test_rotation_of_keys_interrupts_nobody(configured: Any, token_of: Callable[..., str], form: str) -> None:
    configured(token_provider=form)
    before = token_of("demo", scope=project_scope("demo"))
    services.token_keys_rotate(system())
    after = token_of("demo", scope=project_scope("demo"))
    for token in (before, after):
        assert Api(token)("GET", "/auth/catalog").status_code == 200
    services.token_keys_rotate(system(), discard=True)
    for token in (before, after):
        assert Api(token)("GET", "/auth/catalog").status_code == 401


def test_expired_token_is_shown_to_who_asks_for_it_within_the_window(
    admin: Api, token_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch, configured: Any
) -> None:
    configured(token_hours=2, allow_expired_hours=1)
    old = token_of("demo", scope=project_scope("demo"))
    configured(token_hours=24)
    caller = Api(token_of("admin", scope=project_scope("admin")))
    started = time.time()

    def look(query: str = "?allow_expired=1") -> int:
        selectors.forget()
        return int(caller("GET", f"/auth/tokens{query}", X_Subject_Token=old).status_code)

    monkeypatch.setattr(time, "time", lambda: started + 2.5 * 3600)
    assert look("") == 404
    assert look("?allow_expired=0") == 404
    assert look("?allow_expired=maybe") == 400
    assert look() == 200
    assert Api(old)("GET", "/auth/catalog").status_code == 401
    monkeypatch.setattr(time, "time", lambda: started + 3.1 * 3600)
    assert look() == 404


def test_revoked_token_stays_revoked_within_the_window(
    admin: Api, token_of: Callable[..., str], monkeypatch: pytest.MonkeyPatch, configured: Any
) -> None:
    configured(token_hours=24)
    caller = Api(token_of("admin", scope=project_scope("admin")))
    configured(token_hours=1)
    old, other = token_of("demo"), token_of("demo")
    assert caller("DELETE", "/auth/tokens", X_Subject_Token=old).status_code == 204
    started = time.time()
    monkeypatch.setattr(time, "time", lambda: started + 2 * 3600)
    assert caller("GET", "/auth/tokens?allow_expired=1", X_Subject_Token=old).status_code == 404
    assert caller("GET", "/auth/tokens?allow_expired=1", X_Subject_Token=other).status_code == 200
    assert RevokedToken.objects.count() == 1


def test_there_is_no_list_of_revoked_tokens(admin: Api, demo: Api, nobody: Api) -> None:
    for caller, status in ((admin, 403), (demo, 403), (nobody, 401)):
        assert caller("GET", "/auth/tokens/OS-PKI/revoked").status_code == status


def test_all_tokens_of_a_user_end_at_once(admin: Api, demo: Api, token_of: Callable[..., str]) -> None:
    path = f"/users/{User.objects.get(name='demo').pk}/tokens"
    other = Api(token_of("demo"))
    assert demo("DELETE", f"/users/{User.objects.get(name='admin').pk}/tokens").status_code == 403
    assert admin("DELETE", "/users/unknown/tokens").status_code == 404
    assert demo("DELETE", path).status_code == 204
    for caller in (demo, other):
        assert caller("GET", "/auth/projects").status_code == 401
    assert admin("GET", "/auth/projects").status_code == 200
