from __future__ import annotations

from typing import Any

from apps.compute.models import Server, ServerDeleted
from tests.apps.compute.conftest import Cloud, settle

BODY = {"name": "web", "networks": "auto"}


def test_server_is_created_shown_stopped_started_and_deleted(cloud: Cloud, call: Any) -> None:
    api = call(cloud.ctx)
    latest = {"OpenStack-API-Version": "compute latest"}
    asked = {"server": {**BODY, "imageRef": str(cloud.image.pk), "flavorRef": "1"}}
    answer = api("POST", "/servers", asked, **latest)
    assert answer.status_code == 202, answer.json()
    made = answer.json()["server"]
    assert set(made) == {"id", "links", "OS-DCF:diskConfig", "security_groups", "adminPass"}
    path = f"/servers/{made['id']}"
    shown = api("GET", path, **latest).json()["server"]
    assert (shown["status"], shown["OS-EXT-STS:task_state"]) == ("BUILD", "scheduling")
    settle()
    shown = api("GET", path, **latest).json()["server"]
    assert shown["status"] == "ACTIVE", shown
    assert shown["addresses"]["net"][0]["addr"].startswith("10.0.0.")
    assert shown["OS-EXT-STS:task_state"] is None
    assert shown["flavor"]["original_name"] == "m1.tiny"
    guest = cloud.hypervisor.guests[made["id"]]
    assert len(guest["nics"]) == 1
    for action, status in (("os-stop", "SHUTOFF"), ("os-start", "ACTIVE"), ("pause", "PAUSED"), ("unpause", "ACTIVE")):
        assert api("POST", f"{path}/action", {action: None}).status_code == 202
        settle()
        assert api("GET", path).json()["server"]["status"] == status
    assert api("DELETE", path).status_code == 204
    assert api("DELETE", path).status_code == 204
    assert api("GET", path).json()["server"]["OS-EXT-STS:task_state"] == "deleting"
    settle()
    assert api("GET", path).status_code == 404
    assert not Server.objects.exists()
    assert ServerDeleted.objects.count() == 1
    assert not cloud.hypervisor.guests
    assert not cloud.hypervisor.disks
    cloud.host.refresh_from_db()
    assert cloud.host.used == {"vcpus": 0, "ram_mib": 0, "disk_gib": 0}
