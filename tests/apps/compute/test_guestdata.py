from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from django.test import Client

from apps.compute import services
from apps.compute.models import KeyPair, Server
from apps.network.models import Port
from tests.apps.compute.conftest import Cloud

USER_DATA = b"#!/bin/sh\necho \xe2\x98\x81\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGmUgWKm3qlJSDpVgAIKA3sXrjFa1vOf1bFTu0vGSJ9h me"


@pytest.fixture
def server(cloud: Cloud) -> Server:
    KeyPair.objects.create(user_id=cloud.ctx.user_id, name="mine", public_key=KEY, fingerprint="")
    return cloud.create(
        key_name="mine",
        user_data=base64.b64encode(USER_DATA).decode(),
        metadata={"role": "web"},
        admin_pass="secret-1",
        config_drive=True,
        personality=[{"path": "/etc/motd", "contents": base64.b64encode(b"hello").decode()}],
    )


def placed(server: Server) -> Server:
    Server.objects.filter(pk=server.pk).update(host_name="hv-1", zone="nova")
    server.refresh_from_db()
    return server


def ask(server: Server, path: str, *, host: str = "hv-1", serial: str = "") -> Any:
    from apps.hosts.models import Host

    port = Port.objects.get(device_id=str(server.pk))
    address = port.fixed_ips.get().address
    number = serial or Host.objects.get(name="hv-1").certificate_serial
    headers = {"X-Kumo-Host": host, "X-Kumo-Host-Serial": number}
    return Client().get(f"/internal/host/v1/metadata/{port.network_id}/{address}{path}", headers=headers)


def test_ec2_paths(server: Server) -> None:
    placed(server)
    assert b"latest" in ask(server, "/").content.split()
    listing = ask(server, "/latest/meta-data/").content.decode().split()
    assert {"instance-id", "hostname", "local-ipv4", "public-keys/", "placement/"} <= set(listing)
    assert ask(server, "/latest/meta-data/public-keys/").content == b"0=mine"
    assert ask(server, "/latest/meta-data/public-keys/0/openssh-key").content.decode() == f"{KEY}\n"
    assert ask(server, "/latest/meta-data/hostname").content == b"web"
    assert ask(server, "/latest/meta-data/placement/availability-zone").content == b"nova"
    assert ask(server, "/latest/user-data").content == USER_DATA
    assert ask(server, "/latest/meta-data/nothing").status_code == 404
    assert ask(server, "/2029-01-01/meta-data/").status_code == 404


def test_openstack_paths(server: Server) -> None:
    placed(server)
    found = json.loads(ask(server, "/openstack/latest/meta_data.json").content)
    assert found["uuid"] == str(server.pk)
    assert found["meta"] == {"role": "web"}
    assert found["public_keys"] == {"mine": KEY}
    assert "admin_pass" not in found
    network = json.loads(ask(server, "/openstack/latest/network_data.json").content)
    assert network["links"][0]["ethernet_mac_address"] == Port.objects.get(device_id=str(server.pk)).mac_address
    assert network["networks"][0]["type"] == "ipv4_dhcp"
    assert ask(server, "/openstack/latest/user_data").content == USER_DATA


def test_a_guest_elsewhere_does_not_exist_for_a_host(server: Server) -> None:
    assert ask(server, "/latest/meta-data/hostname").status_code == 404
    placed(server)
    Server.objects.filter(pk=server.pk).update(host_name="hv-2")
    assert ask(server, "/latest/meta-data/hostname").status_code == 404


def test_a_caller_without_a_certificate_is_refused(server: Server) -> None:
    placed(server)
    assert ask(server, "/latest/meta-data/hostname", host="hv-1", serial="beef").status_code == 403


def test_an_address_that_another_project_may_claim_is_nobodys(server: Server, cloud: Cloud, other: Any) -> None:
    placed(server)
    from apps.identity.models import Project

    foreign = Port.objects.get(device_id=str(server.pk))
    foreign.pk, foreign.mac_address, foreign.device_id = None, "fa:16:3e:ff:ff:ff", ""
    foreign.project = Project.objects.get(pk="two")
    foreign.allowed_address_pairs = [{"ip_address": "10.0.0.0/24", "mac_address": "fa:16:3e:ff:ff:ff"}]
    foreign.save(force_insert=True)
    assert ask(server, "/latest/meta-data/hostname").status_code == 404


def test_config_drive_holds_the_first_password_and_files_until_the_server_runs(server: Server, cloud: Cloud) -> None:
    files = services.config_drive(cloud.ctx, server_id=server.pk)
    found = json.loads(base64.b64decode(files["openstack/latest/meta_data.json"]))
    assert found["admin_pass"] == "secret-1"
    assert found["files"] == [{"path": "/etc/motd", "content_path": "/content/0000"}]
    assert base64.b64decode(files["openstack/content/0000"]) == b"hello"
    assert base64.b64decode(files["openstack/latest/user_data"]) == USER_DATA


def test_user_data_is_not_readable_in_the_database(server: Server) -> None:
    server.refresh_from_db()
    assert server.user_data_sealed is not None
    assert b"echo" not in bytes(server.user_data_sealed)
