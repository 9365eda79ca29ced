"""Placement's API over hosts."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from apps.core.context import RequestContext
from apps.hosts import services
from apps.hosts.models import Host
from apps.hosts.states import HostMode
from tests.kit.http import AUTHENTICATION, Caller, context
from tests.kit.rows import make_host

pytestmark = pytest.mark.django_db
NEWEST = {"OpenStack_API_Version": "placement 1.17"}


@pytest.fixture(autouse=True)
def contexts(settings: Any) -> None:
    settings.KUMO_AUTHENTICATION = AUTHENTICATION


@pytest.fixture
def admin() -> Caller:
    return Caller(context("ops", "admin"), "/placement")


@pytest.fixture
def host() -> Host:
    facts = {"architecture": "x86_64", "cpu_features": ["avx2", "sse4_2", "unheard-of"]}
    return make_host("hv-1", vcpus=4, capacity_vcpus=16, capacity_ram_mib=15_872, facts=facts)


@pytest.fixture
def consumer(host: Host) -> str:
    ident = str(uuid.uuid4())
    services.claim(
        RequestContext(is_system=True), consumer_id=ident, project_id="alice", vcpus=2, ram_mib=512, disk_gib=0
    )
    return ident


def test_the_root_needs_no_token_and_names_the_range():
    for path in ("", "/"):
        answer = Caller(None, "/placement")("GET", path)
        assert answer.status_code == 200
        version = answer.json()["versions"][0]
        assert (version["min_version"], version["max_version"], version["links"][0]["href"]) == ("1.0", "1.17", "")


@pytest.mark.parametrize("path", ["/", "/resource_providers"])
def test_versions_beyond_the_range_are_406_with_the_range(admin, path):
    answer = admin("GET", path, OpenStack_API_Version="placement 1.39")
    assert answer.status_code == 406
    assert answer.json()["errors"][0]["max_version"] == "1.17"


def test_hosts_are_resource_providers(admin, host):
    body = admin("GET", "/resource_providers").json()["resource_providers"]
    assert [(p["uuid"], p["name"]) for p in body] == [(str(host.pk), "hv-1")]
    assert "root_provider_uuid" not in body[0]
    shown = admin("GET", f"/resource_providers/{host.pk}", **NEWEST).json()
    assert shown["root_provider_uuid"] == str(host.pk)
    assert admin("GET", "/resource_providers?name=other").json() == {"resource_providers": []}
    assert admin("GET", f"/resource_providers/{uuid.uuid4()}").status_code == 404
    assert admin("GET", "/resource_providers/nonsense").status_code == 404
    assert admin("POST", "/resource_providers", {"name": "x"}).status_code == 405
    assert admin("DELETE", f"/resource_providers/{host.pk}").status_code == 405
    assert Host.objects.count() == 1


def test_inventories_reckon_to_the_capacity(admin, host):
    body = admin("GET", f"/resource_providers/{host.pk}/inventories").json()
    assert body["resource_provider_generation"] == host.generation
    for name, capacity in (("VCPU", 16), ("MEMORY_MB", 15_872), ("DISK_GB", 100)):
        one = body["inventories"][name]
        assert (one["total"] - one["reserved"]) * one["allocation_ratio"] == capacity
        shown = admin("GET", f"/resource_providers/{host.pk}/inventories/{name}").json()
        assert shown == {**one, "resource_provider_generation": host.generation}
    assert admin("GET", f"/resource_providers/{host.pk}/inventories/PCI").status_code == 404


def test_claims_are_usages_and_allocations(admin, host, consumer):
    below = f"/resource_providers/{host.pk}"
    assert admin("GET", f"{below}/usages").json()["usages"] == {"VCPU": 2, "MEMORY_MB": 512, "DISK_GB": 0}
    held = {"VCPU": 2, "MEMORY_MB": 512}
    assert admin("GET", f"{below}/allocations").json()["allocations"] == {consumer: {"resources": held}}
    body = admin("GET", f"/allocations/{consumer}", **NEWEST).json()
    assert body["allocations"][str(host.pk)]["resources"] == held
    assert body["project_id"] == "alice"
    assert admin("GET", f"/allocations/{uuid.uuid4()}").json() == {"allocations": {}}


def test_a_project_sees_its_own_usage_only(consumer):
    alice, bob = (Caller(context(name), "/placement") for name in ("alice", "bob"))
    path = "/usages?project_id=alice"
    assert alice("GET", path).status_code == 404
    assert alice("GET", path, **NEWEST).json() == {"usages": {"VCPU": 2, "MEMORY_MB": 512}}
    assert bob("GET", path, **NEWEST).status_code == 403
    assert alice("GET", "/resource_providers").status_code == 403


def test_traits_tell_what_a_host_is(admin, host):
    path = f"/resource_providers/{host.pk}/traits"
    assert admin("GET", path).status_code == 404
    assert admin("GET", path, **NEWEST).json()["traits"] == ["HW_ARCH_X86_64", "HW_CPU_X86_AVX2", "HW_CPU_X86_SSE42"]
    Host.objects.update(mode=HostMode.DISABLED)
    assert "COMPUTE_STATUS_DISABLED" in admin("GET", path, **NEWEST).json()["traits"]
    assert admin("GET", "/traits?name=startswith:HW_ARCH", **NEWEST).json()["traits"] == [
        "HW_ARCH_AARCH64",
        "HW_ARCH_X86_64",
    ]
    assert admin("GET", "/traits/HW_ARCH_X86_64", **NEWEST).status_code == 204
    assert admin("GET", "/traits/NO_SUCH", **NEWEST).status_code == 404


def test_candidates_are_hosts_with_room(admin, host, consumer):
    body = admin("GET", "/allocation_candidates?resources=VCPU:14,MEMORY_MB:64", **NEWEST).json()
    assert list(body["provider_summaries"]) == [str(host.pk)]
    assert body["provider_summaries"][str(host.pk)]["resources"]["VCPU"] == {"capacity": 16, "used": 2}
    none = admin("GET", "/allocation_candidates?resources=VCPU:15", **NEWEST).json()
    assert none == {"allocation_requests": [], "provider_summaries": {}}
    for bad in ("resources=VCPU", "resources=GPU:1", "resources=VCPU:0", "", "resources=VCPU:1&required=X"):
        assert admin("GET", f"/allocation_candidates?{bad}", **NEWEST).status_code == 400


def test_resource_classes_are_the_three_that_are_claimed(admin):
    names = [c["name"] for c in admin("GET", "/resource_classes", **NEWEST).json()["resource_classes"]]
    assert names == ["VCPU", "MEMORY_MB", "DISK_GB"]
    assert admin("GET", "/resource_classes/VCPU", **NEWEST).status_code == 200
    assert admin("GET", "/resource_classes/PCI", **NEWEST).status_code == 404
