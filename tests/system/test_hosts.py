"""Hosts made of namespaces: what every other system test stands on."""

from __future__ import annotations

import os
import signal

import pytest

from scripts.local import links
from scripts.local.host import Host
from scripts.local.run import run, succeeds, wait_until
from tests.kit.hosts import RealSite

pytestmark = pytest.mark.system


def test_host_is_a_chassis_of_its_ovn(site: RealSite, real_host: Host) -> None:
    southbound = f"--db=unix:{site.site.path('ovn')}/sb.sock"

    def known() -> bool:
        return real_host.name in run(["ovn-sbctl", southbound, "--bare", "--columns=name", "list", "chassis"]).stdout

    wait_until(known, seconds=120, what="the chassis row")


def test_libvirt_of_a_host_is_not_the_machines(site: RealSite, real_host: Host) -> None:
    hostname = run(["virsh", "-q", "-c", real_host.libvirt_uri, "hostname"]).stdout.strip()
    assert hostname == real_host.name
    assert os.uname().nodename != real_host.name


def test_killed_services_come_back(site: RealSite, real_host: Host) -> None:
    for part in ("vswitchd", "libvirt"):
        name = real_host.service_name(part)
        before = site.supervisor.pid_of(name)
        os.kill(before, signal.SIGKILL)
        wait_until(
            lambda name=name, before=before: site.supervisor.pid_of(name) not in (0, before),  # type: ignore[misc]
            seconds=120,
            what=f"{name} after its death",
        )
    wait_until(
        lambda: succeeds(real_host.enter("virsh", "-q", "-c", "qemu:///system", "version")),
        seconds=120,
        what="libvirt",
    )
    wait_until(
        lambda: real_host.tunnels in real_host.exec("ip", "-4", "address", "show", "dev", "br-tun", check=False),
        seconds=120,
        what="the tunnel's address",
    )


def test_every_device_on_the_machine_carries_the_mark(site: RealSite, real_host: Host) -> None:
    named = {d["ifname"] for d in links.devices() if d["ifname"].startswith(site.site.tag)}
    assert named
    assert named == set(links.ours(site.site))


def test_namespaces_are_gone_after_stop_and_return(site: RealSite, real_host: Host) -> None:
    second = site.add_host()
    second.stop(site.supervisor)
    assert not second.namespaces.exist
    assert not second.namespaces.processes()
    second.start(site.supervisor)
    assert second.exec("hostname").strip() == second.name
    second.stop(site.supervisor)
