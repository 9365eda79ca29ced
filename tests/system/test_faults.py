"""What goes wrong on a running cloud: told in words, mended, and nothing changed or left behind."""

from __future__ import annotations

import contextlib
import os
import secrets
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack.exceptions import ForbiddenException, HttpException

from agents.layout import Layout
from scripts.local.host import AGENT_STATE
from tests.kit.cloud import RealCloud, connect
from tests.kit.waiting import until

pytestmark = pytest.mark.system

FOREIGN_GUEST = """<domain type='qemu'><name>foreign</name><memory unit='MiB'>16</memory>
<os><type arch='x86_64'>hvm</type></os></domain>"""


@pytest.fixture(scope="module")
def demo(real_cloud: RealCloud) -> Any:
    return connect(real_cloud, "demo")


def create(api: Any, name: str, **more: Any) -> Any:
    """A new server of the smallest flavor, not waited for."""
    image = more.pop("image", None) or next(iter(api.image.images(name="tiny")))
    network = api.network.find_network("private", ignore_missing=False)
    flavor = api.compute.find_flavor("m1.nano", ignore_missing=False)
    return api.compute.create_server(
        name=name, image_id=image.id, flavor_id=flavor.id, networks=[{"uuid": network.id}], **more
    )


def becomes(api: Any, server: Any, status: str) -> Any:
    """Wait until the server is so, and return it."""
    until(lambda: api.compute.get_server(server.id).status == status)
    return api.compute.get_server(server.id)


def gone(api: Any, server: Any) -> None:
    until(lambda: api.compute.find_server(server.id, ignore_missing=True) is None)


def delete(api: Any, server: Any) -> None:
    api.compute.delete_server(server)
    gone(api, server)


@pytest.fixture
def server(demo: Any) -> Iterator[Any]:
    """A running server."""
    made = create(demo, "healthy")
    yield becomes(demo, made, "ACTIVE")
    with contextlib.suppress(HttpException):
        delete(demo, made)


# --- disagreements -------------------------------------------------------------------------------------


def test_doctor_tells_every_disagreement_and_mends_it(real_cloud: RealCloud, demo: Any, server: Any) -> None:
    port = next(iter(demo.network.ports(device_id=server.id)))
    stranger, file = str(uuid.uuid4()), real_cloud.state / "images" / str(uuid.uuid4())
    assert real_cloud.manage("doctor") == ""
    real_cloud.northbound("lsp-del", port.id)
    file.write_bytes(b"x")
    os.utime(file, (1, 1))
    real_cloud.query(
        "INSERT INTO hosts_claim (consumer_id, host_id, project_id, vcpus, ram_mib, disk_gib, decision) "
        f"SELECT '{stranger}', id, 'p', 1, 1, 1, '{{}}' FROM hosts_host"
    )

    told = real_cloud.manage("doctor")
    for words in (
        f"claims: host-1 has a claim of server {stranger}, which does not exist",
        "hosts: host-1: ",
        f"images: file {file.name} belongs to no image",
        port.id,
    ):
        assert words in told
    assert file.exists()
    assert port.id not in real_cloud.northbound("show")
    real_cloud.manage("doctor", "--repair")
    assert real_cloud.manage("doctor") == ""
    assert port.id in real_cloud.northbound("show")
    assert not file.exists()


def test_guest_that_vanished_is_made_again(real_cloud: RealCloud, demo: Any, server: Any) -> None:
    name = f"kumo-{server.id}"
    real_cloud.host.exec("virsh", "-q", "destroy", name)
    real_cloud.host.exec("virsh", "-q", "undefine", name, "--nvram")
    real_cloud.manage("doctor", "--repair")
    until(lambda: name in real_cloud.host.exec("virsh", "-q", "list", "--name", "--all"))
    until(lambda: real_cloud.manage("doctor") == "")
    assert demo.compute.get_server(server.id).status in {"ACTIVE", "SHUTOFF"}


def test_what_is_not_ours_stays_and_what_the_database_never_knew_is_only_told(real_cloud: RealCloud) -> None:
    host, unknown = real_cloud.host, str(uuid.uuid4())
    definition = host.agent_state / "foreign.xml"
    definition.write_text(FOREIGN_GUEST)
    directory = Layout(host.agent_state).guest(unknown).directory
    host.exec("virsh", "-q", "define", AGENT_STATE / definition.name)
    real_cloud.northbound("ls-add", "foreign")
    try:
        assert real_cloud.manage("doctor", "--repair") == ""
        directory.mkdir()
        line = f"report {unknown}: disks with our mark that the database never knew"
        assert real_cloud.manage("reconcile", "host-1", "--dry-run") == f"guests: {line}\n"
        assert line in real_cloud.manage("doctor", "--repair")
        assert directory.exists()
        assert "foreign" in host.exec("virsh", "-q", "list", "--all", "--name").split()
        assert "foreign" in real_cloud.northbound("ls-list")
    finally:
        host.exec("virsh", "-q", "undefine", "foreign", check=False)
        real_cloud.northbound("--if-exists", "ls-del", "foreign")
        definition.unlink()
        with contextlib.suppress(FileNotFoundError):
            directory.rmdir()


def test_left_over_directory_of_a_deleted_server_is_removed(real_cloud: RealCloud, demo: Any, server: Any) -> None:
    delete(demo, server)
    directory = real_cloud.host.agent_state / "servers" / server.id
    directory.mkdir()
    real_cloud.manage("reconcile", "host-1")
    until(lambda: not directory.exists())
    assert real_cloud.manage("doctor") == ""


# --- bad input on a running system ---------------------------------------------------------------------


def leaves_nothing(cloud: RealCloud, api: Any, server: Any) -> None:
    """A server in ERROR has no guest, no disks and no claim; and it can be deleted."""
    assert f"kumo-{server.id}" not in cloud.host.exec("virsh", "-q", "list", "--all", "--name")
    assert not (cloud.host.agent_state / "servers" / server.id).exists()
    assert cloud.query(f"SELECT 1 FROM hosts_claim WHERE consumer_id = '{server.id}'") == []
    assert cloud.manage("doctor") == ""
    delete(api, server)
    assert not list(api.network.ports(device_id=server.id))


def test_full_disk_of_a_host_is_said(real_cloud: RealCloud, demo: Any) -> None:
    images = AGENT_STATE / "images"
    real_cloud.host.exec("mount", "-t", "tmpfs", "-o", "size=1m,mode=0711", "full", images)
    try:
        failed = becomes(demo, create(demo, "no-room"), "ERROR")
    finally:
        real_cloud.host.exec("umount", images)
    assert "no room for image" in failed.fault["message"]
    leaves_nothing(real_cloud, demo, failed)


def test_corrupt_image_is_refused_by_the_host(real_cloud: RealCloud, demo: Any, tmp_path: Path) -> None:
    file = tmp_path / "image.raw"
    file.write_bytes(secrets.token_bytes(1 << 20))
    image = demo.image.create_image("rotten", filename=str(file), disk_format="raw", container_format="bare", wait=True)
    try:
        with (real_cloud.state / "images" / image.id).open("r+b") as kept:
            kept.seek(4096)
            kept.write(bytes(64))
        failed = becomes(demo, create(demo, "rotten", image=image), "ERROR")
        assert f"image {image.id} is corrupt" in failed.fault["message"]
        leaves_nothing(real_cloud, demo, failed)
    finally:
        demo.image.delete_image(image)


def test_host_that_is_down_takes_no_servers_and_removes_its_own_when_it_returns(
    real_cloud: RealCloud, demo: Any, server: Any
) -> None:
    agent = real_cloud.host.service_name("agent")
    up = "SELECT state FROM hosts_host"
    real_cloud.supervisor.sv("down", names=[agent])
    try:
        until(lambda: real_cloud.query(up) == ["down"], seconds=90)
        assert real_cloud.manage("doctor", "--only", "hosts").startswith("hosts: host-1: does not answer")
        refused = becomes(demo, create(demo, "nowhere"), "ERROR")
        assert refused.fault["message"].startswith("No valid host was found. Hosts left after each check: ")
        delete(demo, refused)
        demo.compute.delete_server(server)
        assert f"kumo-{server.id}" in real_cloud.host.exec("virsh", "-q", "list", "--all", "--name")
        assert demo.compute.get_server(server.id).task_state == "deleting"
    finally:
        real_cloud.supervisor.sv("up", names=[agent])
    gone(demo, server)
    until(lambda: real_cloud.query(up) == ["up"])
    assert real_cloud.manage("doctor") == ""


def test_exceeded_quota_is_refused_and_nothing_is_made(real_cloud: RealCloud, demo: Any) -> None:
    admin: Any = connect(real_cloud)
    used = len(list(demo.compute.servers()))
    ports = len(list(demo.network.ports()))
    admin.compute.update_quota_set(demo.current_project_id, instances=used)
    try:
        with pytest.raises(ForbiddenException, match="Quota exceeded"):
            create(demo, "too-much")
    finally:
        admin.compute.revert_quota_set(demo.current_project_id)
    assert len(list(demo.compute.servers())) == used
    assert len(list(demo.network.ports())) == ports


def test_revoked_token_is_refused(real_cloud: RealCloud) -> None:
    token = connect(real_cloud, "demo").auth_token
    assert token
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    path = f"{real_cloud.url}/identity/v3/auth/tokens"
    open_url(urllib.request.Request(path, method="DELETE", headers=headers))
    with pytest.raises(urllib.error.HTTPError, match="401"):
        open_url(urllib.request.Request(f"{real_cloud.url}/compute/v2.1/servers", headers=headers))


def open_url(request: urllib.request.Request) -> None:
    """Without the machine's proxies."""
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30).close()
