"""Twenty servers are created while each process of the cloud is killed in turn: nothing lost, stuck or doubled."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.bench.benches import delete_all, private_network, server_body
from tests.bench.cloud import Api, Cloud, wait_for
from tests.kit.hosts import CHECKOUT

pytestmark = pytest.mark.kill
COUNT = 20
VICTIMS = ("agent", "control", "redis", "web")
SETTLES_S = 60


@pytest.fixture
def cloud(real_cloud: Any) -> Cloud:
    return Cloud(real_cloud.state)


def manage(cloud: Cloud, *words: str) -> str:
    """Output of a management command of that cloud."""
    done = subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=CHECKOUT,
        env=os.environ
        | {"KUMO_CONFIG": str(cloud.state / "kumo.toml"), "DJANGO_SETTINGS_MODULE": "cloud.settings.base"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def kill(cloud: Cloud, victim: str) -> None:
    """`kill -9` every process of one service, and wait until its supervisor has it running again."""
    before = {pid for pid, part, line in cloud.processes() if victim in part and "runsv" not in line}
    assert before, f"nothing runs as {victim}"
    for pid in before:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        now = {pid for pid, part, line in cloud.processes() if victim in part and "runsv" not in line}
        return bool(now - before)

    wait_for(back, 30)


def create_one(cloud: Cloud, body: dict[str, Any], name: str) -> None:
    """POST until the cloud says yes: a broken connection leaves it open whether it already did."""
    wanted = {"server": body["server"] | {"name": name}}
    for _ in range(120):
        try:
            api = cloud.sign_in("kumo-demo")
            if any(s["name"] == name for s in api.need("GET", "/compute/v2.1/servers?limit=1000")["servers"]):
                return
            if api.call("POST", "/compute/v2.1/servers", wanted)[0] == 202:
                return
        except (OSError, http.client.HTTPException, SystemExit):
            pass
        time.sleep(0.5)
    raise AssertionError(f"{name} was never accepted")


def servers(api: Api, prefix: str) -> list[dict[str, Any]]:
    found = api.need("GET", "/compute/v2.1/servers/detail?limit=1000")["servers"]
    return [s for s in found if s["name"].startswith(prefix)]


def test_every_process_is_killed_while_twenty_servers_are_made(cloud: Cloud) -> None:
    demo, admin = cloud.sign_in("kumo-demo"), cloud.sign_in("kumo-admin")
    project = demo.need("GET", "/identity/v3/auth/projects")["projects"][0]["id"]
    wide = {"quota_set": {"instances": -1, "cores": -1, "ram": -1}}
    admin.need("PUT", f"/compute/v2.1/os-quota-sets/{project}", wide)
    body = server_body(demo, "kill", private_network(demo))
    ports_before = len(demo.need("GET", "/networking/v2.0/ports")["ports"])
    with ThreadPoolExecutor(5) as pool:
        created = [pool.submit(create_one, cloud, body, f"kill-{i}") for i in range(COUNT)]
        for victim in VICTIMS:
            kill(cloud, victim)
        for each in created:
            each.result()
    demo = cloud.sign_in("kumo-demo")
    wait_for(lambda: all(s["status"] in {"ACTIVE", "ERROR"} for s in servers(demo, "kill-")), SETTLES_S, 0.5)
    found = servers(demo, "kill-")
    assert len(found) == COUNT
    unexplained = [s["id"] for s in found if s["status"] == "ERROR" and not s.get("fault", {}).get("message")]
    assert unexplained == []
    assert manage(cloud, "doctor") == ""
    delete_all(demo, [s["id"] for s in found])
    wait_for(lambda: len(demo.need("GET", "/networking/v2.0/ports")["ports"]) == ports_before, SETTLES_S, 0.5)
    assert manage(cloud, "doctor") == ""
