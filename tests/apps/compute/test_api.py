"""What the API of compute takes, refuses and shows, besides the life of servers."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from apps.compute import services
from apps.compute.models import ConsoleSession, Flavor, KeyPair, Server
from apps.operations.models import Operation
from tests.apps.compute.conftest import Cloud, settle
from tests.apps.compute.test_guestdata import KEY
from tests.kit.projects import READER, caller

LATEST = {"OpenStack-API-Version": "compute latest"}


def body(cloud: Cloud, **changes: Any) -> dict[str, Any]:
    given = {"name": "web", "flavorRef": "1", "imageRef": str(cloud.image.pk), "networks": "auto"}
    return {"server": {name: value for name, value in (given | changes).items() if value is not None}}


UNKNOWN = "11111111-1111-1111-1111-111111111111"
BAD = [
    ({"name": ""}, 400), ({"name": " "}, 400), ({"name": 7}, 400), ({"name": "x" * 256}, 400),
    ({"flavorRef": "none-such"}, 400), ({"flavorRef": None}, 400), ({"imageRef": UNKNOWN}, 400),
    ({"imageRef": "not-a-uuid"}, 400), ({"imageRef": ""}, 400), ({"networks": None}, 400),
    ({"networks": [{"uuid": UNKNOWN}]}, 400), ({"networks": [{"port": UNKNOWN}]}, 400),
    ({"networks": [{"uuid": "x"}]}, 400), ({"key_name": "nobody's"}, 400), ({"user_data": "%%%"}, 400),
    ({"metadata": {"k": "x" * 256}}, 400), ({"metadata": {f"k{i}": "v" for i in range(129)}}, 403),
    ({"min_count": 2, "max_count": 1}, 400), ({"min_count": 0}, 400), ({"min_count": 11, "max_count": 11}, 403),
    ({"security_groups": [{"name": "none-such"}]}, 400), ({"availability_zone": "mars"}, 400),
    ({"availability_zone": "nova:hv-1"}, 403), ({"host": "hv-1"}, 403), ({"accessIPv4": "1.2.3"}, 400),
    ({"block_device_mapping_v2": [{"source_type": "volume", "boot_index": 0, "uuid": UNKNOWN}]}, 400),
    ({"trusted_image_certificates": ["one"]}, 400), ({"unknown": 1}, 400), ({"tags": ["a/b"]}, 400),
    ({"personality": []}, 400), ({"hostname": "-"}, 400),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "status"), BAD, ids=[str(case[0])[:50] for case in BAD])
def test_bad_server_is_refused_and_nothing_is_left(cloud: Cloud, call: Any, changes: Any, status: int) -> None:
    from apps.network.models import Port

    before = Port.objects.count()
    answer = call(cloud.ctx)("POST", "/servers", body(cloud, **changes), **LATEST)
    assert answer.status_code == status, answer.json()
    assert not Server.objects.exists()
    assert not Operation.objects.exists()
    assert Port.objects.count() == before


def test_readers_may_look_and_not_touch(cloud: Cloud, call: Any) -> None:
    server = cloud.active()
    api = call(caller("one", READER))
    assert api("GET", f"/servers/{server.pk}").status_code == 200
    assert api("POST", "/servers", body(cloud), **LATEST).status_code == 403
    assert api("DELETE", f"/servers/{server.pk}").status_code == 403
    assert api("POST", f"/servers/{server.pk}/action", {"os-stop": None}).status_code == 403
    server.refresh_from_db()
    assert (server.state, server.deleting_at) == ("active", None)


def test_several_servers_at_once_are_numbered(cloud: Cloud, call: Any) -> None:
    asked = body(cloud, min_count=2, max_count="3", return_reservation_id=True)
    answer = call(cloud.ctx)("POST", "/servers", asked, **LATEST)
    assert set(answer.json()) == {"reservation_id"}
    settle()
    found = Server.objects.filter(reservation_id=answer.json()["reservation_id"]).order_by("launch_index")
    assert [(s.name, s.state) for s in found] == [("web-1", "active"), ("web-2", "active"), ("web-3", "active")]


def test_as_many_as_the_quota_has_room_for(cloud: Cloud, admin: Any) -> None:
    services.quota_set_update(admin, project_id="one", limits={"instances": 2})
    cloud.create(min_count=1, max_count=5)
    assert Server.objects.count() == 2


def test_image_that_is_too_large_for_the_flavor_is_refused(cloud: Cloud, call: Any) -> None:
    cloud.image.min_disk_gib = 5
    cloud.image.save()
    assert call(cloud.ctx)("POST", "/servers", body(cloud), **LATEST).status_code == 400


def test_locked_server_moves_for_administrators_only(cloud: Cloud, call: Any, admin: Any) -> None:
    server = cloud.active()
    api = call(cloud.ctx)
    path = f"/servers/{server.pk}"
    assert api("POST", f"{path}/action", {"lock": {"locked_reason": "keep"}}, **LATEST).status_code == 202
    shown = api("GET", path, **LATEST).json()["server"]
    assert (shown["locked"], shown["locked_reason"]) == (True, "keep")
    assert api("POST", f"{path}/action", {"os-stop": None}).status_code == 409
    assert api("DELETE", path).status_code == 409
    assert api("PUT", f"{path}/metadata", {"metadata": {}}).status_code == 409
    assert call(admin)("POST", f"{path}/action", {"os-stop": None}).status_code == 202
    settle()
    assert api("POST", f"{path}/action", {"unlock": None}).status_code == 202
    assert api("DELETE", path).status_code == 204


def test_owner_cannot_unlock_what_an_administrator_locked(cloud: Cloud, call: Any, admin: Any) -> None:
    server = cloud.active()
    assert call(admin)("POST", f"/servers/{server.pk}/action", {"lock": None}).status_code == 202
    assert call(cloud.ctx)("POST", f"/servers/{server.pk}/action", {"unlock": None}).status_code == 403


NOT_NOW = ["os-start", "unpause", "resume"]


@pytest.mark.slow
@pytest.mark.parametrize("action", NOT_NOW)
def test_action_in_the_wrong_state_is_refused(cloud: Cloud, call: Any, action: str) -> None:
    server = cloud.active()
    asked = len(cloud.hypervisor.asked)
    answer = call(cloud.ctx)("POST", f"/servers/{server.pk}/action", {action: None})
    assert answer.status_code == 409
    assert "vm_state active" in answer.json()["conflictingRequest"]["message"]
    settle()
    assert len(cloud.hypervisor.asked) == asked


def test_busy_server_refuses_a_second_change(cloud: Cloud, call: Any) -> None:
    server = cloud.active()
    api = call(cloud.ctx)
    assert api("POST", f"/servers/{server.pk}/action", {"os-stop": None}).status_code == 202
    assert api("POST", f"/servers/{server.pk}/action", {"reboot": {"type": "HARD"}}).status_code == 409


@pytest.mark.slow
@pytest.mark.parametrize("action", ["resize", "createImage", "shelve", "rescue", "made-up"])
def test_action_that_is_not_offered_is_no_action(cloud: Cloud, call: Any, action: str) -> None:
    server = cloud.active()
    assert call(cloud.ctx)("POST", f"/servers/{server.pk}/action", {action: {}}).status_code == 400


def test_metadata_and_tags(cloud: Cloud, call: Any) -> None:
    api, path = call(cloud.ctx), f"/servers/{cloud.active().pk}"
    assert api("POST", f"{path}/metadata", {"metadata": {"a": "1"}}).json() == {"metadata": {"a": "1"}}
    assert api("PUT", f"{path}/metadata/b", {"meta": {"b": "2"}}).json() == {"meta": {"b": "2"}}
    assert api("PUT", f"{path}/metadata/b", {"meta": {"c": "2"}}).status_code == 400
    assert api("GET", f"{path}/metadata").json() == {"metadata": {"a": "1", "b": "2"}}
    assert api("DELETE", f"{path}/metadata/a").status_code == 204
    assert api("GET", f"{path}/metadata/a").status_code == 404
    assert api("PUT", f"{path}/tags/x", **LATEST).status_code == 201
    assert api("PUT", f"{path}/tags/x", **LATEST).status_code == 204
    assert api("GET", f"{path}/tags", **LATEST).json() == {"tags": ["x"]}
    assert api("PUT", f"{path}/tags", {"tags": ["y", "z"]}, **LATEST).json() == {"tags": ["y", "z"]}
    assert api("DELETE", f"{path}/tags/x", **LATEST).status_code == 404
    assert api("DELETE", f"{path}/tags", **LATEST).status_code == 204
    assert api("GET", f"{path}/tags").status_code == 404  # before 2.26


def test_actions_are_remembered_with_their_request_and_outlive_the_server(cloud: Cloud, call: Any) -> None:
    server = cloud.active()
    api, path = call(cloud.ctx), f"/servers/{server.pk}"
    assert api("DELETE", path).status_code == 204
    settle()
    actions = api("GET", f"{path}/os-instance-actions", **LATEST).json()["instanceActions"]
    assert [one["action"] for one in actions] == ["delete", "create"]
    request_id = actions[0]["request_id"]
    shown = api("GET", f"{path}/os-instance-actions/{request_id}", **LATEST).json()["instanceAction"]
    assert [event["result"] for event in shown["events"]] == ["Success"] * len(shown["events"])
    assert "traceback" not in shown["events"][0]
    assert api("GET", f"{path}/os-instance-actions").status_code == 404  # before 2.21


def test_console_log_is_read_and_not_kept(cloud: Cloud, call: Any, answers_at_once: None) -> None:
    server = cloud.active()
    answer = call(cloud.ctx)("POST", f"/servers/{server.pk}/action", {"os-getConsoleOutput": {"length": 5}})
    assert answer.json() == {"output": "login:"}
    assert not Operation.objects.filter(kind="compute.server.read_console_log").exists()


def test_console_token_is_told_once_and_kept_as_a_hash(cloud: Cloud, call: Any) -> None:
    server = cloud.active()
    asked = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    answer = call(cloud.ctx)("POST", f"/servers/{server.pk}/remote-consoles", asked, **LATEST)
    assert answer.status_code == 200
    session = ConsoleSession.objects.get()
    assert session.token_hash not in answer.json()["remote_console"]["url"]
    assert (session.host_name, session.kind) == ("hv-1", "vnc")


# --- flavors, keys, quotas -------------------------------------------------------------------------


def test_flavor_is_seen_by_whom_it_is_for(cloud: Cloud, call: Any, admin: Any, other: Any) -> None:
    boss = call(admin)
    asked = {"flavor": {"name": "own", "ram": 64, "vcpus": 1, "disk": 0, "os-flavor-access:is_public": False}}
    ident = boss("POST", "/flavors", asked).json()["flavor"]["id"]
    assert call(cloud.ctx)("GET", f"/flavors/{ident}").status_code == 404
    grant = boss("POST", f"/flavors/{ident}/action", {"addTenantAccess": {"tenant": "one"}})
    assert grant.json() == {"flavor_access": [{"flavor_id": ident, "tenant_id": "one"}]}
    assert call(cloud.ctx)("GET", f"/flavors/{ident}").status_code == 200
    assert call(other)("GET", f"/flavors/{ident}").status_code == 404
    assert boss("POST", "/flavors", {"flavor": {**asked["flavor"], "id": "x"}}).status_code == 409
    assert call(cloud.ctx)("POST", "/flavors", asked).status_code == 403
    assert Flavor.objects.count() == 2


def test_extra_specs_of_known_namespaces_are_checked_since_2_86(cloud: Cloud, call: Any, admin: Any) -> None:
    boss = call(admin)
    wrong = {"extra_specs": {"hw:cpu_polizy": "shared"}}
    assert boss("POST", "/flavors/1/os-extra_specs", wrong, **LATEST).status_code == 400
    assert boss("POST", "/flavors/1/os-extra_specs", {"extra_specs": {"own:key": 1}}, **LATEST).status_code == 200
    assert boss("GET", "/flavors/1", **LATEST).json()["flavor"]["extra_specs"] == {"own:key": "1"}


def test_key_pairs_are_imported_generated_until_2_91_and_deleted(cloud: Cloud, call: Any) -> None:
    api = call(cloud.ctx)
    made = api("POST", "/os-keypairs", {"keypair": {"name": "mine", "public_key": KEY}}, **LATEST)
    assert made.status_code == 201
    assert made.json()["keypair"]["fingerprint"].count(":") == 15
    assert api("POST", "/os-keypairs", {"keypair": {"name": "mine", "public_key": KEY}}, **LATEST).status_code == 409
    assert api("POST", "/os-keypairs", {"keypair": {"name": "new"}}, **LATEST).status_code == 400
    generated = api("POST", "/os-keypairs", {"keypair": {"name": "new"}}).json()["keypair"]
    assert generated["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    asked = {"keypair": {"name": "win", "type": "x509"}}
    certificate = api("POST", "/os-keypairs", asked, **{"OpenStack-API-Version": "compute 2.2"}).json()["keypair"]
    assert base64.b64decode(certificate["private_key"])
    assert certificate["public_key"].startswith("-----BEGIN CERTIFICATE-----")
    listed = api("GET", "/os-keypairs").json()["keypairs"]
    assert [one["keypair"]["name"] for one in listed] == ["mine", "new", "win"]
    assert api("DELETE", "/os-keypairs/mine", **LATEST).status_code == 204
    assert api("GET", "/os-keypairs/mine").status_code == 404


@pytest.mark.parametrize("key", ["ssh-rsa JUNK", "", "not a key"])
def test_key_that_is_none_is_refused(cloud: Cloud, call: Any, key: str) -> None:
    asked = {"keypair": {"name": "mine", "public_key": key}}
    assert call(cloud.ctx)("POST", "/os-keypairs", asked, **LATEST).status_code == 400
    assert not KeyPair.objects.exists()


def test_quota_is_shown_set_and_reset(cloud: Cloud, call: Any, admin: Any) -> None:
    boss, path = call(admin), "/os-quota-sets/one"
    cloud.create()
    assert boss("PUT", path, {"quota_set": {"instances": 0}}, **LATEST).status_code == 400
    assert boss("PUT", path, {"quota_set": {"instances": 0, "force": True}}, **LATEST).status_code == 200
    assert call(cloud.ctx)("GET", path, **LATEST).json()["quota_set"]["instances"] == 0
    assert call(cloud.ctx)("POST", "/servers", body(cloud), **LATEST).status_code == 403
    assert boss("DELETE", path).status_code == 202
    detail = boss("GET", f"{path}/detail", **LATEST).json()["quota_set"]
    assert detail["instances"] == {"limit": 10, "in_use": 1, "reserved": 0}
    assert call(cloud.ctx)("PUT", path, {"quota_set": {"instances": 99}}).status_code == 403


def test_limits_lose_what_later_versions_dropped(cloud: Cloud, call: Any) -> None:
    api = call(cloud.ctx)
    assert "maxSecurityGroups" in api("GET", "/limits").json()["limits"]["absolute"]
    assert "maxSecurityGroups" not in api("GET", "/limits", **LATEST).json()["limits"]["absolute"]


# --- versions --------------------------------------------------------------------------------------


def test_version_documents_need_no_token(db: None) -> None:
    from django.test import Client

    client = Client()
    assert [v["id"] for v in client.get("/compute").json()["versions"]] == ["v2.0", "v2.1"]
    assert client.get("/compute/").status_code == 200
    assert client.get("/compute/v2.1").json()["version"]["min_version"] == "2.1"
    assert client.get("/compute/v2/").json()["version"]["id"] == "v2.0"
    assert client.get("/compute/v9/servers").status_code == 300


@pytest.mark.parametrize(("version", "status"), [("2.9999", 406), ("x", 400), ("2.1", 200), ("latest", 200)])
def test_negotiation(cloud: Cloud, call: Any, version: str, status: int) -> None:
    answer = call(cloud.ctx)("GET", "/servers", **{"OpenStack-API-Version": f"compute {version}"})
    assert answer.status_code == status
    assert answer["Vary"].startswith("OpenStack-API-Version")
