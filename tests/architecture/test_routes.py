"""The routes of every API: known, answered with faults, closed to strangers."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from apps.core.api import openapi

ROUTES = [
    (path, method, view)
    for path, view, given in openapi.routes()
    for method in openapi.methods(view, path, given)
    if not path.startswith("/internal/")
]
PREFIXES = sorted({view.api.prefix for _, _, view in ROUTES if view.api.prefix})
IDENT = "00000000-0000-4000-8000-000000000000"


def test_there_are_routes_of_every_service() -> None:
    assert {path.split("/")[1] for path, _, _ in ROUTES} >= {"identity", "compute", "image", "networking"}


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "method"), [(p, m) for p, m, v in ROUTES if not v.public], ids=lambda value: str(value)
)
def test_without_a_token_the_answer_is_401(client: Client, path: str, method: str) -> None:
    url = re.sub(r"{[^}]+}", IDENT, path)
    response = (
        getattr(client, method)(url, data=b"{}", content_type="application/json")
        if method != "get"
        else client.get(url)
    )
    assert response.status_code == 401, response.content[:300]
    assert response.headers["WWW-Authenticate"].startswith("Keystone uri=")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_unknown_paths_below_an_api_answer_json(client: Client, prefix: str) -> None:
    response = client.get(f"{prefix}/no/such/thing/at/all")
    # An unknown version of compute gets a choice of the known ones.
    assert response.status_code == (300 if prefix == "/compute" else 404)
    assert response.headers["Content-Type"].startswith("application/json")
