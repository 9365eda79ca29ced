"""Projects, a network, an image, a flavor and a host whose worker is played in process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection

from agents.contracts import (
    Capacity,
    ConsoleLog,
    Diagnostics,
    DisksReady,
    DiskUse,
    DomainReady,
    HostFacts,
    Inventory,
    NicUse,
    Nothing,
    ObservedDomain,
    Power,
    VcpuUse,
)
from agents.errors import VerbError
from apps.compute.models import Flavor, Server
from apps.core.context import RequestContext
from apps.hosts.models import Host
from apps.image.models import Image
from apps.image.states import ImageStatus, Visibility
from apps.network import services as network_services
from apps.network.models import Change, Network
from apps.operations.models import Operation
from tests.kit import operations as ops
from tests.kit.http import AUTHENTICATION, Caller
from tests.kit.projects import admin, ctx, other
from tests.kit.rows import make_host

__all__ = ["admin", "ctx", "other"]  # fixtures

GIB = 1 << 30
DIAGNOSTICS = Diagnostics(
    driver="libvirt",
    virtualization="qemu",
    power=Power.RUNNING,
    memory_kib=512 * 1024,
    memory_stats_kib={"actual": 524_288, "available": 500_000, "unused": 193_824},
    vcpus=(VcpuUse(number=0, time_ns=7_000),),
    disks=(DiskUse(name="vda", read_bytes=512, read_requests=1, write_bytes=1024, write_requests=2),),
    nics=(
        NicUse(
            name="tap0",
            mac="fa:16:3e:00:00:01",
            rx_bytes=11,
            rx_packets=12,
            rx_errors=13,
            rx_drop=14,
            tx_bytes=21,
            tx_packets=22,
            tx_errors=23,
            tx_drop=24,
        ),
    ),
)


@dataclass
class Hypervisor:
    """What the played host has: guests by server with their power, and directories of disks."""

    guests: dict[str, dict[str, Any]] = field(default_factory=dict)
    disks: set[str] = field(default_factory=set)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    failing: dict[str, VerbError] = field(default_factory=dict)

    def verbs(self) -> ops.Verbs:
        return {
            "compute.ensure_disks": self._noted("compute.ensure_disks", self._ensure_disks),
            "compute.rebuild_disks": self._noted("compute.rebuild_disks", self._rebuild_disks),
            "compute.remove_disks": self._noted("compute.remove_disks", self._remove_disks),
            "compute.ensure_domain": self._noted("compute.ensure_domain", self._ensure_domain),
            "compute.remove_domain": self._noted("compute.remove_domain", self._remove_domain),
            "compute.reboot_domain": self._noted("compute.reboot_domain", self._reboot),
            "compute.read_console_log": self._noted("compute.read_console_log", lambda body: ConsoleLog(text="login:")),
            "inventory.report": self._noted("inventory.report", lambda body: self.inventory(body["asked_at"])),
            "compute.read_diagnostics": self._noted("compute.read_diagnostics", lambda body: DIAGNOSTICS),
        }

    def inventory(self, asked_at: str) -> Inventory:
        """What it has, as a host tells it."""
        facts = HostFacts(
            hostname="hv-1", architecture="x86_64", cpu_model="", virtualization="qemu", hypervisor_version="7.2.0",
            agent_version="0", chassis="hv-1", kernel="6",
        )  # fmt: skip
        return Inventory(
            asked_at=asked_at,
            host_clock=0.0,
            facts=facts,
            capacity=Capacity(vcpus=16, ram_mib=16_384, disk_gib=100, disk_free_gib=100),
            domains=tuple(
                ObservedDomain(server_id=i, generation=g["generation"], operation_id="", power=Power(g["power"]))
                for i, g in self.guests.items()
            ),
            disks=tuple(self.disks),
        )

    def _noted(self, verb: str, do: Any) -> Any:
        def run(body: dict[str, Any]) -> Any:
            self.asked.append((verb, body))
            if verb in self.failing:
                raise self.failing[verb]
            return do(body)

        return run

    def _ensure_disks(self, body: dict[str, Any]) -> DisksReady:
        self.disks.add(body["server_id"])
        return DisksReady(root_bytes=GIB, image_was_cached=True)

    def _rebuild_disks(self, body: dict[str, Any]) -> DisksReady:
        assert self.guests[body["server_id"]]["power"] == Power.SHUTOFF, "disks of a guest that runs"
        return DisksReady(root_bytes=GIB, image_was_cached=True)

    def _remove_disks(self, body: dict[str, Any]) -> Nothing:
        assert body["server_id"] not in self.guests, "disks of a guest that is still there"
        self.disks.discard(body["server_id"])
        return Nothing()

    def _ensure_domain(self, body: dict[str, Any]) -> DomainReady:
        self.guests[body["server_id"]] = body
        return self._ready(body["server_id"])

    def _remove_domain(self, body: dict[str, Any]) -> Nothing:
        self.guests.pop(body["server_id"], None)
        return Nothing()

    def _reboot(self, body: dict[str, Any]) -> DomainReady:
        return self._ready(body["server_id"])

    def _ready(self, server_id: str) -> DomainReady:
        guest = self.guests[server_id]
        return DomainReady(server_id=server_id, generation=guest["generation"], power=Power(guest["power"]))


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    ops.reset()
    yield
    ops.reset()


@pytest.fixture
def network(ctx: RequestContext) -> Network:
    made = network_services.network_create(ctx, name="net")
    network_services.subnet_create(ctx, network_id=str(made.pk), cidr="10.0.0.0/24")
    return made


@pytest.fixture
def flavor(db: None) -> Flavor:
    return Flavor.objects.create(id="1", name="m1.tiny", vcpus=1, ram_mib=512, root_gib=1)


@pytest.fixture
def image(ctx: RequestContext) -> Image:
    return Image.objects.create(
        project_id="one",
        name="cirros",
        status=ImageStatus.ACTIVE,
        visibility=Visibility.PUBLIC,
        container_format="bare",
        disk_format="qcow2",
        size=1000,
        virtual_size=GIB,
        checksum="0" * 32,
        hash_value="0" * 128,
        sha256="0" * 64,
    )


@pytest.fixture
def hypervisor() -> Hypervisor:
    return Hypervisor()


@pytest.fixture
def host(db: None, hypervisor: Hypervisor) -> Host:
    made = make_host("hv-1")
    ops.enrol("hv-1", hypervisor.verbs(), hypervisor)
    return made


@dataclass
class Cloud:
    """All of it together, and a way to a running server."""

    ctx: RequestContext
    flavor: Flavor
    image: Image
    network: Network
    host: Host
    hypervisor: Hypervisor

    def other_image(self, **columns: Any) -> Image:
        """Another image to boot from."""
        kept = {name: getattr(self.image, name) for name in ("project_id", "status", "visibility", "disk_format")}
        kept |= {name: getattr(self.image, name) for name in ("container_format", "checksum", "hash_value")}
        return Image.objects.create(
            **kept | {"name": "debian", "size": 2000, "virtual_size": GIB, "sha256": "1" * 64} | columns
        )

    def create(self, **given: Any) -> Server:
        """Ask for a server; nothing has happened yet."""
        from apps.compute import services

        asked = {"name": "web", "flavor_ref": self.flavor.pk, "image_ref": str(self.image.pk)} | given
        with ops.committed():
            return services.server_create(self.ctx, **asked).servers[0]

    def active(self, **given: Any) -> Server:
        """A running server."""
        server = self.create(**given)
        settle()
        server.refresh_from_db()
        assert server.state == "active", server.fault
        return server


@pytest.fixture
def cloud(
    ctx: RequestContext, flavor: Flavor, image: Image, network: Network, host: Host, hypervisor: Hypervisor
) -> Cloud:
    return Cloud(ctx, flavor, image, network, host, hypervisor)


def settle() -> None:
    """Let operations run to their end, with a network that follows at once."""
    from apps.operations import services as operations

    for _ in range(100):
        ops.settle()
        changed = Change.objects.exists()
        Change.objects.all().delete()
        if not changed:
            return
        with ops.committed():
            for ident in Server.objects.values_list("pk", flat=True):
                operations.operation_wake(ops.SYSTEM, subject_type="server", subject_id=ident)
    raise AssertionError("the network does not come to rest")


@pytest.fixture
def call(settings: Any) -> Any:
    """Make HTTP calls in a context: `call(ctx)("GET", "/servers")`."""
    settings.KUMO_AUTHENTICATION = AUTHENTICATION
    return lambda ctx: Caller(ctx, "/compute/v2.1")


@pytest.fixture
def answers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a host is answered by letting the operations run."""

    def wait(ctx: Any, *, operation_id: Any, timeout_s: float) -> Operation:
        assert not connection.savepoint_ids, "nobody sees an operation that is not committed"
        ops.settle()
        return Operation.objects.get(pk=operation_id)

    monkeypatch.setattr("apps.compute.services.asking.operation_wait", wait)


def new_id() -> str:
    return str(uuid.uuid4())
