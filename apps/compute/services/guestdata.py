"""What a guest learns about itself: the metadata service's answers and the files of its config drive.

Sources: EC2's instance metadata of version 2009-04-04, and OpenStack's `openstack/<version>/…` as Nova and
cloud-init document them.
"""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import F

from apps.compute.models import Server, ServerPassword
from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.sealing import unseal
from apps.core.transactions import internal
from apps.network import selectors as network
from apps.network.models import FixedIp, Port

OPENSTACK_VERSIONS = (
    "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22", "2018-08-27",
    "2020-10-14", "latest",
)  # fmt: skip
EC2_VERSIONS = ("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01",
                "2008-09-01", "2009-04-04", "latest")  # fmt: skip
ROOT_DEVICE = "vda"


@internal("the host's view, which has checked that the guest is on the host that asks")
def metadata_for(ctx: RequestContext, *, server_id: UUID | str, path: str) -> bytes:
    """The answer to `GET http://169.254.169.254/<path>` of a guest. Raises NotFound."""
    server = Server.objects.get(pk=server_id)
    parts = [part for part in path.split("/") if part]
    tree: Any = _Lazy(server)
    if not parts:
        return "\n".join((*EC2_VERSIONS, "openstack")).encode()
    if parts[0] == "openstack":
        return _openstack(tree, parts[1:], path)
    if parts[0] in EC2_VERSIONS:
        return _ec2(tree, parts[1:], path)
    raise NotFound("metadata", path)


@internal("the host's view, which has checked that the server is on the host that asks")
def config_drive(ctx: RequestContext, *, server_id: UUID | str) -> dict[str, str]:
    """Files of the config drive by path, Base64."""
    server = Server.objects.get(pk=server_id)
    data = _Lazy(server)
    files = {f"openstack/latest/{name}": content for name, content in data.openstack_files(drive=True).items()}
    for version in ("2018-08-27",):
        files |= {f"openstack/{version}/{name}": content for name, content in data.openstack_files(drive=True).items()}
    files["ec2/latest/meta-data.json"] = json.dumps(data.ec2()).encode()
    if data.user_data:
        files["ec2/latest/user-data"] = data.user_data
    for index, content in enumerate(data.files.values()):
        files[f"openstack/content/{index:04}"] = content
    return {path: base64.b64encode(content).decode() for path, content in files.items()}


class _Lazy:
    """A server's data; the network's part is read once it is wanted."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.user_data = unseal(server.user_data_sealed) if server.user_data_sealed else b""
        once = json.loads(unseal(server.one_time_sealed)) if server.one_time_sealed else {}
        self.admin_pass: str = once.get("admin_pass", "")
        self.files = {path: base64.b64decode(text) for path, text in once.get("files", {}).items()}

    def password(self) -> bytes:
        """What the guest posted itself; on no drive, since it comes after the start."""
        kept = ServerPassword.objects.filter(server=self.server).values_list("encrypted", flat=True).first()
        return (kept or "").encode()

    def openstack_files(self, *, drive: bool = False) -> dict[str, bytes]:
        """Files below `openstack/<version>/`."""
        files = {
            "meta_data.json": json.dumps(self.meta_data(drive)).encode(),
            "network_data.json": json.dumps(self.network_data()).encode(),
            "vendor_data.json": b"{}",
            "vendor_data2.json": b"{}",
        }
        if self.user_data:
            files["user_data"] = self.user_data
        return files

    def meta_data(self, drive: bool) -> dict[str, Any]:
        """`meta_data.json`; the first password only on the drive, which nobody else on the network can ask for."""
        server = self.server
        found: dict[str, Any] = {
            "uuid": str(server.pk),
            "hostname": server.hostname,
            "name": server.name,
            "launch_index": server.launch_index,
            "availability_zone": server.zone,
            "project_id": str(server.project_id),
            "meta": server.metadata,
            "devices": self._devices(),
            "dedicated_cpus": [],
        }
        if server.public_key:
            found["public_keys"] = {server.key_name: server.public_key}
            found["keys"] = [{"name": server.key_name, "type": "ssh", "data": server.public_key}]
        if drive and self.admin_pass:
            found["admin_pass"] = self.admin_pass
        if self.files:
            found["files"] = [
                {"path": path, "content_path": f"/content/{index:04}"} for index, path in enumerate(self.files)
            ]
        return found

    def _devices(self) -> list[dict[str, Any]]:
        """Interfaces, and the root disk, that got a tag."""
        tags = dict(self.server.device_tags)
        disk = tags.pop(ROOT_DEVICE, None)
        ports = Port.objects.filter(pk__in=tags, server_id=self.server.pk)
        found = [{"type": "nic", "mac": port.mac_address, "tags": [tags[str(port.pk)]]} for port in ports]
        return [*found, {"type": "disk", "path": f"/dev/{ROOT_DEVICE}", "tags": [disk]}] if disk else found

    def network_data(self) -> dict[str, Any]:
        """`network_data.json`: links, networks and services."""
        ports = list(
            Port.objects.filter(server_id=self.server.pk)
            .select_related("network")
            .prefetch_related("fixed_ips__subnet")
            .order_by("nic_index", "created_at", "pk")
        )
        found: dict[str, Any] = {"links": [_link(port) for port in ports], "networks": [], "services": []}
        servers: list[str] = []
        for port in ports:
            for fixed in port.fixed_ips.all():
                found["networks"].append(_network(port, fixed, f"network{len(found['networks'])}"))
                servers += [one for one in fixed.subnet.dns_nameservers if one not in servers]
        found["services"] = [{"type": "dns", "address": one} for one in servers]
        return found

    def ec2(self) -> dict[str, Any]:
        """EC2's tree as nested dicts."""
        server = self.server
        shown = (
            Server.objects.filter(pk=server.pk)
            .annotate(ips=network.server_addresses(F("pk")), groups=network.security_groups_of_server(F("pk")))
            .values("ips", "groups")
            .get()
        )
        ips = shown["ips"] or []
        fixed = next((one["ip"] for one in ips if one["type"] == "fixed" and one["version"] == 4), "")
        floating = next((one["ip"] for one in ips if one["type"] == "floating"), "")
        tree: dict[str, Any] = {
            "ami-id": f"ami-{str(server.image_id or '')[:8]}",
            "ami-launch-index": str(server.launch_index),
            "ami-manifest-path": "(unknown)",
            "block-device-mapping": {"ami": ROOT_DEVICE, "root": f"/dev/{ROOT_DEVICE}"},
            "hostname": server.hostname,
            "instance-action": "none",
            "instance-id": f"i-{str(server.pk)[:8]}",
            "instance-type": server.flavor["name"],
            "local-hostname": server.hostname,
            "local-ipv4": fixed,
            "placement": {"availability-zone": server.zone},
            "public-hostname": server.hostname,
            "public-ipv4": floating,
            "reservation-id": server.reservation_id,
            "security-groups": "\n".join(shown["groups"] or ()),
        }
        if server.public_key:
            tree["public-keys"] = {f"0={server.key_name}": {"openssh-key": f"{server.public_key.strip()}\n"}}
        return tree


def _link(port: Port) -> dict[str, Any]:
    return {
        "id": f"tap{str(port.pk)[:11]}",
        "vif_id": str(port.pk),
        "type": "ovs",
        "mtu": port.network.mtu,
        "ethernet_mac_address": port.mac_address,
    }


def _network(port: Port, fixed: FixedIp, ident: str) -> dict[str, Any]:
    """One address; guests of a subnet with DHCP are told to ask for it."""
    subnet, family = fixed.subnet, f"ipv{fixed.subnet.ip_version}"
    common = {"id": ident, "link": f"tap{str(port.pk)[:11]}", "network_id": str(port.network_id)}
    if subnet.enable_dhcp:
        return common | {"type": f"{family}_dhcp"}
    prefix = ipaddress.ip_network(str(subnet.cidr))
    anywhere = ("0.0.0.0", "0.0.0.0") if subnet.ip_version == 4 else ("::", "::")  # noqa: S104 - a route, not a bind
    routes = [
        {"network": str(target.network_address), "netmask": str(target.netmask), "gateway": route["nexthop"]}
        for route in subnet.host_routes
        for target in (ipaddress.ip_network(route["destination"]),)
    ]
    if subnet.gateway_ip:
        routes.append({"network": anywhere[0], "netmask": anywhere[1], "gateway": subnet.gateway_ip})
    return common | {
        "type": family,
        "ip_address": str(fixed.address),
        "netmask": str(prefix.netmask),
        "routes": routes,
        "services": [{"type": "dns", "address": one} for one in subnet.dns_nameservers],
    }


def _openstack(data: _Lazy, parts: list[str], path: str) -> bytes:
    if not parts:
        return "\n".join(OPENSTACK_VERSIONS).encode()
    if parts[0] == "content" and len(parts) == 2 and parts[1].isdigit():
        contents = list(data.files.values())
        if int(parts[1]) < len(contents):
            return contents[int(parts[1])]
        raise NotFound("metadata", path)
    if parts[0] not in OPENSTACK_VERSIONS:
        raise NotFound("metadata", path)
    files = data.openstack_files()
    if parts[0] != OPENSTACK_VERSIONS[0]:
        files["password"] = data.password()
    if len(parts) == 1:
        return "\n".join(sorted(files)).encode()
    if len(parts) == 2 and parts[1] in files:
        return files[parts[1]]
    raise NotFound("metadata", path)


def _ec2(data: _Lazy, parts: list[str], path: str) -> bytes:
    if not parts:
        return b"meta-data/\nuser-data" if data.user_data else b"meta-data/"
    if parts == ["user-data"] and data.user_data:
        return data.user_data
    if parts[0] != "meta-data":
        raise NotFound("metadata", path)
    node: Any = data.ec2()
    for part in parts[1:]:
        node = _child(node, part)
        if node is None:
            raise NotFound("metadata", path)
    return _listing(node) if isinstance(node, Mapping) else str(node).encode()


def _child(node: Any, part: str) -> Any:
    if not isinstance(node, Mapping):
        return None
    if part in node:
        return node[part]
    return next((value for key, value in node.items() if key.split("=", 1)[0] == part), None)  # `0` for `0=name`


def _listing(node: Mapping[str, Any]) -> bytes:
    """Names below a node; those that have names below them end with a slash, except keys' numbers."""
    names = [
        name if not isinstance(value, Mapping) or "=" in name else f"{name}/" for name, value in sorted(node.items())
    ]
    return "\n".join(names).encode()
