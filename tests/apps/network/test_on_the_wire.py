"""The projection in a real OVN, with packets: DHCP, groups, routers, floating IPs, metadata, isolation.

Guests are network namespaces on the host's integration bridge; for OVN they are what a hypervisor's taps are.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apps.core.context import RequestContext
from apps.network import reconcile, services
from apps.network.models import Network, Port, Router
from apps.network.states import Owner
from scripts.local.host import Host
from tests.kit.hosts import RealSite
from tests.kit.projects import ADMIN, caller, make_project
from tests.kit.rows import make_host
from tests.kit.waiting import until

pytestmark = [pytest.mark.system, pytest.mark.django_db(transaction=True)]

# What udhcpc is to do with an answer: set it up, and keep what came.
SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip address replace $ip/$mask dev $interface
ip link set $interface mtu ${mtu:-1500}
set -- $staticroutes
while [ $# -ge 2 ]; do ip route replace $1 via $2; shift 2; done
[ -n "$staticroutes" ] || ip route replace default via $router
env > "$0.answer"
"""


@dataclass
class Guest:
    """A namespace with one interface, plugged into a port."""

    host: Host
    port: Port
    scratch: Path

    @property
    def name(self) -> str:
        return f"g-{self.port.pk.hex[:8]}"

    @property
    def address(self) -> str:
        found: str = self.port.fixed_ips.values_list("address", flat=True).get()
        return found

    def plug(self) -> None:
        tap = f"t{self.port.pk.hex[:10]}"
        for command in (
            f"ip netns add {self.name}",
            f"ip link add {tap} type veth peer name eth0 netns {self.name}",
            f"ip -n {self.name} link set eth0 address {self.port.mac_address} up",
            f"ip -n {self.name} link set lo up",
            f"ip link set {tap} up",
            f"ethtool -K {tap} tx off",
            f"ip netns exec {self.name} ethtool -K eth0 tx off",
            f"ovs-vsctl add-port br-int {tap} -- set interface {tap} external_ids:iface-id={self.port.pk}",
        ):
            self.host.exec(*command.split())

    def unplug(self) -> None:
        self.host.exec("ovs-vsctl", "--if-exists", "del-port", f"t{self.port.pk.hex[:10]}")
        self.host.exec("ip", "netns", "delete", self.name, check=False)

    def run(self, *argv: str, check: bool = True) -> str:
        return self.host.exec("ip", "netns", "exec", self.name, *argv, check=check)

    def dhcp(self) -> str:
        """Ask for an address as a guest does; returns all that came with it."""
        script = self.scratch / f"{self.name}.sh"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        self.run(
            "busybox",
            "udhcpc",
            "-i",
            "eth0",
            "-n",
            "-q",
            "-t",
            "10",
            "-T",
            "1",
            "-O",
            "121",
            "-O",
            "26",
            "-s",
            str(script),
        )
        return Path(f"{script}.answer").read_text()

    def reaches(self, address: str, *, tries: int = 5) -> bool:
        return any(_quiet(lambda: self.run("busybox", "ping", "-c", "1", "-W", "1", address)) for _ in range(tries))


def _quiet(call: Any) -> bool:
    try:
        call()
    except Exception:  # noqa: BLE001 - whatever the program says, it did not get through
        return False
    return True


@dataclass
class Cloud:
    """The network service, projecting into a site's OVN."""

    site: RealSite
    host: Host
    ctx: RequestContext
    admin: RequestContext
    guests: list[Guest]

    def guest(self, network: Network, ctx: RequestContext | None = None, **attributes: Any) -> Guest:
        port = services.port_create(ctx or self.ctx, network_id=str(network.pk), **attributes)
        services.port_update(self.admin, port_id=str(port.pk), binding_host_id=self.host.name)
        guest = Guest(self.host, port, self.site.scratch)
        self.guests.append(guest)
        guest.plug()
        until(lambda: Port.objects.get(pk=port.pk).status == "ACTIVE")
        return guest


def tenant(ctx: RequestContext, cidr: str) -> Network:
    network = services.network_create(ctx, name="inner")
    services.subnet_create(ctx, network_id=str(network.pk), cidr=cidr, dns_nameservers=["9.9.9.9"])
    return network


@pytest.fixture
def cloud(site: RealSite, real_host: Host, settings: Any) -> Iterator[Cloud]:
    config = settings.CONFIG
    settings.CONFIG = msgspec.structs.replace(
        config, ovn=msgspec.structs.replace(config.ovn, northbound=site.northbound)
    )
    make_project("one")
    make_project("ops")
    make_host(real_host.name, chassis=real_host.name)
    made = Cloud(site, real_host, caller("one"), caller("ops", ADMIN), [])
    stop = threading.Event()
    projector = threading.Thread(target=reconcile.run, args=(stop,))
    projector.start()
    try:
        yield made
    finally:
        for guest in made.guests:
            guest.unplug()
        stop.set()
        projector.join(timeout=30)


def outside_reaches(site: RealSite, address: str, *, tries: int = 10) -> bool:
    return any(_quiet(lambda: site.outside("busybox", "ping", "-c", "1", "-W", "1", address)) for _ in range(tries))


def test_guests_get_their_address_and_reach_each_other_by_their_groups(cloud: Cloud) -> None:
    network = tenant(cloud.ctx, "10.0.0.0/24")
    one, two = cloud.guest(network), cloud.guest(network)
    answer = one.dhcp()
    two.dhcp()
    assert f"ip={one.address}" in answer
    assert "mtu=1442" in answer
    assert "169.254.169.254/32 10.0.0.2" in answer
    assert one.reaches(two.address)  # the default group lets its own members in
    lone = services.security_group_create(cloud.ctx, name="lone")
    services.port_update(cloud.ctx, port_id=str(two.port.pk), security_groups=[str(lone.pk)])
    until(lambda: not one.reaches(two.address, tries=1))
    services.security_group_rule_create(cloud.ctx, security_group_id=str(lone.pk), direction="ingress", protocol="icmp")
    until(lambda: one.reaches(two.address, tries=1))


def test_another_address_than_its_own_is_not_let_out(cloud: Cloud) -> None:
    network = tenant(cloud.ctx, "10.0.1.0/24")
    one, two = cloud.guest(network), cloud.guest(network)
    one.dhcp()
    two.dhcp()
    assert one.reaches(two.address)
    one.run("ip", "address", "add", "10.0.1.99/24", "dev", "eth0")
    assert not _quiet(lambda: one.run("busybox", "ping", "-c", "2", "-W", "1", "-I", "10.0.1.99", two.address))
    services.port_update(cloud.ctx, port_id=str(one.port.pk), allowed_address_pairs=[{"ip_address": "10.0.1.99"}])
    group = str(one.port.security_groups.get().pk)
    services.security_group_rule_create(cloud.ctx, security_group_id=group, direction="ingress", protocol="icmp")
    until(lambda: _quiet(lambda: one.run("busybox", "ping", "-c", "1", "-W", "1", "-I", "10.0.1.99", two.address)))


def test_the_way_to_the_outside_and_in_by_a_floating_ip(cloud: Cloud) -> None:
    site = cloud.site.site
    public = services.network_create(
        cloud.admin, name="public", external=True, network_type="flat", physical_network="physnet1"
    )
    services.subnet_create(
        cloud.admin,
        network_id=str(public.pk),
        cidr=str(site.external),
        gateway_ip=str(site.external_gateway),
        enable_dhcp=False,
    )
    network = tenant(cloud.ctx, "10.0.2.0/24")
    router: Router = services.router_create(cloud.ctx, external_gateway_info={"network_id": str(public.pk)})
    services.router_add_interface(cloud.ctx, router_id=str(router.pk), subnet_id=str(network.subnets.get().pk))
    guest = cloud.guest(network)
    guest.dhcp()
    until(lambda: guest.reaches(str(site.external_gateway), tries=1))
    floating = services.floatingip_create(cloud.ctx, floating_network_id=str(public.pk), port_id=str(guest.port.pk))
    assert not outside_reaches(cloud.site, floating.floating_ip_address, tries=3)
    group = str(guest.port.security_groups.get().pk)
    services.security_group_rule_create(cloud.ctx, security_group_id=group, direction="ingress", protocol="icmp")
    until(lambda: outside_reaches(cloud.site, floating.floating_ip_address, tries=1))
    interface = Port.objects.get(router=router, device_owner=Owner.ROUTER_INTERFACE)
    until(lambda: Port.objects.get(pk=interface.pk).status == "ACTIVE")
    services.floatingip_update(cloud.ctx, floatingip_id=str(floating.pk), port_id=None)
    until(lambda: not outside_reaches(cloud.site, floating.floating_ip_address, tries=1))


def test_two_projects_may_have_the_same_addresses_and_do_not_meet(cloud: Cloud) -> None:
    make_project("two")
    mine = cloud.guest(tenant(cloud.ctx, "10.0.3.0/24"))
    other = caller("two")
    theirs_network = tenant(other, "10.0.3.0/24")
    first = cloud.guest(theirs_network, other)
    second = cloud.guest(theirs_network, other)
    for guest in (mine, first, second):
        guest.dhcp()
    assert mine.address == first.address
    assert first.reaches(second.address)
    assert not mine.reaches(second.address, tries=2)


def test_a_wiped_northbound_database_is_filled_again_and_packets_flow(cloud: Cloud) -> None:
    network = tenant(cloud.ctx, "10.0.4.0/24")
    one, two = cloud.guest(network), cloud.guest(network)
    one.dhcp()
    two.dhcp()
    assert one.reaches(two.address)
    switches = subprocess.run(
        ["ovn-nbctl", f"--db={cloud.site.northbound}", "--bare", "--columns=name", "find", "Logical_Switch"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    for name in switches:
        subprocess.run(["ovn-nbctl", f"--db={cloud.site.northbound}", "ls-del", name], check=True)
    until(lambda: not one.reaches(two.address, tries=1))
    from apps.network import jobs
    from apps.network.backends.ovn import Northbound

    northbound = Northbound(cloud.site.northbound)
    assert jobs.sync(northbound)
    northbound.close()
    until(lambda: one.reaches(two.address, tries=1))
