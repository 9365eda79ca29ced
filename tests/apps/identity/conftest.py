"""A cloud as `bootstrap` makes it, and callers with a token."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from django.test import Client

from apps.identity import selectors
from tests.kit.rows import bootstrapped

PASSWORDS = {"admin": "correct horse", "demo": "battery staple"}


class Api:
    """Django's test client with a token, JSON in and out."""

    def __init__(self, token: str = "") -> None:
        self.token = token
        self.client = Client()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = {"X-Auth-Token": self.token} if self.token else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.generic(
            method,
            f"/identity/v3{path}",
            data=b"" if body is None else json.dumps(body),
            content_type="application/json",
            headers=sent,
        )


def password_auth(name: str, password: str, scope: Any = None, domain: str = "Default") -> dict[str, Any]:
    user = {"name": name, "domain": {"name": domain}, "password": password}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    return {"auth": auth | ({"scope": scope} if scope is not None else {})}


def project_scope(name: str, domain: str = "Default") -> dict[str, Any]:
    return {"project": {"name": name, "domain": {"name": domain}}}


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    selectors.forget()
    yield
    selectors.forget()


@pytest.fixture
def cloud(db: None) -> None:
    bootstrapped(PASSWORDS)


@pytest.fixture
def configured(settings: Any) -> Callable[..., None]:
    """Changes keys of `[identity]` for one test."""

    def change(**keys: Any) -> None:
        identity = msgspec.structs.replace(settings.CONFIG.identity, **keys)
        settings.CONFIG = msgspec.structs.replace(settings.CONFIG, identity=identity)

    return change


@pytest.fixture
def token_of(cloud: None) -> Callable[..., str]:
    def make(name: str, password: str = "", scope: Any = None) -> str:
        answer = Api()("POST", "/auth/tokens", password_auth(name, password or PASSWORDS[name], scope))
        assert answer.status_code == 201, answer.content
        return str(answer["X-Subject-Token"])

    return make


@pytest.fixture
def admin(token_of: Callable[..., str]) -> Api:
    return Api(token_of("admin", scope=project_scope("admin")))


@pytest.fixture
def demo(token_of: Callable[..., str]) -> Api:
    return Api(token_of("demo", scope=project_scope("demo")))


@pytest.fixture
def nobody(cloud: None) -> Api:
    return Api()
