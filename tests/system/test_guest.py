"""A real guest through the verbs of a real host: boots, gets its address and metadata from OVN, obeys, goes.

The tests of this file follow one guest through its life, in order.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from agents import namespaces
from agents.config import AgentConfig
from agents.contracts import (
    Domain,
    MetadataEndpoint,
    Power,
    ReadConsoleLog,
    RebootDomain,
    RemoveDisks,
    RemoveDomain,
    ReportInventory,
)
from agents.drivers.libvirt.driver import LibvirtHypervisor, LibvirtOptions
from agents.errors import Refused
from agents.layout import Layout
from scripts.local.host import Host
from scripts.local.run import run, wait_until
from scripts.local.site import CHECKOUT
from tests.kit.control_plane import ControlPlaneStub, control_plane
from tests.kit.hosts import RealSite
from tests.kit.images import source_of
from tests.kit.inside import RealHost
from tests.kit.verbs import new_id, wanted_disks, wanted_domain, wanted_nic

pytestmark = pytest.mark.system

ADDRESS, MAC = "10.91.1.11", "0a:00:00:91:01:0b"
GATEWAY, METADATA, METADATA_MAC = "10.91.1.1", "10.91.1.2", "0a:00:00:91:01:02"
BOOT_S = 150


@dataclass
class Guest:
    """One server, what was last wished of it, and the host it is on."""

    host: RealHost
    layout: Layout
    control: ControlPlaneStub
    wanted: Domain

    @property
    def server_id(self) -> str:
        return self.wanted.server_id

    def wish(self, **changes: object) -> None:
        """Ask for a new generation of the guest, and let it be so."""
        generation = self.wanted.generation + 1
        self.wanted = msgspec.structs.replace(self.wanted, generation=generation, **changes)
        ready = self.host.do("compute.ensure_domain", self.wanted)
        assert (ready.generation, ready.power) == (generation, self.wanted.power)

    def log(self) -> str:
        return self.host.do("compute.read_console_log", ReadConsoleLog(server_id=self.server_id)).text

    def wait_booted(self, times: int = 1) -> None:
        """Until the login prompt has been shown so often."""
        wait_until(lambda: self.log().count("login:") >= times, seconds=BOOT_S, what="the guest's login prompt")


@pytest.fixture(scope="module")
def guest_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get("KUMO_TEST_GUEST_IMAGE")
    if given:
        return Path(given)
    cache = Path(os.environ.get("KUMO_TEST_CACHE", "/var/cache/kumo-tests"))
    return Path(run([CHECKOUT / "scripts/guest-image", cache], timeout_s=600).stdout.strip())


@pytest.fixture(scope="module")
def control(site: RealSite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlaneStub]:
    with control_plane(tmp_path_factory.mktemp("control"), site.site.underlay_address) as made:
        yield made


@pytest.fixture(scope="module")
def config(site: RealSite, real_host: Host, control: ControlPlaneStub) -> AgentConfig:
    made = AgentConfig(
        name=real_host.name,
        state=str(site.scratch / "guest-state"),
        control_url=control.url,
        broker_url="redis://127.0.0.1:1/0",
    )
    control.give_identity(made.identity, made.name)
    return made


@pytest.fixture(scope="module")
def guest(
    site: RealSite, real_host: Host, control: ControlPlaneStub, config: AgentConfig, guest_image: Path
) -> Iterator[Guest]:
    endpoint = MetadataEndpoint(port_id=new_id(), mac=METADATA_MAC, cidrs=(f"{METADATA}/24",))
    nic = wanted_nic(mac=MAC, metadata=endpoint)
    make_network(site, nic.port_id, endpoint.port_id, real_host.name)
    wanted = wanted_domain(new_id(), nics=(nic,), config_drive=True, generation=1, hard_stop_after_s=40)
    answer_metadata(control, nic.network_id)
    control.answer_json(
        f"/config-drive/{wanted.server_id}",
        {"files": {"openstack/latest/meta_data.json": base64.b64encode(b"{}").decode()}},
    )
    shown = json.loads(run(["qemu-img", "info", "--output=json", guest_image]).stdout)
    source = source_of(guest_image, size=shown["virtual-size"])
    control.answers[f"/image/{source.image_id}"] = (200, guest_image.read_bytes())
    inside = RealHost(real_host.enter, config)
    made = Guest(inside, Layout(config.root), control, wanted)
    inside.do("compute.ensure_disks", wanted_disks(wanted.server_id, source, root_gib=1, config_drive=True))
    inside.do("compute.ensure_domain", wanted)
    yield made
    inside.do("compute.remove_domain", RemoveDomain(server_id=wanted.server_id))
    inside.do("compute.remove_disks", RemoveDisks(server_id=wanted.server_id))
    inside.close()


def make_network(site: RealSite, port_id: str, localport_id: str, chassis: str) -> None:
    """One switch with DHCP, a port for the guest and the port behind which metadata answers."""

    def nbctl(*words: str) -> str:
        return run(["ovn-nbctl", f"--db={site.northbound}", "--wait=sb", *words]).stdout.strip()

    nbctl("ls-add", "guest-test")
    options = nbctl("create", "dhcp_options", "cidr=10.91.1.0/24")
    nbctl(
        "dhcp-options-set-options",
        options,
        f"server_id={GATEWAY}",
        "server_mac=0a:00:00:91:01:01",
        "lease_time=3600",
        "mtu=1442",
        f"classless_static_route={{169.254.169.254/32,{METADATA}, 0.0.0.0/0,{GATEWAY}}}",
    )
    nbctl("lsp-add", "guest-test", localport_id)
    nbctl("lsp-set-type", localport_id, "localport")
    nbctl("lsp-set-addresses", localport_id, f"{METADATA_MAC} {METADATA} 169.254.169.254")
    nbctl("lsp-add", "guest-test", port_id)
    nbctl("lsp-set-addresses", port_id, f"{MAC} {ADDRESS}")
    nbctl("lsp-set-port-security", port_id, f"{MAC} {ADDRESS}")
    nbctl("lsp-set-dhcpv4-options", port_id, options)
    nbctl("lsp-set-options", port_id, f"requested-chassis={chassis}")


def answer_metadata(control: ControlPlaneStub, network_id: str) -> None:
    for address in (ADDRESS, METADATA, "169.254.169.254"):
        for path, content in (("hostname", b"from-metadata"), ("instance-id", b"i-00000001")):
            below = f"/metadata/{network_id}/{address}/latest/meta-data/{path}"
            control.answers[below] = (200, content)


def test_guest_boots_from_the_image(guest: Guest) -> None:
    guest.wait_booted()


def test_guest_asked_for_metadata_by_its_network_and_address(guest: Guest) -> None:
    start = f"/metadata/{guest.wanted.nics[0].network_id}/{ADDRESS}/"
    wait_until(lambda: any(path.startswith(start) for path in guest.control.paths()), seconds=30, what="metadata")
    assert {asked.host for asked in guest.control.asked if asked.path.startswith(start)} == {"host-1"}


def test_guest_answers_on_its_network(guest: Guest, real_host: Host) -> None:
    ping(guest, real_host)


def test_inventory_lists_what_is_here(guest: Guest, real_host: Host) -> None:
    found = guest.host.do("inventory.report", ReportInventory(asked_at="then"))
    assert found.asked_at == "then"
    assert found.facts.chassis == real_host.name
    assert found.facts.virtualization == real_host.virtualization
    assert [(one.server_id, one.power) for one in found.domains] == [(guest.server_id, Power.RUNNING)]
    assert found.disks == (guest.server_id,)
    assert found.metadata_networks == (guest.wanted.nics[0].network_id,)


def test_serial_line_can_be_typed_at(guest: Guest, real_host: Host, config: AgentConfig) -> None:
    driver = LibvirtHypervisor(Layout(config.root), LibvirtOptions(uri=real_host.libvirt_uri, datapath="netdev"))
    with driver.console(guest.server_id, "serial") as stream:
        stream.settimeout(30)
        stream.sendall(b"\n")
        assert b"login:" in read_until(stream, b"login:")
    driver.close()


def test_metadata_is_served_again_after_a_crash_of_the_worker(guest: Guest, real_host: Host) -> None:
    guest.host.kill()
    assert ask_metadata(guest, real_host) == ""
    guest.host.start()
    wait_until(lambda: ask_metadata(guest, real_host) == "from-metadata", seconds=30, what="metadata")


def test_metadata_is_made_again_where_it_was_taken_away(guest: Guest, real_host: Host) -> None:
    real_host.exec("ip", "netns", "del", metadata_namespace(guest))
    guest.host.do("inventory.report", ReportInventory(asked_at="now"))
    assert ask_metadata(guest, real_host) == "from-metadata"
    ping(guest, real_host)


def test_events_come_again_after_libvirtd_was_killed(guest: Guest, site: RealSite, real_host: Host) -> None:
    name = real_host.service_name("libvirt")
    before = site.supervisor.pid_of(name)
    guest.host.events.clear()
    run(["kill", "-9", str(before)])
    guest.host.wait_for(lambda event: event.reason == "libvirtd was connected")
    guest.wish(power=Power.PAUSED)
    guest.host.wait_for(lambda event: event.observed.power == Power.PAUSED)
    guest.wish(power=Power.RUNNING)


def test_interface_is_plugged_and_pulled_while_the_guest_runs(guest: Guest, real_host: Host) -> None:
    first, second = guest.wanted.nics[0], wanted_nic(mac="0a:00:00:91:01:0c")
    guest.wish(nics=(first, second))
    assert second.port_id in shown(real_host, guest)
    guest.wish(nics=(first,))
    assert second.port_id not in shown(real_host, guest)
    assert first.port_id in shown(real_host, guest)


def test_guest_is_suspended_and_goes_on(guest: Guest, real_host: Host) -> None:
    guest.wish(power=Power.SUSPENDED)
    guest.wish(power=Power.RUNNING)
    ping(guest, real_host)
    assert guest.log().count("login:") >= 1


def test_soft_reboot_lets_the_guest_shut_down(guest: Guest) -> None:
    guest.host.events.clear()
    boots = guest.log().count("login:")
    request = RebootDomain(server_id=guest.server_id, hard_stop_after_s=60)
    assert guest.host.do("compute.reboot_domain", request).power == Power.RUNNING
    guest.host.wait_for(lambda event: event.reason == "shutdown by the guest")
    guest.wait_booted(boots + 1)


def test_stop_lets_the_guest_shut_down(guest: Guest) -> None:
    guest.host.events.clear()
    guest.wish(power=Power.SHUTOFF)
    guest.host.wait_for(lambda event: event.reason == "shutdown by the guest")


def test_disks_of_a_running_guest_are_not_removed(guest: Guest) -> None:
    guest.wish(power=Power.RUNNING)
    with pytest.raises(Refused, match="runs from these disks"):
        guest.host.do("compute.remove_disks", RemoveDisks(server_id=guest.server_id))
    assert guest.layout.guest(guest.server_id).root_disk.exists()


def test_removal_leaves_nothing_behind(guest: Guest, real_host: Host) -> None:
    for _ in range(2):
        guest.host.do("compute.remove_domain", RemoveDomain(server_id=guest.server_id))
        guest.host.do("compute.remove_disks", RemoveDisks(server_id=guest.server_id))
    found = guest.host.do("inventory.report", ReportInventory(asked_at="now"))
    assert (found.domains, found.disks, found.metadata_networks) == ((), (), ())
    assert metadata_namespace(guest) not in real_host.exec("ip", "netns", "list")
    ports = real_host.exec("ovs-vsctl", "list-ports", "br-int").split()
    assert [port for port in ports if port.startswith(("tap", namespaces.LINK_PREFIX))] == []
    links = real_host.exec("ip", "-br", "link")
    assert namespaces.LINK_PREFIX not in links


def metadata_namespace(guest: Guest) -> str:
    return namespaces.namespace_name(guest.wanted.nics[0].network_id)


def ping(guest: Guest, real_host: Host) -> None:
    """The guest answers somebody on its network, if not at once: a flow's first packets may be lost."""
    inside = ("ip", "netns", "exec", metadata_namespace(guest))

    def answers() -> bool:
        return "bytes from" in real_host.exec(*inside, "busybox", "ping", "-c", "2", "-W", "3", ADDRESS, check=False)

    wait_until(answers, seconds=60, what="an answer of the guest")


def ask_metadata(guest: Guest, real_host: Host) -> str:
    """What is answered to somebody on the guest's network; empty where nobody answers."""
    return real_host.exec(
        "ip", "netns", "exec", metadata_namespace(guest),
        "busybox", "wget", "-q", "-O", "-", "http://169.254.169.254/latest/meta-data/hostname",
        check=False,
    )  # fmt: skip


def shown(real_host: Host, guest: Guest) -> str:
    return subprocess.run(
        ["virsh", "-q", "-c", real_host.libvirt_uri, "dumpxml", guest.server_id],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def read_until(stream: socket.socket, wanted: bytes) -> bytes:
    got, end = b"", time.monotonic() + 30
    while wanted not in got and time.monotonic() < end and (piece := stream.recv(4096)):
        got += piece
    return got
