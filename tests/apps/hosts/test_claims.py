"""Claims of capacity: which host, why, and never more than it has."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.core.context import RequestContext
from apps.hosts import selectors, services
from apps.hosts.models import Claim, Host
from apps.hosts.states import HostMode, HostState
from tests.kit.rows import make_host

CTX = RequestContext(is_system=True)
SMALL: dict[str, Any] = {"project_id": "p", "vcpus": 1, "ram_mib": 512, "disk_gib": 1}


def take(**changes: Any) -> tuple[Host, dict[str, Any]]:
    return services.claim(CTX, **({"consumer_id": uuid.uuid4()} | SMALL | changes))


def claimed_by_many(threads: int, each: int) -> list[str]:
    """The hosts that so many threads got with so many claims each, "" where there was no room."""

    def attempts(_: int) -> list[str]:
        try:
            return [attempt() for _ in range(each)]
        finally:
            connection.close()

    def attempt() -> str:
        try:
            return take()[0].name
        except services.NoValidHost:
            return ""

    with ThreadPoolExecutor(threads) as pool:
        return [name for names in pool.map(attempts, range(threads)) for name in names]


@pytest.mark.django_db
def test_claim_takes_what_was_asked_and_release_gives_it_back_once():
    host = make_host()
    consumer = uuid.uuid4()
    chosen, decision = take(consumer_id=consumer, vcpus=2, ram_mib=1024, disk_gib=10)
    assert chosen == host
    assert chosen.used == {"vcpus": 2, "ram_mib": 1024, "disk_gib": 10}
    assert decision["chosen"] == host.name
    for _ in range(2):
        services.release(CTX, consumer_id=consumer)
        host.refresh_from_db()
        assert host.used == {"vcpus": 0, "ram_mib": 0, "disk_gib": 0}
    assert not Claim.objects.exists()


@pytest.mark.django_db
def test_a_repeated_claim_answers_the_same_host_and_takes_nothing_more():
    make_host(), make_host()
    consumer = uuid.uuid4()
    first, decision = take(consumer_id=consumer)
    second, again = take(consumer_id=consumer)
    assert (first, decision) == (second, again)
    assert sum(h.used_vcpus for h in Host.objects.all()) == 1


@pytest.mark.django_db
def test_servers_spread_by_free_memory():
    make_host("full", used_ram_mib=10_000)
    empty = make_host("empty")
    assert take()[0] == empty


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("columns", "request_", "check", "words"),
    [
        ({"mode": HostMode.DISABLED}, {}, "enabled", "h1 disabled or draining"),
        ({"mode": HostMode.DRAINING}, {}, "enabled", "h1 disabled or draining"),
        ({"state": HostState.DOWN}, {}, "up", "h1 not answering"),
        ({"state": HostState.ENROLLED}, {}, "up", "h1 not answering"),
        ({"clock_skew_s": -7.0}, {}, "clock", "7.0 s off"),
        ({"used_vcpus": 10}, {"vcpus": 8}, "vcpus", "needs 8 vCPUs; the best host, h1, has 6 free"),
        ({}, {"ram_mib": 20_000}, "ram_mib", "needs 20000 MiB of memory; the best host, h1, has 16384 free"),
        ({}, {"disk_gib": 200}, "disk_gib", "needs 200 GiB of disk"),
        ({}, {"zone": "moon"}, "zone", "the availability zone moon has no such host; there are nova"),
        ({}, {"host": "h9"}, "host", "the host h9 was asked for and does not exist"),
        ({}, {"exclude": ("h1",)}, "exclude", "h1 excluded"),
    ],
)
def test_no_valid_host_says_which_check_left_none_and_what_was_nearest(columns, request_, check, words):
    host = make_host("h1", **columns)
    with pytest.raises(services.NoValidHost) as caught:
        take(**request_)
    last = caught.value.decision["checks"][-1]
    assert (last["check"], last["left"]) == (check, 0)
    assert words in last["nearest"]
    assert words in str(caught.value)
    assert not Claim.objects.exists()
    assert Host.objects.get().used == host.used


@pytest.mark.django_db
def test_without_any_host_the_answer_says_how_to_get_one():
    with pytest.raises(services.NoValidHost, match="enrol one"):
        take()


@pytest.mark.django_db
def test_a_larger_server_than_capacity_shrunk_to_is_refused_without_going_negative():
    make_host(capacity_vcpus=2, used_vcpus=5)
    with pytest.raises(services.NoValidHost, match="has 0 free"):
        take()


@pytest.mark.django_db
def test_host_fit_counts_hosts_with_room_among_those_that_take_servers():
    make_host(), make_host(used_vcpus=16), make_host(state=HostState.DOWN)
    assert selectors.host_fit(CTX, vcpus=1, ram_mib=1, disk_gib=1) == (1, 2)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_hundred_parallel_claims_fill_the_hosts_exactly():
    for _ in range(5):
        make_host(capacity_vcpus=12)
    placed = [name for name in claimed_by_many(20, 5) if name]
    assert len(placed) == 60
    assert [h.used_vcpus for h in Host.objects.all()] == [12] * 5
    assert Claim.objects.count() == 60
    assert selectors.disagreements(CTX) == []


@pytest.mark.django_db(transaction=True)
def test_parallel_claims_of_half_the_room_all_succeed():
    for _ in range(4):
        make_host(capacity_vcpus=25)
    assert len([name for name in claimed_by_many(25, 2) if name]) == 50
    assert sum(h.used_vcpus for h in Host.objects.all()) == 50


@pytest.mark.django_db
def test_doctor_corrects_figures_that_somebody_edited():
    host = make_host("h1")
    take(vcpus=3)
    Host.objects.update(used_vcpus=7)
    with pytest.raises(CommandError, match="1 found"):
        call_command("doctor", "--only", "hosts")
    call_command("doctor", "--only", "hosts", "--repair")
    host.refresh_from_db()
    assert host.used_vcpus == 3
    call_command("doctor", "--only", "hosts")
