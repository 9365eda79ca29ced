"""Rebuilding a server through the API: what it takes by version, what stays, what is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from apps.compute.models import Server
from apps.core.sealing import unseal
from apps.network.models import Port
from apps.operations.models import Operation
from tests.apps.compute.conftest import GIB, Cloud, settle

KIND = "compute.server.rebuild"
USER_DATA = base64.b64encode(b"#!/bin/sh").decode()


def version(minor: int) -> dict[str, str]:
    return {"OpenStack-API-Version": f"compute 2.{minor}"}


def rebuild(call: Any, cloud: Cloud, server: Server, minor: int = 100, **more: Any) -> Any:
    body = {"rebuild": {"imageRef": str(cloud.image.pk)} | more}
    return call(cloud.ctx)("POST", f"/servers/{server.pk}/action", body, **version(minor))


def test_new_image_with_the_same_id_ports_and_size(cloud: Cloud, call: Any) -> None:
    server = cloud.active(metadata={"a": "1"})
    port, image = Port.objects.get(server_id=server.pk), cloud.other_image()
    answer = rebuild(call, cloud, server, imageRef=str(image.pk), name="new", metadata={"b": "2"}, adminPass="secret")
    assert answer.status_code == 202
    shown = answer.json()["server"]
    assert (shown["id"], shown["status"], shown["adminPass"]) == (str(server.pk), "REBUILD", "secret")
    assert answer["Location"].endswith(f"/servers/{server.pk}")
    settle()
    api = call(cloud.ctx)
    shown = api("GET", f"/servers/{server.pk}", **version(100)).json()["server"]
    assert (shown["status"], shown["name"], shown["metadata"]) == ("ACTIVE", "new", {"b": "2"})
    assert shown["image"]["id"] == str(image.pk)
    assert Port.objects.get(server_id=server.pk) == port
    asked = [(verb, body) for verb, body in cloud.hypervisor.asked if verb != "compute.ensure_disks"][1:]
    assert [(verb, body.get("power")) for verb, body in asked] == [
        ("compute.ensure_domain", "shutoff"), ("compute.rebuild_disks", None), ("compute.ensure_domain", "running"),
    ]  # fmt: skip
    assert asked[1][1]["image"]["image_id"] == str(image.pk)
    assert asked[1][1]["generation"] == server.generation + 1
    assert asked[0][1]["hard_stop_after_s"] == 0


def test_server_that_is_off_stays_off(cloud: Cloud, call: Any) -> None:
    server = cloud.active()
    Server.objects.update(state="shutoff", power="shutoff")
    assert rebuild(call, cloud, server, preserve_ephemeral=True).json()["server"]["status"] == "REBUILD"
    settle()
    server.refresh_from_db()
    assert (server.state, cloud.hypervisor.guests[str(server.pk)]["power"]) == ("shutoff", "shutoff")
    disks = next(body for verb, body in cloud.hypervisor.asked if verb == "compute.rebuild_disks")
    assert disks["keep_ephemeral"] is True


def test_addresses_are_plain_before_2_75(cloud: Cloud, call: Any) -> None:
    server = cloud.active()
    for minor, names in (
        (74, {"version", "addr"}),
        (75, {"version", "addr", "OS-EXT-IPS:type", "OS-EXT-IPS-MAC:mac_addr"}),
    ):
        put = call(cloud.ctx)("PUT", f"/servers/{server.pk}", {"server": {"name": "new"}}, **version(minor))
        assert set(put.json()["server"]["addresses"]["net"][0]) == names
        assert set(rebuild(call, cloud, server, minor).json()["server"]["addresses"]["net"][0]) == names
        settle()


SINCE = [
    (19, {"description": "x"}),
    (54, {"key_name": None}),
    (57, {"user_data": USER_DATA}),
    (90, {"hostname": "chosen"}),
    (94, {"hostname": "chosen.example.org"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("minor", "more"), SINCE)
def test_member_is_taken_since_its_version(cloud: Cloud, call: Any, minor: int, more: dict[str, Any]) -> None:
    server = cloud.active()
    assert rebuild(call, cloud, server, minor - 1, **more).status_code == 400
    assert not Operation.objects.filter(kind=KIND).exists()
    assert rebuild(call, cloud, server, minor, **more).status_code == 202


def test_personality_until_2_56_and_certificates_never(cloud: Cloud, call: Any) -> None:
    server = cloud.active()
    files = [{"path": "/x", "contents": base64.b64encode(b"x").decode()}]
    assert rebuild(call, cloud, server, 57, personality=files).status_code == 400
    assert rebuild(call, cloud, server, 63, trusted_image_certificates=["one"]).status_code == 400
    assert not Operation.objects.filter(kind=KIND).exists()
    assert rebuild(call, cloud, server, 56, personality=files, adminPass="secret").status_code == 202
    server.refresh_from_db()
    assert server.one_time_sealed is not None
    kept = json.loads(unseal(server.one_time_sealed))
    assert (kept["admin_pass"], list(kept["files"])) == ("secret", ["/x"])


def test_key_and_user_data_are_replaced_and_shown(cloud: Cloud, call: Any) -> None:
    from tests.apps.compute.test_guestdata import KEY

    server, api = cloud.active(user_data=USER_DATA), call(cloud.ctx)
    api("POST", "/os-keypairs", {"keypair": {"name": "mine", "public_key": KEY}})
    shown = rebuild(call, cloud, server, 57, key_name="mine", user_data=None).json()["server"]
    assert (shown["key_name"], shown["user_data"]) == ("mine", None)
    assert "key_name" not in rebuild_shown(call, cloud, 53)
    settle()
    server.refresh_from_db()
    assert (server.public_key.split()[0], server.user_data_sealed) == ("ssh-ed25519", None)


def rebuild_shown(call: Any, cloud: Cloud, minor: int) -> dict[str, Any]:
    found: dict[str, Any] = rebuild(call, cloud, cloud.active(name="another"), minor).json()["server"]
    return found


REFUSED = [
    ({"imageRef": "11111111-1111-1111-1111-111111111111"}, 400),
    ({"imageRef": "no-uuid"}, 400),
    ({"unknown": 1}, 400),
    ({"key_name": "nobody's"}, 400),
    ({"metadata": {f"k{number}": "v" for number in range(129)}}, 403),
]


@pytest.mark.slow
@pytest.mark.parametrize(("more", "status"), REFUSED)
def test_what_is_refused_changes_nothing(cloud: Cloud, call: Any, more: dict[str, Any], status: int) -> None:
    server = cloud.active()
    assert rebuild(call, cloud, server, **more).status_code == status
    kept = Server.objects.get()
    assert (kept.generation, kept.image_id, kept.metadata) == (server.generation, cloud.image.pk, {})
    assert not Operation.objects.filter(kind=KIND).exists()


def test_image_that_does_not_fit_is_refused(cloud: Cloud, call: Any) -> None:
    server = cloud.active()
    large = cloud.other_image(virtual_size=2 * GIB)
    hungry = cloud.other_image(min_ram_mib=10_000)
    assert rebuild(call, cloud, server, imageRef=str(large.pk)).status_code == 400
    assert rebuild(call, cloud, server, imageRef=str(hungry.pk)).status_code == 400
    assert not Operation.objects.filter(kind=KIND).exists()


@pytest.mark.parametrize("state", ["paused", "suspended", "building"])
def test_only_active_shut_off_and_failed_servers_are_rebuilt(cloud: Cloud, call: Any, state: str) -> None:
    server = cloud.active()
    Server.objects.update(state=state)
    assert rebuild(call, cloud, server).status_code == 409
    assert not Operation.objects.filter(kind=KIND).exists()


def test_another_projects_server_is_not_found_and_a_locked_one_refuses(cloud: Cloud, call: Any, other: Any) -> None:
    server = cloud.active()
    body = {"rebuild": {"imageRef": str(cloud.image.pk)}}
    assert call(other)("POST", f"/servers/{server.pk}/action", body).status_code == 404
    call(cloud.ctx)("POST", f"/servers/{server.pk}/action", {"lock": None})
    assert rebuild(call, cloud, server).status_code == 409
    assert not Operation.objects.filter(kind=KIND).exists()
