"""Every route × every persona: what the running views answer is what OpenStack's own default rules say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.test import override_settings
from django.urls import resolve

from apps.core.api import openapi
from apps.image import backends
from tests.policy import oracle
from tests.policy.matrix import OWN, ROWS, Row
from tests.policy.oracle import Persona
from tests.policy.world import PERSONAS, World

pytestmark = pytest.mark.slow

REFUSALS = (401, 403, 404)
# What only the project one may know of.
PRIVATE = ("server", "busy", "port", "empty", "network", "subnet", "router", "floating", "sg", "pool", "image",
           "queued", "servergroup")  # fmt: skip


@pytest.fixture(scope="module")
def world(django_db_setup: Any, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Built once; whatever a call changes is rolled back after it."""
    store = {"default": {"BACKEND": "filesystem", "OPTIONS": {"path": str(tmp_path_factory.mktemp("images"))}}}
    with override_settings(KUMO_DRIVERS=settings.KUMO_DRIVERS | {"image_store": store}):
        backends.store.cache_clear()
        with django_db_blocker.unblock(), transaction.atomic():
            yield World()
            transaction.set_rollback(True)
        backends.store.cache_clear()


def expected(row: Row, persona: Persona, world: World) -> bool:
    if not persona.role:
        return False
    if not row.rule:
        return True
    return oracle.allows(row.service, row.rule, persona, world.filled(row.facts(persona)))


def ask(row: Row, persona: Persona, world: World) -> tuple[int, str]:
    body = world.filled(row.body) if not isinstance(row.body, bytes) else row.body
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    headers = {"X-Auth-Token": world.tokens[persona.name], "Content-Type": "application/json", **dict(row.headers)}
    with transaction.atomic():
        answer = world.client.generic(
            row.method, world.filled(row.path), data=data, content_type=headers["Content-Type"], headers=headers
        )
        status = answer.status_code
        text = answer.getvalue().decode(errors="replace")
        transaction.set_rollback(True)
    return status, text


def judged(row: Row, persona: Persona, world: World, may: bool) -> str:
    """What is wrong with the answer, or nothing."""
    status, text = ask(row, persona, world)
    passed = status < 300 or status == 409 or status in row.fine
    refused = status == 401 if not persona.role else status in REFUSALS
    if (passed and may) or (refused and not may):
        return ""
    return f"{persona.name}: expected {'yes' if may else 'no'}, got {status} {text[:200]}"


@pytest.mark.django_db
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_answers_are_those_of_openstacks_rules(row: Row, world: World) -> None:
    wrong = [judged(row, persona, world, expected(row, persona, world)) for persona in PERSONAS]
    assert not any(wrong), "\n".join(filter(None, wrong))


@pytest.mark.django_db
@pytest.mark.parametrize(("row", "who"), OWN, ids=lambda value: str(value) if isinstance(value, Row) else "")
def test_answers_of_kumos_own_calls(row: Row, who: set[str], world: World) -> None:
    wrong = [judged(row, persona, world, persona.name in who) for persona in PERSONAS]
    assert not any(wrong), "\n".join(filter(None, wrong))


LISTS = [row for row in ROWS if row.method == "GET" and row.target == "own" and row.service != "identity"]


@pytest.mark.django_db
@pytest.mark.parametrize("row", LISTS, ids=str)
def test_lists_hold_nothing_of_another_project(row: Row, world: World) -> None:
    stranger = next(persona for persona in PERSONAS if persona.name == "other project")
    status, text = ask(row, stranger, world)
    assert status in {200, 403, 404}
    assert [name for name in PRIVATE if world.names[name] in text] == []


# --- coverage ---------------------------------------------------------------------------------------

# Older than 2.1 and the same table of paths below `/v2`.
TWIN = ("/compute/v2", "/compute/v2.1")
# Answers the same to everybody: documents about the service itself.
DOCUMENTS = {"/openapi.json"}


def template(path: str) -> str:
    """The route's own words of a path of the matrix."""
    found = resolve(re.sub(r"{[^}]+}", "x", path.partition("?")[0]))
    return "/" + re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", found.route)


def routes() -> set[tuple[str, str, str]]:
    """(method, path, action) of everything that needs a token."""
    found = set()
    for path, view, given in openapi.routes():
        if view.public or path.startswith(("/internal/", f"{TWIN[0]}/")) or path in DOCUMENTS:
            continue
        for method in openapi.methods(view, path, given):
            actions = getattr(view, "actions", {}) if given.get("list_view") == "action" else {}
            found |= {(method.upper(), path.rstrip("/"), action) for action in actions or ("",)}
    return found


def test_every_route_has_a_row() -> None:
    rows = (*ROWS, *(row for row, _ in OWN))
    covered = {(row.method, template(row.path), row.action) for row in rows}
    covered |= {(method, path, "") for method, path, _ in covered}  # where a view reads the action itself
    assert routes() - covered == set()


def test_both_versions_of_compute_have_the_same_routes() -> None:
    paths = {path for path, _, _ in openapi.routes()}
    older, newer = ({p.removeprefix(twin) for p in paths if p.startswith(f"{twin}/")} for twin in TWIN)
    assert older == newer
