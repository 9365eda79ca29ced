"""Diagnostics, passwords of guests, migrations, external events and the usage audit."""

from __future__ import annotations

import datetime
from typing import Any
from unittest.mock import patch

import pytest
from django.test import Client
from django.utils import timezone

from agents.errors import Refused
from apps.compute.models import Server, ServerPassword
from apps.hosts.models import Host
from apps.network.models import Change
from apps.operations.models import Operation
from tests.apps.compute.conftest import Cloud, settle
from tests.apps.compute.test_microversions import events
from tests.kit import operations as ops

LATEST = {"OpenStack-API-Version": "compute latest"}


@pytest.fixture
def posted(cloud: Cloud) -> Any:
    """Posts to the metadata of a guest as its host does: `posted(server, body)`."""

    def post(server: Server, body: bytes, path: str = "openstack/latest/password") -> Any:
        port = server_port(server)
        url = f"/internal/host/v1/metadata/{port.network_id}/{port.fixed_ips.get().address}/{path}"
        with patch("apps.core.api.host.import_string", return_value=lambda request: cloud.host):
            return Client().post(url, data=body, content_type="application/octet-stream")

    return post


def server_port(server: Server) -> Any:
    from apps.network.models import Port

    return Port.objects.get(server_id=server.pk)


def test_diagnostics_are_the_hypervisors_words_until_2_47(
    cloud: Cloud, call: Any, admin: Any, answers_at_once: None
) -> None:
    server = cloud.active()
    shown = call(admin)("GET", f"/servers/{server.pk}/diagnostics").json()
    assert shown == {
        "cpu0_time": 7_000, "memory": 524_288, "memory-actual": 524_288, "memory-available": 500_000,
        "memory-unused": 193_824, "vda_errors": -1, "vda_read": 512, "vda_read_req": 1, "vda_write": 1024,
        "vda_write_req": 2, "tap0_rx": 11, "tap0_rx_packets": 12, "tap0_rx_errors": 13, "tap0_rx_drop": 14,
        "tap0_tx": 21, "tap0_tx_packets": 22, "tap0_tx_errors": 23, "tap0_tx_drop": 24,
    }  # fmt: skip
    assert not Operation.objects.filter(kind="compute.server.read_diagnostics").exists()


def test_diagnostics_have_one_form_since_2_48(cloud: Cloud, call: Any, admin: Any, answers_at_once: None) -> None:
    server = cloud.active(config_drive=True)
    shown = call(admin)("GET", f"/servers/{server.pk}/diagnostics", **LATEST).json()
    assert shown.pop("uptime") >= 0
    assert shown == {
        "state": "running", "driver": "libvirt", "hypervisor": "qemu", "hypervisor_os": "linux", "config_drive": True,
        "num_cpus": 1, "num_nics": 1, "num_disks": 1,
        "memory_details": {"maximum": 512, "used": 299},
        "cpu_details": [{"id": 0, "time": 7_000, "utilisation": None}],
        "disk_details": [
            {"read_bytes": 512, "read_requests": 1, "write_bytes": 1024, "write_requests": 2, "errors_count": None}
        ],
        "nic_details": [
            {
                "mac_address": "fa:16:3e:00:00:01",
                "rx_octets": 11, "rx_packets": 12, "rx_errors": 13, "rx_drop": 14, "rx_rate": None,
                "tx_octets": 21, "tx_packets": 22, "tx_errors": 23, "tx_drop": 24, "tx_rate": None,
            }
        ],
    }  # fmt: skip


def test_diagnostics_are_of_servers_that_run(cloud: Cloud, call: Any, admin: Any, answers_at_once: None) -> None:
    server = cloud.active()
    Server.objects.update(state="shutoff")
    assert call(admin)("GET", f"/servers/{server.pk}/diagnostics").status_code == 409
    Server.objects.update(state="active")
    cloud.hypervisor.failing["compute.read_diagnostics"] = Refused("it does not run")
    answer = call(admin)("GET", f"/servers/{server.pk}/diagnostics")
    assert (answer.status_code, "it does not run" in answer.json()["serviceUnavailable"]["message"]) == (503, True)
    assert not Operation.objects.filter(kind="compute.server.read_diagnostics").exists()


def test_password_is_posted_once_read_and_forgotten(cloud: Cloud, call: Any, other: Any, posted: Any) -> None:
    server, api = cloud.active(), call(cloud.ctx)
    path = f"/servers/{server.pk}/os-server-password"
    assert api("GET", path).json() == {"password": ""}
    assert posted(server, b"c2VjcmV0").status_code == 200
    assert posted(server, b"YW5vdGhlcg==").status_code == 409
    assert api("GET", path).json() == {"password": "c2VjcmV0"}
    assert call(other)("GET", path).status_code == 404
    assert call(other)("DELETE", path).status_code == 404
    assert api("GET", path).json() == {"password": "c2VjcmV0"}
    assert api("DELETE", path).status_code == 204
    assert api("GET", path).json() == {"password": ""}
    assert posted(server, b"bmV3").status_code == 200


@pytest.mark.parametrize("body", [b"x" * 1021, "ü".encode(), b"a\0b"])
def test_what_is_no_password_is_refused(cloud: Cloud, posted: Any, body: bytes) -> None:
    assert posted(cloud.active(), body).status_code == 400
    assert not ServerPassword.objects.exists()


def test_nothing_else_can_be_posted_and_strangers_are_not_found(cloud: Cloud, posted: Any) -> None:
    server = cloud.active()
    assert posted(server, b"x", "openstack/latest/meta_data.json").status_code == 405
    Server.objects.update(host_name="elsewhere")
    assert posted(server, b"x").status_code == 404
    assert not ServerPassword.objects.exists()


def test_password_goes_with_the_server(cloud: Cloud, call: Any, posted: Any) -> None:
    server = cloud.active()
    posted(server, b"c2VjcmV0")
    call(cloud.ctx)("DELETE", f"/servers/{server.pk}")
    settle()
    assert not ServerPassword.objects.exists()


def test_migrations_are_none_and_none_is_found(cloud: Cloud, call: Any, admin: Any, other: Any) -> None:
    server, boss = cloud.active(), call(admin)
    path = f"/servers/{server.pk}/migrations"
    assert boss("GET", "/os-migrations", **LATEST).json() == {"migrations": []}
    assert boss("GET", path, **LATEST).json() == {"migrations": []}
    assert boss("GET", f"{path}/1", **LATEST).status_code == 404
    assert boss("DELETE", f"{path}/1", **LATEST).status_code == 404
    assert boss("POST", f"{path}/1/action", {"force_complete": None}, **LATEST).status_code == 404
    assert boss("POST", f"{path}/1/action", {"made_up": None}, **LATEST).status_code == 400
    assert boss("GET", "/os-migrations?changes-since=never", **LATEST).status_code == 400
    assert call(cloud.ctx)("GET", path, **LATEST).status_code == 403
    assert call(other)("GET", path, **LATEST).status_code == 404


def test_events_are_answered_one_by_one(cloud: Cloud, call: Any, admin: Any) -> None:
    server, boss, stranger = cloud.active(), call(admin), "11111111-1111-1111-1111-111111111111"
    body = {
        "events": [*events("network-changed", str(server.pk))["events"], *events("network-changed", stranger)["events"]]
    }
    answer = boss("POST", "/os-server-external-events", body, **LATEST)
    assert answer.status_code == 207
    assert [(one["code"], one["status"], one["tag"]) for one in answer.json()["events"]] == [
        (200, "completed", "x"),
        (404, "failed", "x"),
    ]
    assert boss("POST", "/os-server-external-events", events("network-changed", str(server.pk))).status_code == 200
    assert boss("POST", "/os-server-external-events", {"events": []}).status_code == 400
    Server.objects.update(host_name="")
    unplaced = boss("POST", "/os-server-external-events", events("network-changed", str(server.pk)))
    assert (unplaced.status_code, unplaced.json()["events"][0]["code"]) == (207, 422)


def test_event_has_waiting_operations_look_again(cloud: Cloud, call: Any, admin: Any) -> None:
    server = cloud.create()
    ops.settle()
    Change.objects.all().delete()  # the network has followed, and nobody says so
    ops.settle()
    server.refresh_from_db()
    assert server.state == "building"
    with ops.committed():
        call(admin)("POST", "/os-server-external-events", events("network-vif-plugged", str(server.pk)))
    ops.settle()
    server.refresh_from_db()
    assert server.state == "active"


def test_audit_ran_on_no_host(cloud: Cloud, call: Any, admin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    boss = call(admin)
    monkeypatch.setattr(timezone, "now", lambda: datetime.datetime(2027, 1, 31, 23, 59, 59, 999_999, datetime.UTC))
    shown = boss("GET", "/os-instance_usage_audit_log").json()["instance_usage_audit_logs"]
    assert (shown["num_hosts"], shown["hosts_not_run"], shown["log"]) == (1, ["hv-1"], {})
    assert (shown["period_beginning"], shown["period_ending"]) == ("2026-12-01 00:00:00", "2027-01-01 00:00:00")
    before = boss("GET", "/os-instance_usage_audit_log/2026-03-31 12:00:00").json()["instance_usage_audit_log"]
    assert (before["period_beginning"], before["period_ending"]) == ("2026-02-01 00:00:00", "2026-03-01 00:00:00")
    assert boss("GET", "/os-instance_usage_audit_log/yesterday").status_code == 400


def test_host_that_is_declared_down_gets_no_servers_until_it_is_up_again(cloud: Cloud, call: Any, admin: Any) -> None:
    boss = call(admin)
    path = f"/os-services/{cloud.host.pk}"
    assert boss("PUT", path, {"forced_down": True}, **LATEST).json()["service"]["forced_down"] is True
    (service,) = boss("GET", "/os-services", **LATEST).json()["services"]
    assert (service["state"], service["status"]) == ("down", "enabled")
    refused = cloud.create()
    settle()
    refused.refresh_from_db()
    assert (refused.state, refused.host_name) == ("error", "")
    assert "up 0" in str(refused.fault)
    assert boss("PUT", path, {"forced_down": False}, **LATEST).json()["service"]["state"] == "up"
    assert cloud.active(name="later").host_name == "hv-1"


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ({"disabled_reason": "x"}, 400), ({"status": "enabled", "disabled_reason": "x"}, 400),
     ({"forced_down": "perhaps"}, 400), ({"status": "gone"}, 400)],
)  # fmt: skip
def test_service_is_not_changed_by_what_makes_no_sense(
    cloud: Cloud, call: Any, admin: Any, body: dict[str, Any], status: int
) -> None:
    assert call(admin)("PUT", f"/os-services/{cloud.host.pk}", body, **LATEST).status_code == status
    host = Host.objects.get()
    assert (host.mode, host.mode_reason, host.forced_down) == ("enabled", "", False)


def test_service_is_named_by_uuid_since_2_53(cloud: Cloud, call: Any, admin: Any) -> None:
    assert call(admin)("PUT", "/os-services/1", {"forced_down": True}, **LATEST).status_code == 400
    unknown = "/os-services/11111111-1111-1111-1111-111111111111"
    assert call(admin)("PUT", unknown, {"forced_down": True}, **LATEST).status_code == 404
    other_binary = {"host": "hv-1", "binary": "nova-scheduler", "forced_down": True}
    older = {"OpenStack-API-Version": "compute 2.11"}
    assert call(admin)("PUT", "/os-services/force-down", other_binary, **older).status_code == 400
    assert call(cloud.ctx)("PUT", f"/os-services/{cloud.host.pk}", {"forced_down": True}, **LATEST).status_code == 403
    assert not Host.objects.get().forced_down
