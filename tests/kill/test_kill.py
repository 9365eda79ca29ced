"""Servers are made while what the cloud consists of is killed in turn: nothing is lost, stuck, doubled or left."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg2
import pytest

from scripts.local import redis
from tests.bench.benches import private_network, server_body
from tests.bench.cloud import Api, Cloud
from tests.kit.cloud import RealCloud
from tests.kit.waiting import until

pytestmark = pytest.mark.kill
SETTLES_S = 60  # after the last kill, where nothing else runs on the machine
BACK_S = 60
CREATORS = 5

Act = Callable[[RealCloud], None]


def settles_s() -> float:
    """A machine whose processors are wanted by n times as many is given n times as long."""
    return SETTLES_S * max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def killed(victim: str) -> Act:
    """`kill -9` every process of one service, and wait until its supervisor has it running again."""

    def act(cloud: RealCloud) -> None:
        before = running(cloud, victim)
        assert before, f"nothing runs as {victim}"
        for pid in before:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(lambda: bool(running(cloud, victim) - before), BACK_S)

    return act


def running(cloud: RealCloud, service: str) -> set[int]:
    """Process ids of a supervised service."""
    return {pid for pid, part, line in Cloud(cloud.state).processes() if part == service and "runsv" not in line}


def wiped(cloud: RealCloud) -> None:
    """Everything that is in the broker is lost."""
    redis.command(cloud.site, "FLUSHALL")


# --- what is looked at -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Traces:
    """What servers leave in the world while they are there."""

    ports: frozenset[str]
    claims: frozenset[str]
    domains: frozenset[str]
    directories: frozenset[str]
    switch_ports: frozenset[str]
    unfinished: frozenset[str]


def traces(cloud: RealCloud) -> Traces:
    unfinished = "SELECT kind || ' ' || id FROM operation WHERE status IN ('pending', 'running', 'undoing', 'stuck')"
    return Traces(
        ports=frozenset(cloud.query("SELECT id::text FROM network_port")),
        claims=frozenset(cloud.query("SELECT consumer_id::text FROM hosts_claim")),
        domains=frozenset(cloud.host.exec("virsh", "-q", "list", "--all", "--name").split()),
        directories=frozenset(path.name for path in (cloud.host.agent_state / "servers").iterdir()),
        switch_ports=frozenset(cloud.northbound("--bare", "--columns=name", "list", "Logical_Switch_Port").split()),
        unfinished=frozenset(cloud.query(unfinished)),
    )


def wait_for_count(cloud: RealCloud, wanted: range) -> None:
    """Until so many of the test's servers are there and are not being deleted: kills are spread over the work."""
    statement = "SELECT 1 FROM compute_server WHERE name LIKE 'kill-%' AND deleting_at IS NULL"
    until(lambda: len(cloud.query(statement)) in wanted, settles_s())


def servers(api: Api, prefix: str) -> list[dict[str, Any]]:
    found = api.need("GET", "/compute/v2.1/servers/detail?limit=1000")["servers"]
    return [server for server in found if server["name"].startswith(prefix)]


# --- the tests -----------------------------------------------------------------------------------------


@pytest.fixture
def wide(real_cloud: RealCloud) -> Iterator[Cloud]:
    """The cloud, without limits on how many servers the project demo may have."""
    cloud = Cloud(real_cloud.state)
    project = cloud.sign_in("kumo-demo").need("GET", "/identity/v3/auth/projects")["projects"][0]["id"]
    path = f"/compute/v2.1/os-quota-sets/{project}"
    cloud.sign_in("kumo-admin").need("PUT", path, {"quota_set": {"instances": -1, "cores": -1, "ram": -1}})
    yield cloud
    cloud.sign_in("kumo-admin").call("DELETE", path)


def create_one(cloud: Cloud, body: dict[str, Any], name: str) -> None:
    """POST until the cloud says yes: a broken connection leaves it open whether it already did."""
    wanted = {"server": body["server"] | {"name": name}}

    def accepted() -> bool:
        try:
            api = cloud.sign_in("kumo-demo")
            there = any(server["name"] == name for server in servers(api, name))
            return there or api.call("POST", "/compute/v2.1/servers", wanted)[0] == 202
        except (OSError, http.client.HTTPException, ValueError, SystemExit):
            return False

    until(accepted, 240, 0.5)


def delete(cloud: Cloud, ident: str) -> None:
    """DELETE until the cloud has taken it."""

    def taken() -> bool:
        try:
            return cloud.sign_in("kumo-demo").call("DELETE", f"/compute/v2.1/servers/{ident}")[0] in {204, 404}
        except (OSError, http.client.HTTPException, ValueError, SystemExit):
            return False

    until(taken, 240, 0.5)


def settled(what: str, last: float, holds: Callable[[], bool]) -> None:
    """Wait until it holds and tell how long that took; answers may still fail in the first moments."""

    def now() -> bool:
        try:
            return holds()
        except (OSError, http.client.HTTPException, ValueError, SystemExit, psycopg2.Error):
            return False

    until(now, max(settles_s() - (time.monotonic() - last), 1), 0.5)
    print(f"{what} {time.monotonic() - last:.1f} s after the last kill (load {os.getloadavg()[0]:.0f})")


@pytest.mark.parametrize(
    ("count", "acts"),
    [
        pytest.param(20, [killed(name) for name in ("host-1-agent", "control", "redis", "web")], id="kumo"),
        pytest.param(
            8,
            [killed("host-1-libvirt"), wiped]
            + [killed(name) for name in ("ovn-northd", "ovn-northbound", "host-1-ovn", "postgresql")],
            id="what-it-stands-on",
        ),
    ],
)
def test_servers_are_made_and_deleted_while_everything_is_killed(
    real_cloud: RealCloud, wide: Cloud, count: int, acts: list[Act]
) -> None:
    demo = wide.sign_in("kumo-demo")
    body = server_body(demo, "kill", private_network(demo))
    before = traces(real_cloud)
    with ThreadPoolExecutor(CREATORS) as pool:
        made = [pool.submit(create_one, wide, body, f"kill-{i}.") for i in range(count)]
        for index, act in enumerate(acts):
            wait_for_count(real_cloud, range(index * count // len(acts), count + 1))
            act(real_cloud)
        last = time.monotonic()
        for each in made:
            each.result()
    print(f"{count} accepted {time.monotonic() - last:.1f} s after the last kill")
    settled(
        "all are ACTIVE or ERROR",
        last,
        lambda: all(s["status"] in {"ACTIVE", "ERROR"} for s in servers(wide.sign_in("kumo-demo"), "kill-")),
    )
    found = servers(wide.sign_in("kumo-demo"), "kill-")
    print({state: sum(s["status"] == state for s in found) for state in ("ACTIVE", "ERROR")})
    assert sorted(s["name"] for s in found) == sorted(f"kill-{i}." for i in range(count))
    unexplained = [s["id"] for s in found if s["status"] == "ERROR" and not s.get("fault", {}).get("message")]
    assert unexplained == []
    assert real_cloud.manage("doctor") == ""

    with ThreadPoolExecutor(CREATORS) as pool:
        gone = [pool.submit(delete, wide, s["id"]) for s in found]
        for index, act in enumerate(acts):
            wait_for_count(real_cloud, range(count - index * count // len(acts) + 1))
            act(real_cloud)
        last = time.monotonic()
        for each in gone:
            each.result()
    settled("nothing is left", last, lambda: traces(real_cloud) == before)
    assert real_cloud.manage("doctor") == ""
