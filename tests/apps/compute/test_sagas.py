from __future__ import annotations

import uuid
from typing import Any, ClassVar

import pytest
from django.db.models import QuerySet

from agents.errors import Refused
from apps.compute import selectors, services
from apps.compute.models import Server, ServerDeleted
from apps.hosts.models import Claim
from apps.network.models import Port
from apps.operations.models import Operation
from apps.operations.services import operation_start
from tests.apps.compute.conftest import Cloud, settle
from tests.kit import operations as ops
from tests.kit.sagas import SagaCases


def operations_of(server: Server) -> QuerySet[Operation]:
    return Operation.objects.filter(subject_type="server", subject_id=str(server.pk))


@pytest.mark.slow
class ServerCases(SagaCases):
    """Cases of a change of a running server. The network follows at once."""

    cloud: Cloud
    state = "active"

    @pytest.fixture(autouse=True)
    def _cloud(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
        monkeypatch.setattr("apps.network.services.projected", lambda **given: True)
        self.cloud = cloud

    def server(self, operation: Operation) -> Server:
        return Server.objects.get(pk=operation.subject_id)

    def delete(self, operation: Operation) -> Operation | None:
        services.server_delete(self.cloud.ctx, server_id=operation.subject_id)
        return operations_of(self.server(operation)).filter(kind="compute.server.delete").latest("created_at")

    def assert_deleted(self, operation: Operation) -> None:
        assert not Server.objects.filter(pk=operation.subject_id).exists()
        assert ServerDeleted.objects.filter(pk=operation.subject_id).exists()
        assert operation.subject_id not in self.cloud.hypervisor.guests
        assert operation.subject_id not in self.cloud.hypervisor.disks
        assert not Claim.objects.filter(consumer_id=operation.subject_id).exists()
        assert not Port.objects.filter(device_id=operation.subject_id).exists()

    def remove_all(self) -> None:
        """Quotas are not the subject here."""
        Server.objects.all().update(deleting_at="2026-01-01T00:00:00Z")


class TestServerCreate(ServerCases):
    kind = "compute.server.create"

    def begin(self) -> Operation:
        self.remove_all()
        return operations_of(self.cloud.create()).get()

    def assert_done(self, operation: Operation) -> None:
        server = self.server(operation)
        assert (server.state, server.power, server.host_name) == ("active", "running", "hv-1")
        assert str(server.pk) in self.cloud.hypervisor.guests
        assert server.one_time_sealed is None

    def assert_undone(self, operation: Operation) -> None:
        server = self.server(operation)
        assert (server.state, server.host_name) == ("error", "")
        assert server.fault is not None
        assert str(server.pk) not in self.cloud.hypervisor.guests
        assert str(server.pk) not in self.cloud.hypervisor.disks
        assert not Claim.objects.filter(consumer_id=server.pk).exists()
        assert Port.objects.get(device_id=str(server.pk)).host_name == ""


class PowerCases(ServerCases):
    """Changes of power of one server, which is brought back before each."""

    before = "active"
    after = "active"

    def act(self, server_id: str) -> Operation:
        """What the kind is called after; those of another name or with more words say so."""
        begun: Operation = getattr(services, f"server_{self.kind.rpartition('.')[2]}")(
            self.cloud.ctx, server_id=server_id
        )
        return begun

    def begin(self) -> Operation:
        self.remove_all()
        server = self.cloud.create()
        ops.settle()
        Server.objects.filter(pk=server.pk).update(state=self.before, power="running")
        return self.act(str(server.pk))

    def assert_done(self, operation: Operation) -> None:
        server = self.server(operation)
        assert (server.state, server.fault) == (self.after, None)

    def assert_undone(self, operation: Operation) -> None:
        server = self.server(operation)
        assert server.state in {"active", "shutoff", "paused", "suspended"}
        assert server.fault is not None
        assert server.host_name == "hv-1"


class TestServerStop(PowerCases):
    kind = "compute.server.stop"
    after = "shutoff"


class TestServerStart(PowerCases):
    kind = "compute.server.start"
    before = "shutoff"


class TestServerPause(PowerCases):
    kind = "compute.server.pause"
    after = "paused"


class TestServerUnpause(PowerCases):
    kind = "compute.server.unpause"
    before = "paused"


class TestServerSuspend(PowerCases):
    kind = "compute.server.suspend"
    after = "suspended"


class TestServerResume(PowerCases):
    kind = "compute.server.resume"
    before = "suspended"


class TestServerReboot(PowerCases):
    kind = "compute.server.reboot"

    def act(self, server_id: str) -> Operation:
        return services.server_reboot(self.cloud.ctx, server_id=server_id, type="SOFT")


class TestServerRepair(PowerCases):
    kind = "compute.server.repair"

    def act(self, server_id: str) -> Operation:
        self.cloud.hypervisor.guests.pop(server_id)
        return operation_start(
            self.cloud.ctx, kind=self.kind, subject_type="server", subject_id=server_id, project_id="one", input={}
        )

    def assert_done(self, operation: Operation) -> None:
        assert self.cloud.hypervisor.guests[operation.subject_id]["power"] == "running"


class TestServerRebootHard(PowerCases):
    kind = "compute.server.reboot_hard"

    def act(self, server_id: str) -> Operation:
        return services.server_reboot(self.cloud.ctx, server_id=server_id, type="HARD")


class TestServerRebuild(PowerCases):
    kind = "compute.server.rebuild"

    def act(self, server_id: str) -> Operation:
        made = self.cloud.other_image()
        services.server_rebuild(self.cloud.ctx, server_id=server_id, image_ref=str(made.pk))
        return operations_of(Server.objects.get(pk=server_id)).get(kind=self.kind)

    def assert_done(self, operation: Operation) -> None:
        super().assert_done(operation)
        server = self.server(operation)
        assert (server.image["name"], server.one_time_sealed) == ("debian", None)
        assert self.cloud.hypervisor.guests[str(server.pk)]["power"] == "running"

    def assert_undone(self, operation: Operation) -> None:
        super().assert_undone(operation)
        assert self.server(operation).image_id == self.cloud.image.pk


class TestServerDelete(ServerCases):
    kind = "compute.server.delete"
    cancellable = False

    def begin(self) -> Operation:
        self.remove_all()
        server = self.cloud.create()
        ops.settle()
        services.server_delete(self.cloud.ctx, server_id=str(server.pk))
        return operations_of(server).get(kind=self.kind)

    def assert_done(self, operation: Operation) -> None:
        self.assert_deleted(operation)

    def delete(self, operation: Operation) -> Operation | None:
        return None


class TestServerAttachInterface(ServerCases):
    kind = "compute.server.attach_interface"

    def begin(self) -> Operation:
        self.remove_all()
        server = self.cloud.create()
        ops.settle()
        services.server_interface_attach(self.cloud.ctx, server_id=str(server.pk), net_id=str(self.cloud.network.pk))
        return operations_of(server).get(kind=self.kind)

    def assert_done(self, operation: Operation) -> None:
        assert len(self.cloud.hypervisor.guests[operation.subject_id]["nics"]) == 2

    def assert_undone(self, operation: Operation) -> None:
        assert len(self.cloud.hypervisor.guests[operation.subject_id]["nics"]) == 1
        assert Port.objects.filter(device_id=operation.subject_id).count() == 1


class TestServerDetachInterface(ServerCases):
    kind = "compute.server.detach_interface"

    def begin(self) -> Operation:
        self.remove_all()
        server = self.cloud.create()
        ops.settle()
        port = Port.objects.get(device_id=str(server.pk))
        services.server_interface_detach(self.cloud.ctx, server_id=str(server.pk), port_id=str(port.pk))
        return operations_of(server).get(kind=self.kind)

    def assert_done(self, operation: Operation) -> None:
        assert not self.cloud.hypervisor.guests[operation.subject_id]["nics"]
        assert not Port.objects.filter(device_id=operation.subject_id).exists()


class TestGuestRemove(ServerCases):
    kind = "compute.guest.remove"
    cancellable = False

    def begin(self) -> Operation:
        ident = str(uuid.uuid4())
        self.cloud.hypervisor.guests[ident] = {"generation": 1, "power": "running"}
        self.cloud.hypervisor.disks.add(ident)
        given = {"host": "hv-1"}
        return operation_start(
            ops.SYSTEM, kind=self.kind, subject_type="guest", subject_id=ident, project_id="", input=given
        )

    def assert_done(self, operation: Operation) -> None:
        assert operation.subject_id not in self.cloud.hypervisor.guests
        assert operation.subject_id not in self.cloud.hypervisor.disks

    def delete(self, operation: Operation) -> Operation | None:
        return None


class ReadCases(ServerCases):
    """Cases of a question to a host that somebody waits for: it changes nothing, whatever happens."""

    subject = "server"
    given: ClassVar[dict[str, Any]] = {"host": "hv-1"}

    def begin(self) -> Operation:
        self.remove_all()
        server = self.cloud.create()
        ops.settle()
        ident = "hv-1" if self.subject == "host" else str(server.pk)
        return operation_start(
            self.cloud.ctx,
            kind=self.kind,
            subject_type=self.subject,
            subject_id=ident,
            project_id="one",
            input=self.given,
        )

    def assert_done(self, operation: Operation) -> None:
        assert operation.steps.get().output
        self.assert_undone(operation)

    def assert_undone(self, operation: Operation) -> None:
        server = Server.objects.latest("created_at")
        assert (server.state, server.fault) == ("active", None)

    def delete(self, operation: Operation) -> Operation | None:
        return None


class TestConsoleLogRead(ReadCases):
    kind = "compute.server.read_console_log"
    subject = "console_log"
    given: ClassVar[dict[str, Any]] = {"host": "hv-1", "lines": None}


class TestServerDiagnose(ReadCases):
    kind = "compute.server.read_diagnostics"
    subject = "diagnostics"


class TestHostInspect(ReadCases):
    kind = "compute.host.inspect"
    subject = "host"
    given: ClassVar[dict[str, Any]] = {"asked_at": "2026-01-01T00:00:00+00:00"}


# --- what the cases do not know --------------------------------------------------------------------


def test_create_waits_until_the_network_is_projected(cloud: Cloud) -> None:
    server = cloud.create()
    ops.settle()
    operation = operations_of(server).get()
    assert operation.cursor == "network"
    assert not cloud.hypervisor.asked
    settle()
    assert str(server.pk) in cloud.hypervisor.guests


def test_no_valid_host_is_told_in_words_without_names_of_hosts(cloud: Cloud, admin: Any) -> None:
    cloud.host.capacity_ram_mib = 100
    cloud.host.save()
    server = cloud.create()
    settle()
    server.refresh_from_db()
    assert server.state == "error"
    assert server.fault is not None
    assert server.fault["message"].startswith("No valid host was found. Hosts left after each check:")
    assert "ram_mib 0" in server.fault["message"]
    assert "hv-1" not in server.fault["message"]
    assert "hv-1" in server.fault["details"]
    told = selectors.server_decision_get(cloud.ctx, server_id=str(server.pk))
    assert told["checks"][-1] == {"check": "ram_mib", "left": 0}
    assert "hv-1" not in str(told)
    assert "hv-1" in str(selectors.server_decision_get(admin, server_id=str(server.pk)))


def test_refusal_of_a_host_is_the_fault_and_nothing_is_left(cloud: Cloud) -> None:
    cloud.hypervisor.failing["compute.ensure_disks"] = Refused("the disk is full")
    server = cloud.create()
    settle()
    server.refresh_from_db()
    assert (server.state, server.host_name) == ("error", "")
    assert server.fault is not None
    assert server.fault["message"] == "the disk is full"
    cloud.host.refresh_from_db()
    assert cloud.host.used == {"vcpus": 0, "ram_mib": 0, "disk_gib": 0}


def test_delete_with_its_host_down_waits_and_frees_the_quota(cloud: Cloud) -> None:
    server = cloud.active()
    with ops.committed():
        from apps.operations.services import host_down

        host_down(ops.SYSTEM, host="hv-1")
    with ops.committed():
        services.server_delete(cloud.ctx, server_id=str(server.pk))
    ops.bell().sent.clear()
    ops.settle()
    assert Server.objects.filter(pk=server.pk).exists()
    assert services.usage_of(cloud.ctx, project_id="one")["instances"] == 0


def test_members_of_an_anti_affinity_group_do_not_share_a_host(cloud: Cloud) -> None:
    group = services.server_group_create(cloud.ctx, name="apart", policy="anti-affinity")
    hints = {"group": str(group.pk)}
    first, second = cloud.create(scheduler_hints=hints), cloud.create(scheduler_hints=hints)
    settle()
    first.refresh_from_db()
    second.refresh_from_db()
    assert sorted([first.state, second.state]) == ["active", "error"]


def test_attach_and_detach_wait_for_each_other(cloud: Cloud) -> None:
    server = cloud.active()
    with ops.committed():
        port = services.server_interface_attach(cloud.ctx, server_id=str(server.pk), net_id=str(cloud.network.pk))
    with ops.committed():
        services.server_interface_detach(cloud.ctx, server_id=str(server.pk), port_id=str(port.pk))
    settle()
    assert len(cloud.hypervisor.guests[str(server.pk)]["nics"]) == 1
    assert not Port.objects.filter(pk=port.pk).exists()
