"""The first flavors, the external network and the server `demo`, made through the public API as any user would.

Runs with the unmodified OpenStack SDK. What exists is left as it is, so that a repeat mends and reuses.
"""

from __future__ import annotations

import argparse
import hashlib
import ipaddress
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import openstack
from openstack.connection import Connection
from openstack.exceptions import SDKException

from scripts.local.progress import step

# name -> virtual CPUs, MiB of memory, GiB of disk
FLAVORS = {
    "m1.nano": (1, 128, 1),
    "m1.micro": (1, 256, 1),
    "m1.tiny": (1, 512, 1),
    "m1.small": (1, 2048, 20),
    "m1.medium": (2, 4096, 40),
    "m1.large": (4, 8192, 80),
}
FIRST_FLOATING, LAST_FLOATING = 50, -6  # of the external range; what is outside stays free for the machine
PRIVATE_RANGE = "10.10.0.0/24"
DEMO_RULES: tuple[dict[str, Any], ...] = (
    {"protocol": "icmp", "remote_ip_prefix": "0.0.0.0/0"},
    {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22, "remote_ip_prefix": "0.0.0.0/0"},
)
BOOT_S = 180


def make_flavors(admin: Connection) -> None:
    there = {flavor.name for flavor in admin.compute.flavors(details=False)}
    for name, (vcpus, ram, disk) in FLAVORS.items():
        if name not in there:
            admin.compute.create_flavor(name=name, vcpus=vcpus, ram=ram, disk=disk)


def make_external_network(admin: Connection, external: ipaddress.IPv4Network) -> Any:
    network = admin.network.find_network("public") or admin.network.create_network(
        name="public",
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network="physnet1",
    )
    if not list(admin.network.subnets(network_id=network.id)):
        admin.network.create_subnet(
            network_id=network.id,
            name="public",
            ip_version=4,
            cidr=str(external),
            gateway_ip=str(external[1]),
            is_dhcp_enabled=False,
            allocation_pools=[{"start": str(external[FIRST_FLOATING]), "end": str(external[LAST_FLOATING])}],
        )
    return network


def upload_image(admin: Connection, path: Path) -> Any:
    """The image of this file; one of an older build under the same name makes room."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for image in admin.image.images(name="tiny"):
        if image.hash_value == digest or image.properties.get("kumo_sha256") == digest:
            return image
        admin.image.update_image(image.id, name=f"tiny-{image.created_at}", visibility="private")
    image = admin.image.create_image(
        "tiny",
        filename=str(path),
        disk_format="qcow2",
        container_format="bare",
        visibility="public",
        min_ram=64,
        kumo_sha256=digest,
        wait=True,
        validate_checksum=True,
    )
    return admin.image.get_image(image.id)


def make_private_network(demo: Connection, public: Any) -> Any:
    """Network, subnet and router of the project; the network."""
    network = demo.network.find_network("private", ignore_missing=True) or demo.network.create_network(name="private")
    subnet = next(iter(demo.network.subnets(network_id=network.id)), None) or demo.network.create_subnet(
        network_id=network.id, name="private", ip_version=4, cidr=PRIVATE_RANGE
    )
    router = demo.network.find_router("router", ignore_missing=True) or demo.network.create_router(
        name="router", external_gateway_info={"network_id": public.id}
    )
    joined = demo.network.ports(device_id=router.id, network_id=network.id)
    if not list(joined):
        demo.network.add_interface_to_router(router, subnet=subnet.id)
    return network


def open_doors(demo: Connection) -> None:
    """SSH and ping from everywhere in the project's default security group."""
    group = next(g for g in demo.network.security_groups(name="default", project_id=demo.current_project_id))
    there = {
        (rule.protocol, rule.port_range_min, rule.remote_ip_prefix)
        for rule in demo.network.security_group_rules(security_group_id=group.id, direction="ingress")
    }
    for rule in DEMO_RULES:
        if (rule["protocol"], rule.get("port_range_min"), rule["remote_ip_prefix"]) not in there:
            demo.network.create_security_group_rule(
                security_group_id=group.id, direction="ingress", ethertype="IPv4", **rule
            )


def make_key(demo: Connection, public_key: str) -> None:
    there = demo.compute.find_keypair("demo", ignore_missing=True)
    if there and there.public_key.split()[:2] != public_key.split()[:2]:
        demo.compute.delete_keypair(there)
        there = None
    if not there:
        demo.compute.create_keypair(name="demo", public_key=public_key)


def boot(demo: Connection, image: Any, network: Any) -> Any:
    """The server `demo`, running."""
    server = demo.compute.find_server("demo", ignore_missing=True)
    if server is None:
        flavor = demo.compute.find_flavor("m1.nano", ignore_missing=False)
        server = demo.compute.create_server(
            name="demo", image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}], key_name="demo"
        )
    return demo.compute.wait_for_server(server, interval=0.5, wait=BOOT_S)


def floating_address(demo: Connection, server: Any, public: Any) -> str:
    """An address of the external network that leads to the server."""
    port = next(iter(demo.network.ports(device_id=server.id)))
    there = next(iter(demo.network.ips(port_id=port.id)), None)
    if there is None:
        there = demo.network.create_ip(floating_network_id=public.id, port_id=port.id)
    return str(there.floating_ip_address)


def wait_for_ssh(address: str, key: Path) -> None:
    """Sign in over SSH. Raises TimeoutError."""
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=3", "BatchMode=yes")
    words = ["ssh", "-q", "-i", str(key), *(w for o in options for w in ("-o", o)), f"root@{address}", "uname -n"]
    end = time.monotonic() + BOOT_S
    while subprocess.run(words, check=False, capture_output=True, timeout=30).returncode:
        if time.monotonic() > end:
            raise TimeoutError(f"no SSH at {address} within {BOOT_S} s")
        time.sleep(0.5)


def make_demo(admin: Connection, public: Any, given: argparse.Namespace) -> None:
    """Everything of the project demo, up to SSH."""
    demo = openstack.connect(cloud="kumo-demo")
    with step("guest image uploaded"):
        image = upload_image(admin, given.image)
    with step("network, router, security group, key pair"):
        network = make_private_network(demo, public)
        open_doors(demo)
        make_key(demo, given.key.with_suffix(".pub").read_text().strip())
    with step("server demo is ACTIVE"):
        server = boot(demo, image, network)
    if server.status != "ACTIVE":
        return
    address = floating_address(demo, server, public)
    given.key.with_name("demo_address").write_text(f"{address}\n")
    if not given.no_ssh:
        with step(f"SSH into demo at {address}"):
            wait_for_ssh(address, given.key)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--external", type=ipaddress.IPv4Network, required=True)
    parser.add_argument("--image", type=Path, help="guest image; without it no demo is made")
    parser.add_argument("--key", type=Path, help="private key of the demo; the public one is beside it")
    parser.add_argument("--no-ssh", action="store_true", help="do not wait for SSH")
    given = parser.parse_args()
    try:
        admin = openstack.connect(cloud="kumo-admin")
        with step("flavors and external network"):
            make_flavors(admin)
            public = make_external_network(admin, given.external)
        if given.image:
            make_demo(admin, public, given)
    except (SDKException, TimeoutError, StopIteration) as error:
        sys.stderr.write(f"\nfailed: {error}\n  next: read the logs in the state directory, then run it again\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
