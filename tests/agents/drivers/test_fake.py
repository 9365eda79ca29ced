"""The fake hypervisor passes the suite of the real one, and can fail on demand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agents.contracts import Power
from agents.drivers.fake.hypervisor import FakeHypervisor, FakeOptions, Fault
from agents.drivers.hypervisor import Hypervisor
from agents.errors import Refused, Transient
from agents.layout import Layout
from tests.agents.drivers.conformance import Heard, HypervisorConformance, no_check
from tests.kit.verbs import new_id, wanted_domain


class TestFake(HypervisorConformance):
    @pytest.fixture
    def driver(self, layout: Layout) -> Hypervisor:
        return FakeHypervisor(layout, FakeOptions(stops_when_asked=False))

    @pytest.fixture
    def again(self, layout: Layout) -> Callable[[], Hypervisor]:
        return lambda: FakeHypervisor(layout, FakeOptions())

    @pytest.fixture
    def foreign(self, driver: FakeHypervisor, layout: Layout) -> Callable[[str], Callable[[], bool]]:
        def make(server_id: str) -> Callable[[], bool]:
            driver.define_foreign(wanted_domain(server_id))
            file = layout.state / "fake" / f"{server_id}.json"
            before = file.read_bytes()

            def untouched() -> bool:
                same = file.read_bytes() == before
                file.unlink()
                return same

            return untouched

        return make


def test_fault_before_the_work_changes_nothing(layout: Layout) -> None:
    driver = FakeHypervisor(layout, FakeOptions(faults=(Fault("ensure"),)))
    wanted = wanted_domain(new_id(), has_root_disk=False)
    with pytest.raises(Transient):
        driver.ensure(wanted, no_check)
    assert driver.list() == []
    assert driver.ensure(wanted, no_check).power == Power.RUNNING


def test_fault_after_the_work_leaves_it_done(layout: Layout) -> None:
    driver = FakeHypervisor(layout, FakeOptions(faults=(Fault("ensure", kind="refused", after=True),)))
    wanted = wanted_domain(new_id(), has_root_disk=False)
    with pytest.raises(Refused):
        driver.ensure(wanted, no_check)
    assert [found.power for found in driver.list()] == [Power.RUNNING]


def test_change_from_outside_is_reported(layout: Layout) -> None:
    driver = FakeHypervisor(layout, FakeOptions())
    server_id, heard = new_id(), Heard()
    driver.ensure(wanted_domain(server_id, has_root_disk=False), no_check)
    driver.listen(heard, lambda: None)
    driver.change_outside(server_id, Power.CRASHED)
    heard.wait_for(server_id, Power.CRASHED)
