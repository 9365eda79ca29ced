"""Every change of Nova's history is asked for before and since its version, or its calls are shown not to be served.

The table of docs/reference/compute-microversions.md says which; `CHANGES` holds the questions. A question is asked in
a savepoint that is rolled back, so that all of them share one running server.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from apps.compute.api.versions import HISTORY, VERSIONS
from apps.compute.models import Aggregate, Flavor, Server
from apps.core.context import RequestContext
from apps.operations.models import Step
from tests.apps.compute.conftest import Cloud, settle
from tests.apps.compute.test_guestdata import KEY
from tests.kit.projects import READER, caller

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "compute-microversions.md"
UNKNOWN = "11111111-1111-1111-1111-111111111111"
Version = tuple[int, int]


@dataclass
class Ask:
    """The API in one version, for the server's owner and for an administrator."""

    call: Any
    cloud: Cloud
    admin: RequestContext
    version: Version
    server: Server

    def __call__(self, method: str, path: str, body: Any = None, *, boss: bool = False) -> Any:
        caller = self.call(self.admin if boss else self.cloud.ctx)
        path = path.replace("{server}", str(self.server.pk)).replace("{host}", self._host)
        return caller(method, path, body, **{"OpenStack-API-Version": f"compute {self.version[0]}.{self.version[1]}"})

    @property
    def _host(self) -> str:
        return str(self.cloud.host.pk) if self.version >= (2, 53) else str(self.cloud.host.number)

    def status(self, method: str, path: str, body: Any = None, *, boss: bool = False) -> int:
        status: int = self(method, path, body, boss=boss).status_code
        return status

    def create(self, **given: Any) -> int:
        """Status of a create."""
        asked = {"name": "x", "flavorRef": "1", "imageRef": str(self.cloud.image.pk), "networks": self.networks()}
        return self.status("POST", "/servers", {"server": asked | given}, boss="host" in given)

    def networks(self, **more: Any) -> list[dict[str, Any]]:
        return [{"uuid": str(self.cloud.network.pk), **more}]

    def server_has(self, name: str, *, boss: bool = False) -> bool:
        return name in self("GET", "/servers/{server}", boss=boss).json()["server"]

    def event(self, name: str) -> Any:
        answer = self("POST", "/os-server-external-events", events(name, str(self.server.pk)), boss=True)
        return answer.status_code if answer.status_code == 400 else answer.json()["events"][0]["code"]


def events(name: str, server_id: str) -> dict[str, Any]:
    return {"events": [{"name": name, "server_uuid": server_id, "tag": "x"}]}


@dataclass(frozen=True)
class Change:
    """What is asked, and the answers in the version before and in this one."""

    ask: Callable[[Ask], Any]
    before: Any
    since: Any


def appears(name: str, *, boss: bool = False) -> Change:
    """An attribute of servers that comes."""
    return Change(lambda ask: ask.server_has(name, boss=boss), False, True)


def key(**more: Any) -> dict[str, Any]:
    return {"keypair": {"name": "mine", "public_key": KEY, **more}}


def group(**more: Any) -> dict[str, Any]:
    return {"server_group": {"name": "g", **more}}


def group_has(*names: str) -> Callable[[Ask], Any]:
    def ask(ask: Ask) -> Any:
        body = group(policy="affinity") if ask.version >= (2, 64) else group(policies=["affinity"])
        return tuple(name in ask("POST", "/os-server-groups", body).json()["server_group"] for name in names)

    return ask


def action(name: str, value: Any = None, *, boss: bool = False) -> Callable[[Ask], Any]:
    return lambda ask: ask.status("POST", "/servers/{server}/action", {name: value}, boss=boss)


def member_has(path: str, member: str, *names: str, boss: bool = True) -> Callable[[Ask], Any]:
    """Which of these a member has."""
    return lambda ask: tuple(name in ask("GET", path, boss=boss).json()[member] for name in names)


def status(method: str, path: str, body: Any = None, *, boss: bool = False) -> Callable[[Ask], Any]:
    return lambda ask: ask.status(method, path, body, boss=boss)


def all_of(*asks: Callable[[Ask], Any]) -> Callable[[Ask], Any]:
    return lambda ask: tuple(one(ask) for one in asks)


def attach(ask: Ask) -> int:
    body = {"interfaceAttachment": {"net_id": str(ask.cloud.network.pk), "tag": "x"}}
    return ask.status("POST", "/servers/{server}/os-interface", body)


def tagged_disk(ask: Ask) -> int:
    disk = {"source_type": "image", "destination_type": "local", "boot_index": 0, "uuid": str(ask.cloud.image.pk)}
    return ask.create(block_device_mapping_v2=[disk | {"tag": "x"}])


def volume_type(ask: Ask) -> str:
    disk = {"source_type": "image", "destination_type": "local", "boot_index": 0, "volume_type": "fast"}
    asked = {"name": "x", "flavorRef": "1", "imageRef": str(ask.cloud.image.pk), "networks": "none"}
    answer = ask("POST", "/servers", {"server": asked | {"block_device_mapping_v2": [disk]}})
    assert answer.status_code == 400
    return "for block devices" if "are volumes" in answer.json()["badRequest"]["message"] else "unknown"


def filtered(parameter: str) -> Callable[[Ask], int]:
    """How many servers a filter that fits none leaves."""
    return lambda ask: len(ask("GET", f"/servers?{parameter}").json()["servers"])


def access(ask: Ask) -> int:
    return ask.status("POST", "/flavors/1/action", {"addTenantAccess": {"tenant": "two"}}, boss=True)


def events_of_create(ask: Ask, *, boss: bool = False) -> list[dict[str, Any]] | None:
    path = "/servers/{server}/os-instance-actions"
    request_id = ask("GET", path, boss=boss).json()["instanceActions"][0]["request_id"]
    found: list[dict[str, Any]] | None
    found = ask("GET", f"{path}/{request_id}", boss=boss).json()["instanceAction"].get("events")
    return found


def actions_after_delete(ask: Ask) -> int:
    ask("DELETE", "/servers/{server}")
    settle()
    return ask.status("GET", "/servers/{server}/os-instance-actions")


def key_names(ask: Ask) -> int:
    for name in ("a", "b"):
        ask("POST", "/os-keypairs", {"keypair": {"name": name, "public_key": KEY}})
    return len(ask("GET", "/os-keypairs?limit=1").json()["keypairs"])


def aggregate(ask: Ask) -> bool:
    Aggregate.objects.create(name="a")
    return "uuid" in ask("GET", "/os-aggregates", boss=True).json()["aggregates"][0]


def updated(*names: str) -> Callable[[Ask], Any]:
    """Which attributes the answer to a PUT has."""
    body = {"server": {"name": "new"}}
    return lambda ask: tuple(name in ask("PUT", "/servers/{server}", body).json()["server"] for name in names)


def image_of(ask: Ask) -> bool:
    return "properties" in ask("GET", "/servers/{server}").json()["server"]["image"]


def extra_specs(ask: Ask) -> int:
    return ask.status("POST", "/flavors/1/os-extra_specs", {"extra_specs": {"hw:wrong": "x"}}, boss=True)


def remote_console(protocol: str, kind: str) -> Callable[[Ask], int]:
    body = {"remote_console": {"protocol": protocol, "type": kind}}
    return status("POST", "/servers/{server}/remote-consoles", body)


def rebuild(**more: Any) -> Callable[[Ask], int]:
    def ask(ask: Ask) -> int:
        body = {"rebuild": {"imageRef": str(ask.cloud.image.pk), **more}}
        return ask.status("POST", "/servers/{server}/action", body)

    return ask


def hosts_of_hypervisors(ask: Ask) -> tuple[bool, int]:
    """Is a parameter unknown to hypervisors refused, and are they named by UUID?"""
    listed = ask("GET", "/os-hypervisors", boss=True).json()["hypervisors"]
    return isinstance(listed[0]["id"], str), ask.status("GET", "/os-hypervisors?x=1", boss=True)


def service_update(ask: Ask) -> int:
    return ask.status("PUT", "/os-services/{host}", {"status": "disabled"}, boss=True)


def force_down(ask: Ask) -> int:
    body = {"host": "hv-1", "binary": "nova-compute", "forced_down": True}
    return ask.status("PUT", "/os-services/force-down", body, boss=True)


def none_of_hypervisor(ask: Ask) -> bool:
    """Has a hypervisor without servers the attribute `servers`?"""
    Server.objects.update(host_name="")
    shown = ask("GET", "/os-hypervisors/{host}?with_servers=true", boss=True).json()
    return "servers" in shown["hypervisor"]


def hostname(name: str) -> Callable[[Ask], int]:
    return lambda ask: ask.create(hostname=name)


def swap(ask: Ask) -> Any:
    return ask("GET", "/flavors/1").json()["flavor"]["swap"]


def created_key(name: str, **more: Any) -> Callable[[Ask], int]:
    return lambda ask: ask.status("POST", "/os-keypairs", {"keypair": {"name": name, "public_key": KEY, **more}})


LIMITS = "/limits"
QUOTAS = "/os-quota-sets/one"
CLASS = "/os-quota-class-sets/default"
SINCE_2_83 = "/servers?key_name=none-such"
FILES = [{"path": "/x", "contents": base64.b64encode(b"x").decode()}]
OLD_SERVICE = "/os-services/disable"

CHANGES: dict[Version, Change] = {
    (2, 2): Change(status("POST", "/os-keypairs", key()), 200, 201),
    (2, 3): appears("OS-EXT-SRV-ATTR:reservation_id", boss=True),
    (2, 5): Change(filtered("ip6=fe80::1"), 1, 0),
    (2, 6): Change(
        all_of(remote_console("vnc", "novnc"), action("os-getVNCConsole", {"type": "novnc"})), (404, 200), (200, 404)
    ),
    (2, 7): Change(access, 400, 409),
    (2, 8): Change(remote_console("mks", "webmks"), 400, 400),
    (2, 9): appears("locked"),
    (2, 10): Change(created_key("mine", user_id="user-of-one"), 400, 201),
    (2, 11): Change(
        all_of(force_down, lambda ask: "forced_down" in ask("GET", "/os-services", boss=True).json()["services"][0]),
        (400, False),
        (200, True),
    ),
    (2, 13): Change(group_has("project_id", "user_id"), (False, False), (True, True)),
    (2, 15): Change(status("POST", "/os-server-groups", group(policies=["soft-affinity"])), 400, 200),
    (2, 16): appears("host_status", boss=True),
    (2, 19): appears("description"),
    (2, 21): Change(actions_after_delete, 404, 200),
    (2, 22): Change(
        lambda ask: (
            ask("POST", "/servers/{server}/migrations/1/action", {"force_complete": None}, boss=True)
            .json()["itemNotFound"]["message"]
            .split()[0]
        ),
        "The",
        "Migration",
    ),
    (2, 23): Change(status("GET", "/servers/{server}/migrations", boss=True), 404, 200),
    (2, 24): Change(
        lambda ask: (
            ask("DELETE", "/servers/{server}/migrations/1", boss=True).json()["itemNotFound"]["message"].split()[0]
        ),
        "The",
        "Migration",
    ),
    (2, 26): Change(
        all_of(status("GET", "/servers/{server}/tags"), lambda ask: ask.server_has("tags"), filtered("tags=none-such")),
        (404, False, 1),
        (200, True, 0),
    ),
    (2, 28): Change(
        lambda ask: type(ask("GET", "/os-hypervisors/{host}", boss=True).json()["hypervisor"]["cpu_info"]), str, dict
    ),
    (2, 32): Change(
        all_of(lambda ask: ask.create(networks=ask.networks(tag="x")), tagged_disk), (400, 400), (202, 202)
    ),
    (2, 33): Change(all_of(status("GET", "/os-hypervisors?limit=x", boss=True), tagged_disk), (200, 202), (400, 400)),
    (2, 35): Change(key_names, 2, 1),
    (2, 36): Change(
        all_of(
            status("GET", "/images"),
            status("GET", "/os-networks"),
            status("GET", "/os-tenant-networks"),
            status("GET", "/os-floating-ips"),
            status("GET", "/os-floating-ip-pools"),
            status("GET", "/os-security-groups"),
            member_has(QUOTAS, "quota_set", "floating_ips"),
            lambda ask: "maxSecurityGroups" in ask("GET", LIMITS).json()["limits"]["absolute"],
        ),
        (200, 200, 200, 200, 200, 200, (True,), True),
        (404, 404, 404, 404, 404, 404, (False,), False),
    ),
    (2, 37): Change(
        all_of(lambda ask: ask.create(networks="none"), lambda ask: ask.create(networks=ask.networks(tag="x"))),
        (400, 202),
        (202, 400),
    ),
    (2, 38): Change(status("GET", "/servers?status=made-up"), 200, 400),
    (2, 39): Change(
        all_of(
            lambda ask: ask.status("GET", f"/images/{ask.cloud.image.pk}/metadata"),
            lambda ask: "maxImageMeta" in ask("GET", LIMITS).json()["limits"]["absolute"],
        ),
        (200, True),
        (404, False),
    ),
    (2, 40): Change(
        lambda ask: "tenant_usages_links" in ask("GET", "/os-simple-tenant-usage?limit=1", boss=True).json(),
        False,
        True,
    ),
    (2, 41): Change(aggregate, False, True),
    (2, 42): Change(
        all_of(lambda ask: ask.create(networks=ask.networks(tag="x")), tagged_disk), (400, 400), (202, 202)
    ),
    (2, 43): Change(status("GET", "/os-hosts", boss=True), 200, 404),
    (2, 44): Change(
        all_of(
            lambda ask: (
                ask("POST", "/servers/{server}/action", {"addFloatingIp": {"address": "1.2.3.4"}})
                .json()["itemNotFound"]["message"]
                .split()[0]
            ),
            status("POST", "/servers/{server}/action", {"removeFloatingIp": {"address": "1.2.3.4"}}),
        ),
        ("Floating", 404),
        ("The", 404),
    ),
    (2, 47): Change(
        lambda ask: sorted(ask("GET", "/servers/{server}").json()["server"]["flavor"])[:2],
        ["id", "links"],
        ["disk", "ephemeral"],
    ),
    (2, 48): Change(
        lambda ask: sorted(ask("GET", "/servers/{server}/diagnostics", boss=True).json())[:2],
        ["cpu0_time", "memory"],
        ["config_drive", "cpu_details"],
    ),
    (2, 49): Change(attach, 400, 200),
    (2, 50): Change(
        member_has(CLASS, "quota_class_set", "server_groups", "floating_ips"), (False, True), (True, False)
    ),
    (2, 51): Change(
        all_of(lambda ask: events_of_create(ask) is not None, lambda ask: ask.event("volume-extended")),
        (False, 400),
        (True, 422),
    ),
    (2, 52): Change(lambda ask: ask.create(tags=["x"]), 400, 202),
    (2, 53): Change(
        all_of(hosts_of_hypervisors, service_update, status("GET", "/os-hypervisors/hv/search", boss=True)),
        ((False, 200), 400, 200),
        ((True, 400), 200, 404),
    ),
    (2, 54): Change(rebuild(key_name=None), 400, 202),
    (2, 55): Change(
        all_of(
            member_has("/flavors/1", "flavor", "description"),
            status("PUT", "/flavors/1", {"flavor": {"description": "x"}}, boss=True),
        ),
        ((False,), 404),
        ((True,), 200),
    ),
    (2, 57): Change(
        all_of(
            lambda ask: ask.create(personality=FILES),
            rebuild(user_data=None),
            member_has(QUOTAS, "quota_set", "injected_files"),
            lambda ask: "maxPersonality" in ask("GET", LIMITS).json()["limits"]["absolute"],
        ),
        (202, 400, (True,), True),
        (400, 202, (False,), False),
    ),
    (2, 58): Change(
        all_of(
            status("GET", "/servers/{server}/os-instance-actions?x=1"),
            lambda ask: (
                "updated_at" in ask("GET", "/servers/{server}/os-instance-actions").json()["instanceActions"][0]
            ),
        ),
        (200, False),
        (400, True),
    ),
    (2, 59): Change(
        all_of(status("GET", "/os-migrations?x=1", boss=True), status("GET", "/os-migrations?marker=x", boss=True)),
        (200, 200),
        (400, 400),
    ),
    (2, 61): Change(member_has("/flavors/1", "flavor", "extra_specs"), (False,), (True,)),
    (2, 62): Change(
        lambda ask: tuple(name in (events_of_create(ask, boss=True) or [{}])[0] for name in ("host", "hostId")),
        (False, False),
        (True, True),
    ),
    (2, 63): appears("trusted_image_certificates"),
    (2, 64): Change(group_has("policies", "policy", "rules"), (True, False, False), (False, True, True)),
    (2, 66): Change(
        all_of(
            filtered("changes-before=2001-01-01T00:00:00Z"),
            status("GET", "/servers/{server}/os-instance-actions?changes-before=2001-01-01T00:00:00Z"),
            status("GET", "/os-migrations?changes-before=2001-01-01T00:00:00Z", boss=True),
        ),
        (1, 400, 400),
        (0, 200, 200),
    ),
    (2, 67): Change(volume_type, "unknown", "for block devices"),
    (2, 70): Change(
        lambda ask: "tag" in ask("GET", "/servers/{server}/os-interface").json()["interfaceAttachments"][0], False, True
    ),
    (2, 71): appears("server_groups"),
    (2, 73): Change(
        all_of(lambda ask: ask.server_has("locked_reason"), filtered("locked=true")), (False, 1), (True, 0)
    ),
    (2, 74): Change(lambda ask: ask.create(host="hv-1"), 400, 202),
    (2, 75): Change(
        all_of(
            status("GET", "/servers?x=1"),
            status("GET", "/flavors?x=1"),
            status("GET", "/os-keypairs?x=1"),
            status("GET", "/os-server-groups?x=1"),
            status("GET", "/limits?x=1"),
            status("GET", f"{QUOTAS}?x=1"),
            status("GET", "/os-services?x=1", boss=True),
            status("GET", "/os-simple-tenant-usage?x=1", boss=True),
            updated("OS-EXT-STS:vm_state", "key_name"),
            swap,
            none_of_hypervisor,
        ),
        (200, 200, 200, 200, 200, 200, 200, 200, (False, False), "", False),
        (400, 400, 400, 400, 400, 400, 400, 400, (True, True), 0, True),
    ),
    (2, 76): Change(lambda ask: ask.event("power-update"), 400, 422),
    (2, 78): Change(status("GET", "/servers/{server}/topology"), 404, 200),
    (2, 80): Change(status("GET", "/os-migrations?user_id=x&project_id=y", boss=True), 400, 200),
    (2, 82): Change(lambda ask: ask.event("accelerator-request-bound"), 400, 422),
    (2, 83): Change(filtered("key_name=none-such"), 1, 0),
    (2, 84): Change(lambda ask: "details" in (events_of_create(ask, boss=True) or [{}])[0], False, True),
    (2, 86): Change(extra_specs, 200, 400),
    (2, 88): Change(
        all_of(
            member_has("/os-hypervisors/{host}", "hypervisor", "vcpus", "cpu_info", "uptime"),
            status("GET", "/os-hypervisors/statistics", boss=True),
            lambda ask: ask("GET", "/os-hypervisors/{host}/uptime", boss=True).status_code == 404,
        ),
        ((True, True, False), 200, False),
        ((False, False, True), 404, True),
    ),
    (2, 90): Change(
        all_of(hostname("chosen"), rebuild(hostname="chosen"), lambda ask: ask.server_has("OS-EXT-SRV-ATTR:hostname")),
        (400, 400, False),
        (202, 202, True),
    ),
    (2, 92): Change(
        all_of(created_key("a@b.c"), status("POST", "/os-keypairs", {"keypair": {"name": "made"}})),
        (400, 201),
        (201, 400),
    ),
    (2, 93): Change(lambda ask: ask.event("volume-reimaged"), 400, 422),
    (2, 94): Change(
        all_of(hostname("chosen.example.org"), rebuild(hostname="chosen.example.org")), (400, 400), (202, 202)
    ),
    (2, 96): appears("pinned_availability_zone"),
    (2, 98): Change(image_of, False, True),
    (2, 99): Change(remote_console("spice", "spice-direct"), 400, 400),
    (2, 100): appears("scheduler_hints"),
}


def rows() -> Iterator[tuple[Version, str, str]]:
    """The table of the page: version, answer, how it is known."""
    for line in PAGE.read_text().splitlines():
        if re.match(r"\| 2\.\d+ \|", line):
            number, _, answer, known = (cell.strip() for cell in line.strip("|").split("|"))
            yield (2, int(number.split(".")[1])), answer, known


ROWS = list(rows())


@contextmanager
def rolled_back() -> Iterator[None]:
    point = transaction.savepoint()
    try:
        yield
    finally:
        transaction.savepoint_rollback(point)


@pytest.fixture
def ask_in(cloud: Cloud, call: Any, admin: RequestContext, answers_at_once: None) -> Callable[[Version], Ask]:
    server = cloud.active(name="web", image_ref=str(cloud.image.pk))
    Step.objects.filter(operation__subject_id=str(server.pk)).update(error={"message": "said"})
    return lambda version: Ask(call, cloud, admin, version, server)


def test_every_version_has_its_row() -> None:
    assert VERSIONS.minimum == (2, 1)
    assert [version for version, _, _ in ROWS] == [(2, minor) for minor in range(1, VERSIONS.maximum[1] + 1)]


def test_rows_and_questions_tell_the_same() -> None:
    assert {version for version, _, known in ROWS if "probed" in known} == {(2, 1), *CHANGES}
    assert {entry.version for entry in HISTORY} >= {(2, 1), *CHANGES}
    served = {version for version, answer, _ in ROWS if answer != "–"}
    assert {entry.version for entry in HISTORY} == served


@pytest.mark.slow
def test_every_change_shows_in_its_version_and_not_before(ask_in: Callable[[Version], Ask]) -> None:
    wrong = {}
    for (major, minor), change in CHANGES.items():
        for version, expected in (((major, minor - 1), change.before), ((major, minor), change.since)):
            with rolled_back():
                found = change.ask(ask_in(version))
            if found != expected:
                wrong[f"{minor} in 2.{version[1]}"] = (found, expected)
    assert wrong == {}


def test_what_the_page_calls_not_served_is_not(ask_in: Callable[[Version], Ask]) -> None:
    served = []
    for version, _, known in ROWS:
        ask = ask_in(version)
        for method, path in re.findall(r"`([A-Z]+) ([^`]+)`", known):
            path = path.replace("{id}", "{server}").replace("{project}", "0" * 32)
            if ask.status(method, path, {} if method != "GET" else None, boss=True) != 404:
                served.append((version, method, path))
        served += [
            (version, "action", name)
            for name in re.findall(r"action `(\w[\w-]*)`", known)
            if ask.status("POST", "/servers/{server}/action", {name: {}}, boss=True) != 400
        ]
    assert served == []


def test_readers_are_asked_the_same_rules(cloud: Cloud, call: Any) -> None:
    server = cloud.active()
    api = call(caller("one", READER))
    assert api("GET", f"/servers/{server.pk}/os-server-password").status_code == 200
    assert api("DELETE", f"/servers/{server.pk}/os-server-password").status_code == 403
    assert api("GET", f"/servers/{server.pk}/diagnostics").status_code == 403
    assert api("GET", "/os-migrations").status_code == 403
    assert api("POST", "/os-server-external-events", events("network-changed", str(server.pk))).status_code == 403
    assert api("GET", "/os-instance_usage_audit_log").status_code == 403
    assert Flavor.objects.count() == 1
