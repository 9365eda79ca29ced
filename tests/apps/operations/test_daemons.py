"""Threads that exactly one control worker runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from apps.operations import daemons, registry
from apps.operations.daemons import Leader
from tests.kit.brokers import until

pytestmark = pytest.mark.django_db(transaction=True)


class Probe:
    """A daemon that counts its lives."""

    def __init__(self) -> None:
        self.lives, self.alive = 0, 0
        self.crash = threading.Event()

    def run(self, stop: threading.Event) -> None:
        self.lives += 1
        self.alive += 1
        try:
            while not stop.wait(0.01):
                if self.crash.is_set():
                    self.crash.clear()
                    raise ValueError("bug")
        finally:
            self.alive -= 1


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Probe:
    made = Probe()
    monkeypatch.setattr(daemons, "LOOK_S", 0.02)
    monkeypatch.setattr(daemons, "RESTART_S", 0.05)
    monkeypatch.setattr(daemons, "DAEMONS", {"probe": made.run})
    return made


@pytest.fixture
def leaders() -> Iterator[list[Leader]]:
    made = [Leader(), Leader()]
    yield made
    for leader in made:
        leader.stop.set()
    for leader in made:
        if leader.ident:
            leader.join(60)


def test_one_of_two_runs_it_and_the_other_takes_over(probe: Probe, leaders: list[Leader]) -> None:
    first, second = leaders
    first.start()
    until(lambda: probe.alive == 1, 60, "first")
    second.start()
    until(lambda: second.looks > 3, 60, "second looks")
    assert (probe.alive, probe.lives) == (1, 1)
    first.stop.set()
    until(lambda: probe.lives == 2 and probe.alive == 1, 60, "second takes over")
    first.join(60)
    assert probe.alive == 1


def test_daemon_that_fails_is_started_again(probe: Probe, leaders: list[Leader]) -> None:
    leaders[0].start()
    until(lambda: probe.alive == 1, 60, "start")
    probe.crash.set()
    until(lambda: probe.lives == 2 and probe.alive == 1, 60, "second life")


def test_daemon_ends_when_the_lock_is_lost(probe: Probe, leaders: list[Leader]) -> None:
    from django.db import connection

    leaders[0].start()
    until(lambda: probe.alive == 1, 60, "start")
    with connection.cursor() as cursor:
        # Of this database only: the server may serve others.
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    until(lambda: probe.lives == 2 and probe.alive == 1, 60, "it comes back under a new lock")


def test_a_name_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "DAEMONS", {})
    registry.daemon("x", Probe().run)
    with pytest.raises(ValueError, match="twice"):
        registry.daemon("x", Probe().run)
