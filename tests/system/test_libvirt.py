"""The libvirt driver against a real libvirt, in a host made of namespaces: the suite, and what only it can do."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from agents.contracts import Power
from agents.drivers.hypervisor import Hypervisor
from agents.drivers.libvirt.driver import LibvirtHypervisor, LibvirtOptions
from agents.layout import Layout
from scripts.local.host import Host
from tests.agents.drivers.conformance import Heard, HypervisorConformance, no_check
from tests.kit.hosts import RealSite
from tests.kit.verbs import new_id, wanted_domain, wanted_nic

pytestmark = pytest.mark.system


class TestLibvirt(HypervisorConformance):
    @pytest.fixture
    def layout(self, site: RealSite) -> Iterator[Layout]:
        """Below a directory that this process and the host's QEMU see at the same place."""
        made = Layout(site.scratch / new_id())
        made.make()
        yield made
        shutil.rmtree(made.state)

    @pytest.fixture
    def options(self, real_host: Host) -> LibvirtOptions:
        # This process is outside the host, so it cannot ask the host's switch.
        return LibvirtOptions(
            uri=real_host.libvirt_uri,
            datapath="netdev" if real_host.datapath == "netdev" else "system",
            virtualization="kvm" if real_host.virtualization == "kvm" else "qemu",
        )

    @pytest.fixture
    def driver(self, layout: Layout, options: LibvirtOptions) -> Iterator[Hypervisor]:
        made = LibvirtHypervisor(layout, options)
        yield made
        made.close()

    @pytest.fixture
    def again(self, layout: Layout, options: LibvirtOptions) -> Iterator[Callable[[], Hypervisor]]:
        made: list[LibvirtHypervisor] = []

        def restart() -> Hypervisor:
            made.append(LibvirtHypervisor(layout, options))
            return made[-1]

        yield restart
        for driver in made:
            driver.close()

    @pytest.fixture
    def foreign(self, real_host: Host) -> Callable[[str], Callable[[], bool]]:
        def make(server_id: str) -> Callable[[], bool]:
            virsh(
                real_host,
                "create",
                "/dev/stdin",
                text=f"<domain type='{real_host.virtualization}'><name>other-{server_id[:8]}</name>"
                f"<uuid>{server_id}</uuid><memory unit='MiB'>16</memory>"
                "<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>",
            )

            def untouched() -> bool:
                running = server_id in virsh(real_host, "list", "--uuid")
                virsh(real_host, "destroy", server_id)
                return running

            return untouched

        return make

    def test_guest_killed_from_outside_is_reported_at_once(
        self, driver: Hypervisor, server_id: str, real_host: Host
    ) -> None:
        heard = Heard()
        driver.listen(heard, lambda: None)
        driver.ensure(wanted_domain(server_id), no_check)
        pid = real_host.exec("cat", f"/run/libvirt/qemu/kumo-{server_id}.pid").strip()
        real_host.exec("kill", "-9", pid)
        heard.wait_for(server_id, Power.CRASHED)
        assert driver.ensure(wanted_domain(server_id, generation=2), no_check).power == Power.RUNNING

    def test_base_image_stays_unwritable_for_the_guest(
        self, driver: Hypervisor, server_id: str, layout: Layout
    ) -> None:
        driver.ensure(wanted_domain(server_id), no_check)
        (base,) = (path for path in layout.images.iterdir() if len(path.name) == 64)
        assert (base.stat().st_uid, base.stat().st_mode & 0o777) == (0, 0o444)

    def test_firmware_variables_go_with_the_guest(self, driver: Hypervisor, server_id: str, real_host: Host) -> None:
        assert "uefi" in driver.capabilities().firmware
        driver.ensure(wanted_domain(server_id, firmware="uefi", ram_mib=256), no_check)
        kept = ("find", "/var/lib/libvirt/qemu/nvram", "-name", f"kumo-{server_id}*")
        assert real_host.exec(*kept).strip()
        driver.remove(server_id)
        assert not real_host.exec(*kept).strip()

    def test_screen_is_on_no_network_port(self, driver: Hypervisor, server_id: str, real_host: Host) -> None:
        driver.ensure(wanted_domain(server_id), no_check)
        shown = virsh(real_host, "dumpxml", server_id)
        assert "<listen type='socket'" in shown
        assert "port='59" not in shown

    def test_interface_is_plugged_and_pulled_while_the_guest_is_off_too(
        self, driver: Hypervisor, server_id: str, real_host: Host
    ) -> None:
        first, second = wanted_nic(), wanted_nic(mac="0a:00:00:00:00:02")
        for generation, (power, nics) in enumerate(
            [
                (Power.SHUTOFF, (first,)),
                (Power.SHUTOFF, (first, second)),
                (Power.RUNNING, (first, second)),
                (Power.SHUTOFF, (second,)),
            ],
            1,
        ):
            driver.ensure(
                wanted_domain(server_id, generation=generation, power=power, nics=nics, hard_stop_after_s=0),
                no_check,
            )
            shown = virsh(real_host, "dumpxml", server_id)
            assert [nic.port_id in shown for nic in (first, second)] == [nic in nics for nic in (first, second)]


def virsh(host: Host, *arguments: str, text: str = "") -> str:
    return subprocess.run(
        ["virsh", "-q", "-c", host.libvirt_uri, *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
