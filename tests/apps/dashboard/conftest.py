"""A signed-in browser without a browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from apps.core.context import system
from apps.identity import services as identity

PASSWORD = "correct horse"


@pytest.fixture
def people(db: None) -> None:
    """Users `admin` and `demo` in their projects."""
    identity.bootstrap(system(), passwords={"admin": PASSWORD, "demo": PASSWORD})


@pytest.fixture
def sign_in(people: None) -> Callable[..., Client]:
    """Returns a client whose session belongs to the user."""

    def opened(name: str = "demo", **options: object) -> Client:
        client = Client(**options)  # type: ignore[arg-type]
        answer = client.post("/sign-in", {"name": name, "password": PASSWORD, "domain": "Default"})
        assert answer.status_code == 302
        return client

    return opened
