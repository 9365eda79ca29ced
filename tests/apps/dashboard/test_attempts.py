"""Guessing at the door: how often one may, and that the answers tell nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from django.db.models.functions import Now
from django.http import HttpResponse
from django.test import Client

from apps.dashboard.models import Attempts
from tests.apps.dashboard.conftest import PASSWORD

Door = Callable[..., Client]


@pytest.fixture(autouse=True)
def _few(settings: Any) -> None:
    security = msgspec.structs.replace(settings.CONFIG.security, sign_in_failures=3, sign_in_failures_of_address=5)
    settings.CONFIG = msgspec.structs.replace(settings.CONFIG, security=security)


def knock(name: str = "demo", password: str = "wrong", address: str = "192.0.2.1") -> HttpResponse:
    given = {"name": name, "password": password, "domain": "Default"}
    answer = Client().post("/sign-in", given, headers={"x-forwarded-for": address})
    assert isinstance(answer, HttpResponse)
    return answer


@pytest.mark.parametrize("name", ["demo", "nobody"])
def test_an_account_has_to_wait_after_a_few_refusals_whether_it_exists_or_not(people: None, name: str) -> None:
    assert [knock(name, address=f"192.0.2.{n}").status_code for n in range(3)] == [401, 401, 401]
    refused = knock(name, address="192.0.2.9")
    assert refused.status_code == 429
    assert 1 <= int(refused["Retry-After"]) <= 300
    assert "Too many attempts. Try again in 5 min." in refused.content.decode()


def test_while_an_account_waits_the_right_password_is_refused_too(people: None) -> None:
    for _ in range(3):
        knock()
    assert knock(password=PASSWORD).status_code == 429
    Attempts.objects.update(ends_at="2026-01-01T00:00Z")
    assert knock(password=PASSWORD).status_code == 302


def test_a_name_written_otherwise_is_the_same_account(people: None) -> None:
    for name in ("demo", " Demo", "DEMO "):
        knock(name)
    assert knock("demo").status_code == 429


def test_an_address_has_to_wait_whatever_names_it_tries(people: None) -> None:
    assert {knock(f"user-{n}").status_code for n in range(5)} == {401}
    assert knock("demo", PASSWORD).status_code == 429
    assert knock("demo", PASSWORD, address="192.0.2.2").status_code == 302


def test_a_network_of_version_6_counts_as_one_address(people: None) -> None:
    for n in range(5):
        knock(f"user-{n}", address=f"2001:db8::{n + 1}")
    assert knock("demo", PASSWORD, address="2001:db8::ffff").status_code == 429
    assert knock("demo", PASSWORD, address="2001:db8:0:1::1").status_code == 302


def test_signing_in_costs_nothing(people: None) -> None:
    assert {knock(password=PASSWORD).status_code for _ in range(8)} == {302}
    knock()
    knock()
    knock(password=PASSWORD)
    assert [knock().status_code for _ in range(3)] == [401, 401, 401]


def test_counts_that_have_ended_are_swept(people: None) -> None:
    knock("nobody")
    Attempts.objects.update(ends_at="2026-01-01T00:00Z")
    knock(password=PASSWORD)
    assert not Attempts.objects.filter(ends_at__lt=Now()).exists()
