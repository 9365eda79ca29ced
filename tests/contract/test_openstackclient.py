"""What people type: the commands of the unmodified client, noun by noun, against a running cloud."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import CommandFailed, openstack

pytestmark = pytest.mark.contract
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def demo(real_cloud: Any) -> Run:
    """An ordinary user's client."""
    return lambda *words: openstack(real_cloud.clouds, "kumo-demo", *words)


@pytest.fixture(scope="module")
def admin(real_cloud: Any) -> Run:
    """The administrator's client."""
    return lambda *words: openstack(real_cloud.clouds, "kumo-admin", *words)


@pytest.fixture
def name() -> str:
    return f"contract-{uuid.uuid4().hex[:8]}"


def quiet(run: Run, *words: str) -> None:
    run(*words, "--quiet")


def names(rows: list[dict[str, Any]]) -> set[str]:
    return {row["Name"] for row in rows}


# --- identity ---------------------------------------------------------------------------------------


def test_token_and_catalogue(demo: Run) -> None:
    assert demo("token", "issue")["project_id"]
    found = {entry["Type"] for entry in demo("catalog", "list")}
    assert {"identity", "compute", "image", "network", "placement"} <= found


@pytest.mark.parametrize("noun", ["domain", "project", "user", "group", "role"])
def test_identity_nouns_live_and_die(admin: Run, noun: str, name: str) -> None:
    made = admin(noun, "create", name)
    assert admin(noun, "show", name)["id"] == made["id"]
    assert name in names(admin(noun, "list"))
    quiet(admin, noun, "set", "--description", "of a test", name)
    if noun == "domain":
        quiet(admin, noun, "set", "--disable", name)
    quiet(admin, noun, "delete", name)
    assert name not in names(admin(noun, "list"))


def test_roles_are_given_and_taken(admin: Run, name: str) -> None:
    admin("project", "create", name)
    admin("user", "create", "--password", "Kumo-1234", name)
    try:
        quiet(admin, "role", "add", "--user", name, "--project", name, "reader")
        assert len(admin("role", "assignment", "list", "--user", name, "--names")) == 1
        quiet(admin, "role", "remove", "--user", name, "--project", name, "reader")
        assert admin("role", "assignment", "list", "--user", name) == []
    finally:
        quiet(admin, "user", "delete", name)
        quiet(admin, "project", "delete", name)


def test_a_member_may_not_make_users(demo: Run, name: str) -> None:
    with pytest.raises(CommandFailed, match="403"):
        demo("user", "create", name)


@pytest.mark.parametrize("words", [("region", "list"), ("service", "list"), ("endpoint", "list"), ("versions", "show")])
def test_catalogue_lists(admin: Run, words: tuple[str, ...]) -> None:
    assert admin(*words)


# --- image ------------------------------------------------------------------------------------------


def test_image_is_uploaded_saved_and_deleted(demo: Run, name: str, tmp_path: Path) -> None:
    source, copy = tmp_path / "disk.raw", tmp_path / "copy.raw"
    source.write_bytes(bytes(range(256)) * 4096)
    demo("image", "create", "--disk-format", "raw", "--file", str(source), "--property", "os_distro=none", name)
    try:
        shown = demo("image", "show", name)
        assert (shown["status"], shown["size"]) == ("active", 1 << 20)
        quiet(demo, "image", "set", "--property", "colour=red", "--tag", "t1", name)
        assert demo("image", "show", name)["properties"]["colour"] == "red"
        quiet(demo, "image", "save", "--file", str(copy), name)
        assert copy.read_bytes() == source.read_bytes()
        assert name in names(demo("image", "list"))
    finally:
        quiet(demo, "image", "delete", name)
    with pytest.raises(CommandFailed):
        demo("image", "show", name)


# --- network ----------------------------------------------------------------------------------------


@pytest.fixture
def network(demo: Run, name: str) -> Iterator[str]:
    demo("network", "create", name)
    demo("subnet", "create", "--network", name, "--subnet-range", "10.77.0.0/24", name)
    yield name
    for port in demo("port", "list", "--network", name):
        if port.get("Status") != "N/A":
            try:
                quiet(demo, "port", "delete", port["ID"])
            except CommandFailed:
                continue
    quiet(demo, "network", "delete", name)


def test_network_and_subnet(demo: Run, network: str) -> None:
    assert demo("network", "show", network)["mtu"] == 1442
    quiet(demo, "network", "set", "--description", "d", network)
    quiet(demo, "subnet", "set", "--dns-nameserver", "10.77.0.1", network)
    assert demo("subnet", "show", network)["dns_nameservers"] == ["10.77.0.1"]
    assert network in names(demo("network", "list"))
    assert network in names(demo("subnet", "list"))


def test_port(demo: Run, network: str) -> None:
    demo("port", "create", "--network", network, "--fixed-ip", "ip-address=10.77.0.50", "p1")
    shown = demo("port", "show", "p1")
    assert shown["fixed_ips"][0]["ip_address"] == "10.77.0.50"
    with pytest.raises(CommandFailed, match="409"):
        demo("port", "create", "--network", network, "--fixed-ip", "ip-address=10.77.0.50", "p2")
    quiet(demo, "port", "set", "--no-security-group", "p1")
    quiet(demo, "port", "delete", "p1")


def test_router_and_floating_ip(demo: Run, network: str) -> None:
    demo("router", "create", network)
    try:
        quiet(demo, "router", "set", "--external-gateway", "public", network)
        quiet(demo, "router", "add", "subnet", network, network)
        demo("port", "create", "--network", network, "fp")
        address = demo("floating", "ip", "create", "public")["floating_ip_address"]
        quiet(demo, "floating", "ip", "set", "--port", "fp", address)
        assert demo("floating", "ip", "show", address)["fixed_ip_address"].startswith("10.77.0.")
        with pytest.raises(CommandFailed, match="409"):
            demo("router", "delete", network, "--quiet")
        quiet(demo, "floating", "ip", "unset", "--port", address)
        quiet(demo, "floating", "ip", "delete", address)
        quiet(demo, "port", "delete", "fp")
        quiet(demo, "router", "remove", "subnet", network, network)
        quiet(demo, "router", "unset", "--external-gateway", network)
    finally:
        quiet(demo, "router", "delete", network)


def test_security_group(demo: Run, name: str) -> None:
    demo("security", "group", "create", name)
    rule = demo("security", "group", "rule", "create", "--protocol", "tcp", "--dst-port", "80:90", name)
    assert rule["port_range_max"] == 90
    assert len(demo("security", "group", "rule", "list", name)) == 3
    quiet(demo, "security", "group", "rule", "delete", rule["id"])
    quiet(demo, "security", "group", "delete", name)


# --- compute ----------------------------------------------------------------------------------------


def test_flavor_of_an_administrator(admin: Run, demo: Run, name: str) -> None:
    admin("flavor", "create", "--ram", "64", "--disk", "1", "--vcpus", "1", name)
    quiet(admin, "flavor", "set", "--property", "hw:boot_menu=false", name)
    assert name in names(demo("flavor", "list"))
    with pytest.raises(CommandFailed, match="403"):
        quiet(demo, "flavor", "delete", name)
    quiet(admin, "flavor", "delete", name)


def test_keypair(demo: Run, name: str) -> None:
    quiet(demo, "keypair", "create", name)
    assert demo("keypair", "show", name)["fingerprint"]
    assert name in names(demo("keypair", "list"))
    quiet(demo, "keypair", "delete", name)


@pytest.mark.parametrize(
    "words",
    [
        ("hypervisor", "list"),
        ("hypervisor", "show", "host-1"),
        ("hypervisor", "stats", "show"),
        ("compute", "service", "list"),
        ("availability", "zone", "list"),
        ("host", "list"),
        ("resource", "provider", "list"),
        ("quota", "show"),
        ("limits", "show", "--absolute"),
        ("usage", "list"),
        ("extension", "list"),
        ("network", "agent", "list"),
    ],
    ids=" ".join,
)
def test_operators_lists(admin: Run, words: tuple[str, ...]) -> None:
    assert isinstance(admin(*words), list | dict)


def test_life_of_a_server(demo: Run, name: str) -> None:
    image = next(i for i in demo("image", "list") if i["Status"] == "active")["ID"]
    flavor = min(demo("flavor", "list"), key=lambda f: f["RAM"])["ID"]
    create = ("server", "create", "--image", image, "--flavor", flavor, "--network", "private", "--wait", name)
    assert demo(*create)["status"] == "ACTIVE"
    try:
        assert "private" in demo("server", "show", name)["addresses"]
        assert name in names(demo("server", "list"))
        quiet(demo, "server", "set", "--property", "colour=red", name)
        assert demo("server", "show", name)["properties"] == {"colour": "red"}
        assert demo("console", "url", "show", name)["url"].startswith("http")
        demo("console", "log", "show", name, "--quiet")
        for verb, state in (
            (("pause",), "PAUSED"),
            (("unpause",), "ACTIVE"),
            (("suspend",), "SUSPENDED"),
            (("resume",), "ACTIVE"),
            (("stop",), "SHUTOFF"),
            (("start",), "ACTIVE"),
            (("reboot", "--hard", "--wait"), "ACTIVE"),
        ):
            quiet(demo, "server", *verb, name)
            wait_for_status(demo, name, state)
        quiet(demo, "server", "lock", name)
        quiet(demo, "server", "unlock", name)
        actions = {event["Action"] for event in demo("server", "event", "list", name)}
        assert {"create", "stop", "start", "reboot"} <= actions
    finally:
        quiet(demo, "server", "delete", "--wait", name)
    assert name not in names(demo("server", "list"))


def wait_for_status(run: Run, name: str, wanted: str) -> None:
    """Bounded: each look takes the client about a tenth of a second."""
    for _ in range(600):
        shown = run("server", "show", name)
        if shown["status"] == wanted:
            return
        assert shown["status"] != "ERROR", shown.get("fault")
    raise AssertionError(f"{name} did not become {wanted}: {shown['status']}")
