from __future__ import annotations

import datetime
import uuid

import pytest

from agents.contracts import DomainEvent, Inventory, ObservedDomain, Power
from apps.compute import reconcile
from apps.compute.models import ReconciledBoot, Server, ServerDeleted
from apps.compute.reconcile import Act, Wanted
from apps.compute.services import server_delete
from apps.compute.states import ServerState
from apps.hosts.models import Claim
from apps.hosts.services import claim
from apps.operations.models import Operation
from apps.operations.registry import Report
from tests.apps.compute.conftest import Cloud, settle
from tests.kit import operations as ops

T0 = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
BEFORE = T0 - datetime.timedelta(seconds=10)
A = str(uuid.UUID(int=1))


def wanted(state: ServerState = ServerState.ACTIVE, **changes: object) -> dict[str, Wanted]:
    given = {"state": state, "generation": 2, "power": Power.RUNNING, "is_busy": False, "changed_at": BEFORE}
    return {A: Wanted(**given | changes)}  # type: ignore[arg-type]


def seen(power: Power = Power.RUNNING, generation: int = 2) -> dict[str, ObservedDomain]:
    return {A: ObservedDomain(server_id=A, generation=generation, operation_id="", power=power)}


CASES = [
    ("as it should be", wanted(), seen(), {A}, False, None),
    ("shut down inside", wanted(), seen(Power.SHUTOFF), {A}, False, Act.WRITE),
    ("crashed", wanted(), seen(Power.CRASHED), {A}, False, Act.WRITE),
    ("started behind our back", wanted(ServerState.SHUTOFF), seen(Power.RUNNING), {A}, False, Act.WRITE),
    ("off since its host started anew", wanted(), seen(Power.SHUTOFF), {A}, True, Act.REPAIR),
    ("shut off and should be", wanted(ServerState.SHUTOFF, power=Power.SHUTOFF), seen(Power.SHUTOFF), {A}, True, None),
    ("domain gone", wanted(), {}, {A}, False, Act.REPAIR),
    ("domain and disks gone", wanted(), {}, set(), False, Act.LOST),
    ("older generation", wanted(), seen(generation=1), {A}, False, Act.REPAIR),
    ("busy", wanted(is_busy=True), {}, set(), False, None),
    ("changed since we asked", wanted(changed_at=T0), {}, set(), False, None),
    ("in error", wanted(ServerState.ERROR), {}, set(), False, None),
]


@pytest.mark.parametrize(("name", "want", "have", "disks", "first", "act"), CASES, ids=[c[0] for c in CASES])
def test_plan(name, want, have, disks, first, act) -> None:
    actions = reconcile.plan(want, have, disks=frozenset(disks), ours=frozenset(), t0=T0, first_of_boot=first)
    assert [action.act for action in actions] == ([act] if act else [])


def test_guest_nobody_knows_is_only_told() -> None:
    (action,) = reconcile.plan({}, seen(), disks=frozenset({A}), ours=frozenset(), t0=T0)
    assert action.act is Act.REPORT


def test_guest_that_we_once_made_is_removed() -> None:
    (action,) = reconcile.plan({}, seen(), disks=frozenset({A}), ours=frozenset({A}), t0=T0)
    assert action.act is Act.REMOVE


# --- with rows -------------------------------------------------------------------------------------


def inventory(cloud: Cloud, *, minutes: int = 5) -> Inventory:
    """What the played host has, asked for in some minutes from now, so that nothing counts as fresh."""
    asked = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
    return cloud.hypervisor.inventory(asked.isoformat())


def look(cloud: Cloud) -> None:
    with ops.committed():
        reconcile.on_inventory(cloud.host, inventory(cloud))
    settle()


def test_vanished_guest_is_made_anew(cloud: Cloud) -> None:
    server = cloud.active()
    look(cloud)
    generation = cloud.hypervisor.guests.pop(str(server.pk))["generation"]
    look(cloud)
    assert cloud.hypervisor.guests[str(server.pk)]["generation"] > generation
    server.refresh_from_db()
    assert (server.state, server.power) == ("active", "running")
    assert Operation.objects.get(kind="compute.server.repair").status == "done"


def test_guest_whose_disks_are_gone_gets_a_fault_and_no_new_disk(cloud: Cloud) -> None:
    server = cloud.active()
    cloud.hypervisor.guests.clear()
    cloud.hypervisor.disks.clear()
    look(cloud)
    server.refresh_from_db()
    assert server.state == "error"
    assert server.fault is not None
    assert "disks are gone" in server.fault["message"]
    assert not cloud.hypervisor.disks


def test_repairs_can_be_switched_off(cloud: Cloud, settings) -> None:
    import msgspec

    config = settings.CONFIG
    settings.CONFIG = msgspec.structs.replace(
        config, compute=msgspec.structs.replace(config.compute, repair_guests=False)
    )
    server = cloud.active()
    cloud.hypervisor.guests.clear()
    look(cloud)
    server.refresh_from_db()
    assert server.state == "error"
    assert not Operation.objects.filter(kind="compute.server.repair").exists()


def test_claim_of_no_server_is_told_and_given_back(cloud: Cloud) -> None:
    server = cloud.active()
    claim(cloud.ctx, consumer_id=uuid.UUID(A), project_id="p", vcpus=2, ram_mib=64, disk_gib=1)
    line = f"{cloud.host.name} has a claim of server {A}, which does not exist"
    assert list(reconcile.check_claims(False)) == [line]
    assert Claim.objects.count() == 2
    assert list(reconcile.check_claims(True)) == [line]
    assert list(Claim.objects.values_list("consumer_id", flat=True)) == [server.pk]
    cloud.host.refresh_from_db()
    assert cloud.host.used_vcpus == server.vcpus
    assert list(reconcile.check_claims(False)) == []


def test_server_without_its_claim_and_server_that_nothing_builds_are_told(cloud: Cloud) -> None:
    server = cloud.active()
    assert list(reconcile.check_servers(False)) == []
    Claim.objects.all().delete()
    assert list(reconcile.check_servers(False)) == [f"{server.pk} is on '{cloud.host.name}' and has its claim on ''"]
    Server.objects.update(host_name="", state=ServerState.BUILDING)
    assert list(reconcile.check_servers(True)) == [f"{server.pk} is building and nothing builds it"]
    server.refresh_from_db()
    assert server.state == ServerState.ERROR
    assert list(reconcile.check_servers(False)) == []


def test_left_over_guest_of_a_deleted_server_is_removed(cloud: Cloud) -> None:
    server = cloud.active()
    left = dict(cloud.hypervisor.guests)
    with ops.committed():
        server_delete(cloud.ctx, server_id=str(server.pk))
    settle()
    assert ServerDeleted.objects.filter(pk=server.pk).exists()
    cloud.hypervisor.guests.update(left)
    look(cloud)
    assert not cloud.hypervisor.guests


def event(server: Server, power: Power, **changes: object) -> Report:
    given = {"server_id": str(server.pk), "generation": server.generation, "operation_id": "", "power": power}
    observed = ObservedDomain(**given | changes)  # type: ignore[arg-type]
    return Report(host="hv-1", boot_id="boot-1", message=DomainEvent(observed=observed, reason="test"))


def test_guest_killed_from_outside_is_seen_at_once(cloud: Cloud) -> None:
    server = cloud.active()
    reconcile.on_domain_event(event(server, Power.SHUTOFF))
    server.refresh_from_db()
    assert (server.state, server.power) == ("shutoff", "shutoff")


def test_event_before_the_first_inventory_of_a_start_changes_nothing(cloud: Cloud) -> None:
    server = cloud.active()
    ReconciledBoot.objects.create(host_name=server.host_name, boot_id="an earlier start")
    reconcile.on_domain_event(event(server, Power.SHUTOFF))
    server.refresh_from_db()
    assert server.state == "active"


def test_late_event_of_an_older_generation_changes_nothing(cloud: Cloud) -> None:
    server = cloud.active()
    reconcile.on_domain_event(event(server, Power.SHUTOFF, generation=server.generation - 1))
    server.refresh_from_db()
    assert server.state == "active"


def test_event_of_a_host_that_has_not_the_server_changes_nothing(cloud: Cloud) -> None:
    server = cloud.active()
    Server.objects.filter(pk=server.pk).update(host_name="hv-2")
    reconcile.on_domain_event(event(server, Power.SHUTOFF))
    server.refresh_from_db()
    assert server.state == "active"
