"""The demonstration sagas pass what every saga must."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.contracts import Power
from agents.host import Host
from apps.operations import engine
from apps.operations.models import Operation
from tests.kit import operations as ops
from tests.kit.demo import make
from tests.kit.demo.models import Claim, Guest, Note, Part
from tests.kit.sagas import SagaCases


class DemoCases(SagaCases):
    host: Host

    @pytest.fixture(autouse=True)
    def _host(self, tmp_path: Path, _fresh: None) -> None:
        with ops.committed():
            self.host = ops.enrol_agent("hv-1", tmp_path)

    def delete(self, operation: Operation) -> Operation | None:
        return make.delete(operation.subject_id)

    def assert_deleted(self, operation: Operation) -> None:
        self.assert_nothing_left(operation)
        assert not Guest.objects.filter(pk=operation.subject_id).exists()

    def assert_undone(self, operation: Operation) -> None:
        guest = Guest.objects.get(pk=operation.subject_id)
        assert guest.state == "error"
        assert guest.fault
        self.assert_nothing_left(operation)

    def assert_nothing_left(self, operation: Operation) -> None:
        subject = operation.subject_id
        assert self.host.hypervisor.observe(subject) is None
        assert subject not in self.host.layout.guests()
        assert not Claim.objects.filter(guest_id=subject).exists()
        assert not Note.objects.filter(guest_id=subject).exists()
        assert not Part.objects.filter(guest_id=subject, state="available").exists()


class TestGuestCreate(DemoCases):
    kind = "demo.guest.create"

    def begin(self) -> Operation:
        return make.create("hv-1")

    def assert_done(self, operation: Operation) -> None:
        guest = Guest.objects.get(pk=operation.subject_id)
        assert guest.state == "active"
        observed = self.host.hypervisor.observe(operation.subject_id)
        assert observed is not None
        assert observed.power == Power.RUNNING
        assert Claim.objects.filter(guest_id=guest.pk).count() == 1
        assert Note.objects.filter(guest_id=guest.pk).count() == 1
        assert Part.objects.filter(guest_id=guest.pk, state="available").count() == 2


@pytest.mark.slow
class TestGuestReboot(DemoCases):
    kind = "demo.guest.reboot"

    def begin(self) -> Operation:
        creation = make.create("hv-1")
        engine.advance(creation.pk)
        ops.settle()
        return make.start("demo.guest.reboot", Guest.objects.get(pk=creation.subject_id))

    def assert_done(self, operation: Operation) -> None:
        assert Guest.objects.get(pk=operation.subject_id).reboots == 1

    def assert_nothing_left(self, operation: Operation) -> None:
        if not Guest.objects.filter(pk=operation.subject_id).exists():
            super().assert_nothing_left(operation)


@pytest.mark.slow
class TestGuestDelete(DemoCases):
    kind = "demo.guest.delete"
    cancellable = False

    def begin(self) -> Operation:
        creation = make.create("hv-1")
        engine.advance(creation.pk)
        ops.settle()
        return make.delete(creation.subject_id)

    def assert_done(self, operation: Operation) -> None:
        self.assert_deleted(operation)

    def delete(self, operation: Operation) -> Operation | None:
        if not Guest.objects.filter(pk=operation.subject_id).exists():
            return operation
        return make.delete(operation.subject_id)
