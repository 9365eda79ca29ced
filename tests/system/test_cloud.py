"""A user's way through a real cloud: guests on libvirt, networks by OVN, seen from outside and from within."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import openstack
import pytest
from openstack.connection import Connection

from scripts.local import cloud as local
from scripts.local.run import Failure
from tests.kit.cloud import RealCloud, connect, start
from tests.kit.waiting import until

pytestmark = pytest.mark.system
BOOT_S = 240
CIDR = "10.20.30.0/24"  # the same in every project


@dataclass
class Project:
    """One project with a user, a network behind a router, and a security group that lets SSH in."""

    cloud: RealCloud
    api: Connection
    network: Any
    group: Any

    def boot(self, name: str, **more: Any) -> Any:
        """A running server of the smallest flavor; it is not yet ready to answer."""
        image = next(iter(self.api.image.images(name="tiny")))
        flavor = self.api.compute.find_flavor("m1.nano", ignore_missing=False)
        server = self.api.compute.create_server(
            name=name,
            image_id=image.id,
            flavor_id=flavor.id,
            networks=[{"uuid": self.network.id}],
            security_groups=[{"name": self.group.name}],
            key_name="demo",
            **more,
        )
        return self.api.compute.wait_for_server(server, interval=0.5, wait=BOOT_S)

    def port(self, server: Any) -> Any:
        return next(iter(self.api.network.ports(device_id=server.id)))

    def floating(self, server: Any) -> str:
        """A new floating address of a server."""
        public = self.api.network.find_network("public", ignore_missing=False)
        made = self.api.network.create_ip(floating_network_id=public.id, port_id=self.port(server).id)
        return str(made.floating_ip_address)

    def ready(self, server: Any, address: str) -> None:
        """Wait until SSH answers; its console is told when it does not."""
        try:
            until(lambda: self.answers(address))
        except TimeoutError:
            log = self.api.compute.get_server_console_output(server)["output"]
            raise AssertionError(f"no SSH at {address}; the console says:\n{log[-2000:]}") from None

    def answers(self, address: str) -> bool:
        try:
            self.cloud.ssh(address, "true", timeout_s=30)
        except Failure:
            return False
        return True


@pytest.fixture(scope="module")
def make_project(real_cloud: RealCloud) -> Iterator[Callable[[], Project]]:
    """Makes projects of the same shape; all that is in them is removed at the end."""
    operator = connect(real_cloud)
    admin: Any = operator.identity
    made: list[tuple[Any, Any, Project]] = []

    def make() -> Project:
        name = f"test-{secrets.token_hex(3)}"
        password = secrets.token_urlsafe(12)
        project = admin.create_project(name=name, domain_id="default")
        user = admin.create_user(name=name, password=password, domain_id="default")
        role = admin.find_role("member", ignore_missing=False)
        admin.assign_project_role_to_user(project=project, user=user, role=role)
        api = openstack.connect(
            auth_url=f"{real_cloud.url}/identity/v3",
            username=name,
            password=password,
            project_name=name,
            user_domain_name="Default",
            project_domain_name="Default",
            region_name="RegionOne",
        )
        api.compute.create_keypair(name="demo", public_key=real_cloud.key.with_suffix(".pub").read_text().strip())
        network, group = furnish(api)
        made.append((project, user, Project(real_cloud, api, network, group)))
        return made[-1][2]

    yield make
    for project, user, each in made:
        empty(each.api)
        for group in operator.network.security_groups(project_id=project.id):
            operator.network.delete_security_group(group)  # the default one, which only operators may delete
        admin.delete_user(user)
        admin.delete_project(project)


def furnish(api: Connection) -> tuple[Any, Any]:
    public = api.network.find_network("public", ignore_missing=False)
    network = api.network.create_network(name="inner")
    subnet = api.network.create_subnet(network_id=network.id, name="inner", ip_version=4, cidr=CIDR)
    router = api.network.create_router(name="edge", external_gateway_info={"network_id": public.id})
    api.network.add_interface_to_router(router, subnet=subnet.id)
    group = api.network.create_security_group(name="ssh")
    allow(api, group, protocol="tcp", port_range_min=22, port_range_max=22)
    return network, group


def allow(api: Connection, group: Any, **rule: Any) -> Any:
    return api.network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", ethertype="IPv4", **rule
    )


def empty(api: Connection) -> None:
    """Delete all that a project has."""
    servers = list(api.compute.servers(details=False))
    for server in servers:
        api.compute.delete_server(server)
    for server in servers:
        api.compute.wait_for_delete(server, interval=0.5, wait=120)
    for address in api.network.ips():
        api.network.delete_ip(address)
    for router in api.network.routers():
        for port in api.network.ports(device_id=router.id):
            with contextlib.suppress(openstack.exceptions.NotFoundException):
                api.network.remove_interface_from_router(router, port=port.id)
        api.network.delete_router(router)
    for network in api.network.networks(project_id=api.current_project_id):
        api.network.delete_network(network)
    for group in api.network.security_groups(project_id=api.current_project_id):
        if group.name != "default":
            api.network.delete_security_group(group)


@pytest.fixture(scope="module")
def project(make_project: Callable[[], Project]) -> Project:
    return make_project()


@pytest.fixture(scope="module")
def guest(project: Project) -> tuple[Any, str]:
    """A server that answers over SSH, and its floating address."""
    user_data = "#!/bin/sh\necho ran > /run/user-data-ran\n"
    server = project.boot("one", user_data=base64.b64encode(user_data.encode()).decode())
    address = project.floating(server)
    project.ready(server, address)
    return server, address


def test_guest_has_the_address_the_port_was_given(project: Project, guest: tuple[Any, str]) -> None:
    server, address = guest
    wanted = project.port(server).fixed_ips[0]["ip_address"]
    shown = project.cloud.ssh(address, "ip -4 -o address show dev eth0")
    assert f"{wanted}/24" in shown
    assert project.cloud.ssh(address, "cat /sys/class/net/eth0/mtu").strip() == str(project.network.mtu)


def test_metadata_sets_name_and_runs_user_data(project: Project, guest: tuple[Any, str]) -> None:
    _, address = guest
    assert project.cloud.ssh(address, "hostname").strip() == "one"
    assert project.cloud.ssh(address, "cat /run/user-data-ran").strip() == "ran"
    fetched = project.cloud.ssh(address, "timeout 10 wget -qO- http://169.254.169.254/latest/meta-data/local-ipv4")
    assert fetched.strip() == project.port(guest[0]).fixed_ips[0]["ip_address"]


def test_console_log_is_the_guests(project: Project, guest: tuple[Any, str]) -> None:
    assert "ready one" in project.api.compute.get_server_console_output(guest[0])["output"]


def test_security_group_blocks_until_a_rule_allows(project: Project, guest: tuple[Any, str]) -> None:
    server, address = guest
    pings = ("ping", "-c", "1", "-W", "2", address)
    with pytest.raises(Failure):
        project.cloud.outside(*pings)
    rule = allow(project.api, project.group, protocol="icmp")
    until(lambda: "1 received" in project.cloud.outside(*pings, check=False))
    project.api.network.delete_security_group_rule(rule)
    until(lambda: "1 received" not in project.cloud.outside(*pings, check=False))
    assert project.answers(address)
    assert server.status == "ACTIVE"


def test_projects_with_the_same_range_do_not_meet(
    project: Project, guest: tuple[Any, str], make_project: Callable[[], Project]
) -> None:
    other = make_project()
    server = other.boot("two")
    address = other.floating(server)
    other.ready(server, address)
    assert other.port(server).fixed_ips[0]["subnet_id"] != project.port(guest[0]).fixed_ips[0]["subnet_id"]
    inner = ipaddress.ip_address(project.port(guest[0]).fixed_ips[0]["ip_address"])
    if str(inner) == other.port(server).fixed_ips[0]["ip_address"]:
        return  # the very same address in both, each reached by its own floating one
    allow(project.api, project.group, protocol="icmp")
    lost = other.cloud.ssh(address, f"ping -c 2 -W 1 {inner} >/dev/null; echo $?").strip()
    assert lost != "0"
    assert not list(other.api.compute.servers(name="one"))
    assert other.api.compute.find_server(guest[0].id, ignore_missing=True) is None


def test_guest_killed_from_outside_is_shown_as_stopped_and_starts_again(
    project: Project, guest: tuple[Any, str]
) -> None:
    server, address = guest
    project.cloud.host.exec("virsh", "-q", "destroy", f"kumo-{server.id}")
    until(lambda: project.api.compute.get_server(server.id).status == "SHUTOFF", seconds=30)
    project.api.compute.start_server(server)
    until(lambda: project.api.compute.get_server(server.id).status == "ACTIVE", seconds=60)
    project.ready(server, address)


def test_deleted_server_leaves_nothing_on_the_host(project: Project) -> None:
    server = project.boot("short-lived")
    port = project.port(server)
    project.api.compute.delete_server(server)
    project.api.compute.wait_for_delete(server, interval=0.5, wait=60)
    host = project.cloud.host
    assert f"kumo-{server.id}" not in host.exec("virsh", "-q", "list", "--all", "--name")
    assert not (host.agent_state / "servers" / server.id).exists()
    assert project.api.network.find_port(port.id, ignore_missing=True) is None
    assert port.id not in host.exec("ovs-vsctl", "--columns=external_ids", "list", "interface")


def test_cloud_that_stopped_brings_back_what_ran(project: Project, guest: tuple[Any, str]) -> None:
    _, address = guest
    local.stop(project.cloud.site)
    assert not project.cloud.host.namespaces.exist
    start(project.cloud.site)
    until(lambda: project.answers(address))
