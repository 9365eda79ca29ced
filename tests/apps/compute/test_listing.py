from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.compute.models import Server
from apps.network.models import FixedIp, Port
from tests.apps.compute.conftest import Cloud

LATEST = {"OpenStack-API-Version": "compute latest"}


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.json()
    return [server["name"] for server in answer.json()["servers"]]


@pytest.fixture
def three(cloud: Cloud) -> list[Server]:
    return [
        cloud.active(name="web-1", tags=["a", "b"], metadata={"role": "web"}),
        cloud.active(name="web-2", tags=["b"]),
        cloud.create(name="db"),
    ]


# All of them ask the same three servers, which cost more to make than to list.
FILTERS = {
    "name=web": {"web-1", "web-2"},
    "name=^web-1$": {"web-1"},
    "status=ACTIVE": {"web-1", "web-2"},
    "status=BUILD": {"db"},
    "status=active&status=build": {"web-1", "web-2", "db"},
    "status=SUSPENDED": set(),
    "flavor=1": {"web-1", "web-2", "db"},
    "flavor=none-such": set(),
    "image=00000000-0000-0000-0000-000000000001": set(),
    "ip=10.0.0.": {"web-1", "web-2", "db"},
    "ip=192.": set(),
    "tags=a,b": {"web-1"},
    "tags-any=a,b": {"web-1", "web-2"},
    "not-tags=a": {"web-2", "db"},
    "not-tags-any=a,b": {"db"},
    "locked=true": set(),
    "vm_state=active": {"web-1", "web-2"},
    "task_state=scheduling": {"db"},
    "power_state=1": {"web-1", "web-2"},
    "changes-since=2100-01-01T00:00:00Z": set(),
    "changes-since=2000-01-01T00:00:00Z": {"web-1", "web-2", "db"},
    "changes-before=2000-01-01T00:00:00Z": set(),
}
REFUSED = ("name=%5B", "status=BOGUS", "limit=-1", "limit=x", "marker=nowhere", "changes-since=then", "bogus=1",
           "sort_key=bogus", "locked=perhaps")  # fmt: skip


def test_filters(three: list[Server], cloud: Cloud, call: Any) -> None:
    api = call(cloud.ctx)
    assert {query: set(names(api("GET", f"/servers?{query}", **LATEST))) for query in FILTERS} == FILTERS


def test_what_makes_no_sense_is_refused(three: list[Server], cloud: Cloud, call: Any) -> None:
    api = call(cloud.ctx)
    answers = {query: api("GET", f"/servers?{query}", **LATEST).status_code for query in REFUSED}
    assert answers == dict.fromkeys(REFUSED, 400)


def test_pages_follow_each_other(three: list[Server], cloud: Cloud, call: Any) -> None:
    api = call(cloud.ctx)
    first = api("GET", "/servers?limit=2&sort_key=display_name&sort_dir=asc", **LATEST)
    assert names(first) == ["db", "web-1"]
    link = first.json()["servers_links"][0]["href"]
    second = api("GET", link.partition("/compute/v2.1")[2], **LATEST)
    assert names(second) == ["web-2"]
    assert "servers_links" not in second.json()


def test_other_projects_see_nothing_and_all_tenants_is_for_administrators(
    three: list[Server], cloud: Cloud, call: Any, other: Any, admin: Any
) -> None:
    assert names(call(other)("GET", "/servers")) == []
    assert call(other)("GET", "/servers?all_tenants=1").status_code == 403
    assert len(names(call(admin)("GET", "/servers?all_tenants=1"))) == 3
    assert call(other)("GET", f"/servers/{three[0].pk}").status_code == 404
    assert call(other)("DELETE", f"/servers/{three[0].pk}").status_code == 404


@pytest.mark.slow
def test_a_thousand_servers_are_one_query(cloud: Cloud, call: Any) -> None:
    made = cloud.active()
    port = Port.objects.get(device_id=str(made.pk))
    columns = {f.attname: getattr(made, f.attname) for f in Server._meta.concrete_fields if f.attname != "id"}
    servers = Server.objects.bulk_create([Server(**columns) for _ in range(999)])
    kept = {f.attname: getattr(port, f.attname) for f in Port._meta.concrete_fields if f.attname != "id"}
    ports = Port.objects.bulk_create(
        Port(
            **kept
            | {"device_id": str(s.pk), "server_id": s.pk, "mac_address": f"fa:16:3e:00:{i // 256:02x}:{i % 256:02x}"}
        )
        for i, s in enumerate(servers)
    )
    subnet = port.fixed_ips.get().subnet_id
    FixedIp.objects.bulk_create(
        FixedIp(port=p, subnet_id=subnet, address=f"10.9.{i // 256}.{i % 256}") for i, p in enumerate(ports)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum does in a cloud that lives
    api = call(cloud.ctx)
    api("GET", "/servers/detail", **LATEST)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        answer = api("GET", "/servers/detail", **LATEST)
    assert len(answer.json()["servers"]) == 1000
    assert len(queries) <= 3, [q["sql"][:100] for q in queries]
