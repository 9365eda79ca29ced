"""How fast requests may come."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from django.conf import settings as django_settings
from django.db.models import F
from django.db.models.functions import Now

from apps.core.context import system
from apps.objectstore import services
from apps.objectstore.models import Container, Object, Rate
from apps.objectstore.services import rates
from apps.objectstore.services.rates import rate_at
from tests.apps.objectstore.conftest import Swift
from tests.kit.http import context

LIMITS = ((0, 100.0), (100, 50.0), (200, 10.0))


@pytest.fixture
def limited(settings: Any) -> Any:
    """Sets limits of the configuration."""

    def to(**limits: Any) -> None:
        section = msgspec.structs.replace(django_settings.CONFIG.objectstore, **limits)
        settings.CONFIG = SimpleNamespace(objectstore=section)

    return to


@pytest.mark.parametrize(("size", "rate"), [(0, 100), (50, 75), (100, 50), (150, 30), (200, 10), (10**9, 10)])
def test_rates_lie_on_a_line_between_sizes(size, rate):
    assert rate_at(LIMITS, size) == rate
    assert rate_at(LIMITS[1:], 99) == 0
    assert rate_at((), size) == 0


def refused(call: Any, most: int) -> int:
    """How many calls pass until one is refused; the refused one must have changed nothing."""
    for n in range(most):
        answer = call(n)
        if answer.status_code == 498:
            assert b"Slow down" in answer.content
            return n
    return most


def test_containers_of_an_account_are_counted(alice, limited):
    limited(account_ratelimit=1 / 60)
    assert refused(lambda n: alice.put(f"/c{n}"), 5) == 1
    assert Container.objects.count() == 1
    assert Swift(context("carol")).put("/c").status_code == 201
    assert alice.names("") == ["c0"]
    Rate.objects.filter(key="alice").update(due_at=F("due_at") - datetime.timedelta(minutes=1))
    assert alice("DELETE", "/c0").status_code == 204


def test_writes_and_listings_of_a_container_are_counted_apart(alice, box, limited, monkeypatch):
    monkeypatch.setattr(rates, "ALLOWANCE_S", 5000)  # however long the requests take
    limited(container_ratelimits=((0, 1 / 2000),), container_listing_ratelimits=((2, 1 / 10_000),))
    assert refused(lambda n: alice.put(f"/box/{n}", b"1"), 9) == 3
    assert Object.objects.count() == 3
    assert alice.bytes("/box/0") == b"1"
    assert refused(lambda n: alice("GET", "/box"), 9) == 1
    alice.put("/few")
    assert refused(lambda n: alice("GET", "/few"), 9) == 9


def test_what_is_limited_is_told(alice, limited):
    assert "ratelimit" not in alice.client.get("/object-store/info").json()
    limited(container_ratelimits=LIMITS)
    told = alice.client.get("/object-store/info").json()["ratelimit"]
    assert told["container_ratelimits"] == [list(pair) for pair in LIMITS]


def test_old_counts_are_forgotten(db):
    Rate.objects.create(key="old", due_at=Now() - datetime.timedelta(hours=2))
    Rate.objects.create(key="new", due_at=Now())
    assert services.rates_forget(system()) == 1
    assert Rate.objects.get().key == "new"
