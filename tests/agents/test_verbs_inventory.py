"""The inventory: everything that carries our mark, and what the host is."""

from __future__ import annotations

import json

import pytest

from agents import wiring
from agents.contracts import DomainEvent, Inventory, Power, ReportInventory, pack
from agents.host import Host
from agents.verbs import inventory
from tests.kit.verbs import RunningVerb, new_id, wanted_disks, wanted_domain


def report(job: RunningVerb) -> Inventory:
    return job.do("inventory.report", ReportInventory(asked_at="2026-01-02T03:04:05Z"))


def test_guests_and_directories_are_listed(job: RunningVerb) -> None:
    with_domain, without = sorted((new_id(), new_id()))
    wanted = wanted_domain(with_domain, has_root_disk=False, generation=4, power=Power.PAUSED)
    job.do("compute.ensure_domain", wanted)
    for server_id in (with_domain, without):
        job.do("compute.ensure_disks", wanted_disks(server_id, None))
    found = report(job)
    (domain,) = found.domains
    assert (domain.server_id, domain.generation, domain.operation_id, domain.power) == (
        with_domain,
        4,
        wanted.operation_id,
        Power.PAUSED,
    )
    assert found.disks == (with_domain, without)


def test_time_of_asking_is_echoed_and_the_message_is_plain_json(job: RunningVerb) -> None:
    found = report(job)
    assert found.asked_at == "2026-01-02T03:04:05Z"
    assert json.loads(json.dumps(pack(found)))["facts"]["agent_version"] == inventory.AGENT_VERSION


def test_capacity_is_what_the_host_has(job: RunningVerb, host: Host) -> None:
    found = report(job).capacity
    able = host.hypervisor.capabilities()
    assert (found.vcpus, found.ram_mib) == (able.vcpus, able.ram_mib)
    assert 0 < found.disk_free_gib <= found.disk_gib


def test_strange_directories_are_not_reported(job: RunningVerb, host: Host) -> None:
    (host.layout.servers / "lost+found").mkdir()
    assert report(job).disks == ()


def test_host_without_a_switch_has_no_chassis(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*arguments: str) -> str:
        raise wiring.Transient("ovs-vsctl: database connection failed")

    monkeypatch.setattr(wiring, "vsctl", absent)
    assert wiring.chassis_name() == ""


def test_event_that_cannot_be_reported_does_not_end_reporting(host: Host) -> None:
    said: list[DomainEvent] = []

    def fails_first(event: DomainEvent) -> None:
        said.append(event)
        if len(said) == 1:
            raise ConnectionError

    host.on_event = fails_first
    server_id = new_id()
    RunningVerb(host).do("compute.ensure_domain", wanted_domain(server_id, has_root_disk=False))
    RunningVerb(host).do("compute.ensure_domain", wanted_domain(server_id, generation=2, power=Power.PAUSED))
    assert [event.observed.power for event in said] == [Power.RUNNING, Power.PAUSED]
