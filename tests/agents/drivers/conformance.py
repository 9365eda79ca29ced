"""What every hypervisor driver must do. A subclass gives `driver`, `again` and how to make a foreign guest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from agents import disks
from agents.contracts import DomainEvent, MetadataEndpoint, Power
from agents.drivers.hypervisor import Hypervisor
from agents.errors import Cancelled, Refused
from agents.images import ImageCache
from agents.layout import Layout
from tests.kit.images import make_image, source_of
from tests.kit.verbs import RunningVerb, new_id, wanted_disks, wanted_domain, wanted_nic

EVENT_S = 30


class HypervisorConformance:
    """Guests here have an empty disk: they run, and hear nothing of what they are asked."""

    @pytest.fixture
    def driver(self) -> Hypervisor:
        raise NotImplementedError

    @pytest.fixture
    def again(self) -> Callable[[], Hypervisor]:
        """A second driver over the same machine, as after a restart of the worker."""
        raise NotImplementedError

    @pytest.fixture
    def foreign(self) -> Callable[[str], Callable[[], bool]]:
        """Makes somebody else's guest with that id; the function returned tells whether it is untouched."""
        raise NotImplementedError

    @pytest.fixture
    def server_id(self, driver: Hypervisor, layout: Layout) -> Any:
        """A server with disks and no domain yet; gone afterwards."""
        made = new_id()
        image = make_image(layout.state / "image.qcow2")
        fetched = ImageCache(layout, lambda _: _opened(image), set)
        disks.ensure(wanted_disks(made, source_of(image)), layout, fetched, lambda _: {}, RunningVerb())
        yield made
        driver.remove(made)

    def test_creating_twice_makes_one_guest(self, driver: Hypervisor, server_id: str) -> None:
        wanted = wanted_domain(server_id)
        first = driver.ensure(wanted, no_check)
        second = driver.ensure(wanted, no_check)
        assert first == second
        assert (first.power, first.generation, first.needs_restart) == (Power.RUNNING, 1, False)
        assert [found.server_id for found in driver.list()].count(server_id) == 1

    def test_removing_twice_succeeds(self, driver: Hypervisor, server_id: str) -> None:
        driver.ensure(wanted_domain(server_id), no_check)
        driver.remove(server_id)
        driver.remove(server_id)
        assert driver.observe(server_id) is None
        assert server_id not in {found.server_id for found in driver.list()}

    def test_removing_what_never_was_succeeds(self, driver: Hypervisor) -> None:
        driver.remove(new_id())

    def test_older_generation_is_refused(self, driver: Hypervisor, server_id: str) -> None:
        driver.ensure(wanted_domain(server_id, generation=5, power=Power.SHUTOFF), no_check)
        before = driver.observe(server_id)
        with pytest.raises(Refused, match="older"):
            driver.ensure(wanted_domain(server_id, generation=4), no_check)
        assert driver.observe(server_id) == before

    def test_list_is_complete_after_a_restart(
        self, driver: Hypervisor, again: Callable[[], Hypervisor], server_id: str
    ) -> None:
        wanted = wanted_domain(server_id, generation=3)
        driver.ensure(wanted, no_check)
        found = {one.server_id: one for one in again().list()}[server_id]
        assert (found.generation, found.operation_id, found.power) == (3, wanted.operation_id, Power.RUNNING)

    def test_networks_are_known_after_a_restart(
        self, driver: Hypervisor, again: Callable[[], Hypervisor], server_id: str
    ) -> None:
        endpoint = MetadataEndpoint(port_id=new_id(), mac="0a:00:00:00:00:02", cidrs=("10.9.0.2/24",))
        nic = wanted_nic(metadata=endpoint)
        driver.ensure(wanted_domain(server_id, nics=(nic,), power=Power.SHUTOFF), no_check)
        found = [network for network in again().networks() if network.server_id == server_id]
        assert [(network.network_id, network.endpoint) for network in found] == [(nic.network_id, endpoint)]

    def test_diagnostics_tell_of_a_guest_that_runs(self, driver: Hypervisor, server_id: str) -> None:
        driver.ensure(wanted_domain(server_id, vcpus=2, ram_mib=64), no_check)
        found = driver.diagnostics(server_id)
        assert (found.power, found.memory_kib) == (Power.RUNNING, 64 * 1024)
        assert [vcpu.number for vcpu in found.vcpus] == [0, 1]
        assert [disk.name for disk in found.disks] == ["vda"]
        driver.ensure(
            wanted_domain(server_id, vcpus=2, ram_mib=64, generation=2, power=Power.SHUTOFF, hard_stop_after_s=0),
            no_check,
        )
        with pytest.raises(Refused, match="does not run"):
            driver.diagnostics(server_id)

    def test_foreign_guest_is_neither_listed_nor_touched(
        self, driver: Hypervisor, foreign: Callable[[str], Callable[[], bool]], server_id: str
    ) -> None:
        untouched = foreign(server_id)
        assert server_id not in {found.server_id for found in driver.list()}
        assert driver.observe(server_id) is None
        for attempt in (
            lambda: driver.ensure(wanted_domain(server_id, generation=9), no_check),
            lambda: driver.remove(server_id),
            lambda: driver.reboot(server_id, hard=True, hard_stop_after_s=0, checkpoint=no_check),
            lambda: driver.console(server_id, "vnc"),
            lambda: driver.diagnostics(server_id),
        ):
            with pytest.raises(Refused, match="not managed"):
                attempt()
        assert untouched()

    @pytest.mark.parametrize(
        "path",
        [
            (Power.RUNNING, Power.PAUSED, Power.RUNNING),
            (Power.RUNNING, Power.SHUTOFF, Power.RUNNING),
            (Power.RUNNING, Power.SUSPENDED, Power.RUNNING),
            (Power.PAUSED, Power.SUSPENDED, Power.SHUTOFF),
            (Power.SHUTOFF, Power.PAUSED, Power.SHUTOFF),
        ],
        ids=lambda path: "-".join(path),
    )
    def test_power_follows_the_wish(self, driver: Hypervisor, server_id: str, path: tuple[Power, ...]) -> None:
        for generation, power in enumerate(path, 1):
            wanted = wanted_domain(server_id, generation=generation, power=power, hard_stop_after_s=0)
            for _ in range(2):
                ready = driver.ensure(wanted, no_check)
                assert (ready.power, ready.generation) == (power, generation)
            observed = driver.observe(server_id)
            assert observed is not None
            assert (observed.power, observed.generation) == (power, generation)

    def test_guest_that_is_off_cannot_be_suspended(self, driver: Hypervisor, server_id: str) -> None:
        driver.ensure(wanted_domain(server_id, power=Power.SHUTOFF), no_check)
        with pytest.raises(Refused, match="no memory"):
            driver.ensure(wanted_domain(server_id, generation=2, power=Power.SUSPENDED), no_check)
        observed = driver.observe(server_id)
        assert observed is not None
        assert observed.power == Power.SHUTOFF

    def test_stop_ends_when_it_is_cancelled(self, driver: Hypervisor, server_id: str) -> None:
        driver.ensure(wanted_domain(server_id), no_check)
        calls: list[None] = []

        def cancelled_at_second() -> None:
            calls.append(None)
            if len(calls) == 2:
                raise Cancelled("the operation was cancelled")

        wish = wanted_domain(server_id, generation=2, power=Power.SHUTOFF, hard_stop_after_s=3600)
        with pytest.raises(Cancelled):
            driver.ensure(wish, cancelled_at_second)
        observed = driver.observe(server_id)
        assert observed is not None
        assert observed.power == Power.RUNNING

    def test_power_is_cut_when_a_guest_does_not_hear(self, driver: Hypervisor, server_id: str) -> None:
        driver.ensure(wanted_domain(server_id), no_check)
        wish = wanted_domain(server_id, generation=2, power=Power.SHUTOFF, hard_stop_after_s=1)
        assert driver.ensure(wish, no_check).power == Power.SHUTOFF

    def test_change_of_memory_waits_for_a_restart(self, driver: Hypervisor, server_id: str) -> None:
        driver.ensure(wanted_domain(server_id), no_check)
        ready = driver.ensure(wanted_domain(server_id, generation=2, ram_mib=256), no_check)
        assert (ready.generation, ready.needs_restart) == (2, True)
        rebooted = driver.reboot(server_id, hard=True, hard_stop_after_s=0, checkpoint=no_check)
        assert (rebooted.generation, rebooted.needs_restart, rebooted.power) == (2, False, Power.RUNNING)

    def test_reboot_of_an_absent_guest_is_refused(self, driver: Hypervisor) -> None:
        with pytest.raises(Refused, match="not on this host"):
            driver.reboot(new_id(), hard=True, hard_stop_after_s=0, checkpoint=no_check)

    def test_guest_without_disks_is_refused_and_not_left_behind(self, driver: Hypervisor) -> None:
        absent = new_id()
        with pytest.raises(Refused, match="disks"):
            driver.ensure(wanted_domain(absent), no_check)
        assert driver.observe(absent) is None

    @pytest.mark.parametrize(("kind", "greeting"), [("vnc", b"RFB 003.008\n")])
    def test_screen_can_be_watched(self, driver: Hypervisor, server_id: str, kind: str, greeting: bytes) -> None:
        driver.ensure(wanted_domain(server_id), no_check)
        with driver.console(server_id, kind) as stream:
            stream.settimeout(EVENT_S)
            assert stream.recv(len(greeting)) == greeting

    @pytest.mark.parametrize("kind", ["vnc", "serial"])
    def test_guest_that_is_off_has_no_console(self, driver: Hypervisor, server_id: str, kind: str) -> None:
        driver.ensure(wanted_domain(server_id, power=Power.SHUTOFF), no_check)
        with pytest.raises(Refused, match="does not run"):
            driver.console(server_id, kind)

    def test_events_tell_what_happens(self, driver: Hypervisor, server_id: str) -> None:
        heard = Heard()
        driver.listen(heard, lambda: None)
        driver.ensure(wanted_domain(server_id), no_check)
        heard.wait_for(server_id, Power.RUNNING)
        driver.ensure(wanted_domain(server_id, generation=2, power=Power.PAUSED), no_check)
        heard.wait_for(server_id, Power.PAUSED)
        driver.remove(server_id)
        heard.wait_for(server_id, Power.MISSING)

    def test_every_guest_is_reported_when_listening_begins(
        self, driver: Hypervisor, again: Callable[[], Hypervisor], server_id: str
    ) -> None:
        driver.ensure(wanted_domain(server_id, power=Power.SHUTOFF), no_check)
        heard, opened = Heard(), threading.Event()
        again().listen(heard, opened.set)
        heard.wait_for(server_id, Power.SHUTOFF)
        assert opened.is_set()


class Heard:
    """Collects events; waiting for one does not miss what came before."""

    def __init__(self) -> None:
        self._events: list[DomainEvent] = []
        self._more = threading.Condition()

    def __call__(self, event: DomainEvent) -> None:
        with self._more:
            self._events.append(event)
            self._more.notify_all()

    def wait_for(self, server_id: str, power: Power) -> DomainEvent:
        def found() -> DomainEvent | None:
            for event in self._events:
                if (event.observed.server_id, event.observed.power) == (server_id, power):
                    return event
            return None

        with self._more:
            assert self._more.wait_for(lambda: found() is not None, EVENT_S), self._events
            event = found()
        assert event is not None
        return event


def no_check() -> None:
    """Nobody cancels."""


def _opened(path: Any) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def opened() -> Any:
        yield iter([path.read_bytes()])

    return opened()
