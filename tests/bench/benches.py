"""What is measured, and against what."""

from __future__ import annotations

import statistics
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.bench import identity, objects
from tests.bench.cloud import Api, Cloud, cpu_seconds, pss_mib, wait_for
from tests.bench.guests import Bare
from tests.bench.rows import Row, pids_of

COUNTED = ("nginx", "web", "bytes", "live", "control", "agent", "postgres", "redis")


def memory(cloud: Cloud) -> Iterator[Row]:
    """Idle PSS of each part; OVN, Open vSwitch and libvirt are shown beside the sum."""
    sizes: dict[str, float] = defaultdict(float)
    for pid, part, _ in cloud.processes():
        sizes[part] += pss_mib(pid)
    counted = {p: s for p, s in sizes.items() if any(name in p for name in COUNTED)}
    for part, size in sorted(sizes.items(), key=lambda item: -item[1]):
        yield Row(f"memory of {part}{'' if part in counted else ' (not counted)'}", f"{size:.0f} MiB")
    yield Row("idle memory of the control plane and worker", f"{sum(counted.values()):.0f} MiB", goal="≤ 450 MiB")


def token(cloud: Cloud) -> Iterator[Row]:
    """Validations per second of CPU that web process and PostgreSQL use for them."""
    admin = cloud.sign_in("kumo-admin")
    subject = cloud.sign_in("kumo-demo").token
    pids = pids_of(cloud, "web")

    def rate(path: str, headers: dict[str, str], count: int) -> tuple[float, float]:
        admin.need("GET", path, **headers)
        cpu, wall = cpu_seconds(pids), time.perf_counter()
        for _ in range(count):
            admin.need("GET", path, **headers)
        return count / max(cpu_seconds(pids) - cpu, 1e-6), count / (time.perf_counter() - wall)

    bare_cpu, _ = rate("/compute/", {}, 2000)
    per_core, per_second = rate("/identity/v3/auth/tokens", {"X-Subject-Token": subject}, 4000)
    yield Row(
        "token validations per CPU second of the web process",
        f"{per_core:.0f}",
        f"version document {bare_cpu:.0f}",
        f"{per_core / bare_cpu:.2f}",
        "≥ 1500",
    )
    yield Row("token validations a second, one client", f"{per_second:.0f}", goal="OpenStack 215")


def detail(cloud: Cloud) -> Iterator[Row]:
    """`GET /servers/detail` of a project with 1,000 servers, against the bare SELECT of as many rows."""
    demo = cloud.sign_in("kumo-demo")
    project = demo.need("GET", "/identity/v3/auth/projects")["projects"][0]["id"]
    made = _thousand_servers(cloud, project)
    try:
        times, bare = [], []
        for _ in range(12):
            started = time.perf_counter()
            found = demo.need("GET", "/compute/v2.1/servers/detail?limit=1000")["servers"]
            times.append(time.perf_counter() - started)
            started = time.perf_counter()
            with cloud.database.cursor() as cursor:
                cursor.execute(
                    "SELECT row_to_json(s) FROM compute_server s WHERE project_id = %s LIMIT 1000", [project]
                )
                cursor.fetchall()
            bare.append(time.perf_counter() - started)
    finally:
        with cloud.database.cursor() as cursor:
            cursor.execute("DELETE FROM compute_server WHERE id = ANY(%s::uuid[])", [made])
    measured, base = statistics.median(times[2:]) * 1000, statistics.median(bare[2:]) * 1000
    yield Row(
        f"servers/detail with {len(found)} servers",
        f"{measured:.0f} ms",
        f"SELECT {base:.0f} ms",
        f"{measured / base:.1f}",
        "< 100 ms",
    )


def _thousand_servers(cloud: Cloud, project: str) -> list[str]:
    """Copies of a real server's row, on a host that no worker looks after: a bench of reading needs no guests."""
    ids = [str(uuid.uuid4()) for _ in range(1000)]
    with cloud.database.cursor() as cursor:
        cursor.execute("SELECT * FROM compute_server WHERE project_id = %s LIMIT 1", [project])
        if cursor.fetchone() is None:
            raise SystemExit("the project demo has no server to copy; run quickstart without --no-demo")
        columns = [f'"{c.name}"' for c in cursor.description if c.name not in {"id", "name", "host_name"}]
        cursor.execute(
            f"INSERT INTO compute_server (id, name, host_name, {', '.join(columns)}) "
            f"SELECT i::uuid, 'bench-' || i, 'bench', {', '.join(columns)} FROM unnest(%s) i, "
            "(SELECT * FROM compute_server WHERE project_id = %s LIMIT 1) s",
            [ids, project],
        )
    return ids


def port(cloud: Cloud) -> Iterator[Row]:
    """CPU of web process and PostgreSQL for one port, against a version document through the same stack."""
    admin = cloud.sign_in("kumo-admin")
    network = admin.need("POST", "/networking/v2.0/networks", {"network": {"name": "bench"}})["network"]
    subnet = {"subnet": {"network_id": network["id"], "cidr": "10.251.0.0/20", "ip_version": 4}}
    admin.need("POST", "/networking/v2.0/subnets", subnet)
    project = network["project_id"]
    admin.need("PUT", f"/networking/v2.0/quotas/{project}", {"quota": {"port": 2000}})
    made: list[str] = []
    try:
        web, sql = pids_of(cloud, "web"), pids_of(cloud, "postgres")
        count = 200
        for index in range(count + 20):
            if index == 20:
                before = cpu_seconds(web), cpu_seconds(sql), time.perf_counter()
            body = {"port": {"network_id": network["id"], "name": f"bench-{index}"}}
            made.append(admin.need("POST", "/networking/v2.0/ports", body)["port"]["id"])
        web_ms = (cpu_seconds(web) - before[0]) * 1000 / count
        sql_ms = (cpu_seconds(sql) - before[1]) * 1000 / count
        wall = (time.perf_counter() - before[2]) * 1000 / count
    finally:
        for ident in made:
            admin.call("DELETE", f"/networking/v2.0/ports/{ident}")
        admin.call("DELETE", f"/networking/v2.0/networks/{network['id']}")
        admin.call("DELETE", f"/networking/v2.0/quotas/{project}")
    yield Row(
        "port create, CPU of web and PostgreSQL",
        f"{web_ms + sql_ms:.1f} ms ({web_ms:.1f} + {sql_ms:.1f}; wall {wall:.1f})",
        "OpenStack 105 ms",
        f"{(web_ms + sql_ms) / 105:.2f}",
        "< 10 ms",
    )


def server_body(api: Api, name: str, network: str) -> dict[str, object]:
    image = next(i for i in api.need("GET", "/image/v2/images")["images"] if i["status"] == "active")
    flavors = api.need("GET", "/compute/v2.1/flavors/detail")["flavors"]
    flavor = min(flavors, key=lambda f: (f["ram"] < 128, f["ram"]))
    return {
        "server": {"name": name, "imageRef": image["id"], "flavorRef": flavor["id"], "networks": [{"uuid": network}]}
    }


def private_network(api: Api) -> str:
    found = api.need("GET", "/networking/v2.0/networks?router:external=False")["networks"]
    if not found:
        raise SystemExit("the project demo has no network of its own")
    return str(found[0]["id"])


def until_active(api: Api, ids: list[str], timeout_s: float, pause_s: float = 0.02) -> None:
    """Waits until all are ACTIVE; an ERROR stops the bench with its reason. Looking costs CPU too: seldom, for many."""

    def ready() -> bool:
        states = {s["id"]: s for s in api.need("GET", "/compute/v2.1/servers/detail?limit=1000")["servers"]}
        failed = [s for i, s in states.items() if i in ids and s["status"] == "ERROR"]
        if failed:
            raise SystemExit(f"server {failed[0]['id']}: {failed[0].get('fault')}")
        return all(states.get(i, {}).get("status") == "ACTIVE" for i in ids)

    wait_for(ready, timeout_s, pause_s)


def delete_all(api: Api, ids: list[str]) -> None:
    for ident in ids:
        api.call("DELETE", f"/compute/v2.1/servers/{ident}")
    wait_for(lambda: all(api.call("GET", f"/compute/v2.1/servers/{i}")[0] == 404 for i in ids), 600, 0.5)


def create(cloud: Cloud) -> Iterator[Row]:
    """One server to ACTIVE, alternating with `virsh define` and `start` of the same domain."""
    demo = cloud.sign_in("kumo-demo")
    body = server_body(demo, "bench", private_network(demo))
    times, bare = [], []
    for _ in range(5):
        started = time.perf_counter()
        ident = demo.need("POST", "/compute/v2.1/servers", body)["server"]["id"]
        until_active(demo, [ident], 120)
        times.append(time.perf_counter() - started)
        with Bare(cloud, ident) as guests:
            bare.append(guests.start(1))
        delete_all(demo, [ident])
    ours, base = statistics.median(times), statistics.median(bare)
    yield Row(
        "server create to ACTIVE", f"{ours:.2f} s", f"virsh {base:.2f} s", f"{ours / base:.1f}", f"≤ {base + 1:.2f} s"
    )


def _post(client: Api, body: object, count: int) -> list[str]:
    return [client.need("POST", "/compute/v2.1/servers", body)["server"]["id"] for _ in range(count)]


def burst(cloud: Cloud, count: int = 50) -> Iterator[Row]:
    """Fifty servers at once to ACTIVE, against fifty `virsh define` and `start` by as many threads as the host uses."""
    demo, admin = cloud.sign_in("kumo-demo"), cloud.sign_in("kumo-admin")
    project = demo.need("GET", "/identity/v3/auth/projects")["projects"][0]["id"]
    wide = {"quota_set": {"instances": -1, "cores": -1, "ram": -1}}
    admin.need("PUT", f"/compute/v2.1/os-quota-sets/{project}", wide)
    body = server_body(demo, "burst", private_network(demo))
    made: list[str] = []
    clients = [cloud.sign_in("kumo-demo") for _ in range(5)]
    try:
        started = time.perf_counter()
        with ThreadPoolExecutor(len(clients)) as pool:
            for ids in pool.map(lambda client: _post(client, body, count // len(clients)), clients):
                made += ids
        accepted = time.perf_counter() - started
        until_active(demo, made, 900, 0.5)
        ours = time.perf_counter() - started
        template = made[0]
        with Bare(cloud, template) as guests:
            delete_all(cloud.sign_in("kumo-demo"), made[1:])
            base = guests.start(count)
    finally:
        delete_all(cloud.sign_in("kumo-demo"), made)
        # A new connection: the first one was idle for longer than nginx keeps it.
        cloud.sign_in("kumo-admin").call("DELETE", f"/compute/v2.1/os-quota-sets/{project}")
    yield Row(
        f"{count} servers to ACTIVE (accepted in {accepted:.1f} s)",
        f"{ours:.1f} s",
        f"virsh {base:.1f} s",
        f"{ours / base:.2f}",
        "≤ 1.3",
    )


ALL: dict[str, Callable[[Cloud], Iterator[Row]]] = {
    "memory": memory,
    "token": token,
    "revoking": identity.revoking,
    "signin": identity.signin,
    "assignments": identity.assignments,
    "detail": detail,
    "port": port,
    "create": create,
    "burst": burst,
    "object-writes": objects.writes,
    "object-reads": objects.reads,
    "object-listings": objects.listings,
    "object-uploads": objects.uploads,
}
