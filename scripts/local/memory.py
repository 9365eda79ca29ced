"""Memory of the cloud's processes as PSS: shared pages count once, divided among those who share them."""

from __future__ import annotations

from pathlib import Path

from .site import Site
from .supervisor import Supervisor

CONTROL_PLANE = ("nginx", "web", "bytes", "live", "control", "postgresql", "redis", "rabbitmq", "rabbitmq-epmd")


def pss_mib(pid: int) -> float:
    """Of one process; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0) / 1024


def children() -> dict[int, list[int]]:
    """Every process's children."""
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            found.setdefault(parent, []).append(int(entry.name))
    return found


def service_mib(supervisor: Supervisor, name: str, tree: dict[int, list[int]]) -> float:
    """Of a service with all its processes."""
    waiting, total = [supervisor.pid_of(name)], 0.0
    while waiting:
        pid = waiting.pop()
        if pid:
            total += pss_mib(pid)
            waiting += tree.get(pid, [])
    return total


def report(site: Site, supervisor: Supervisor) -> str:
    """One line on the control plane's memory, one on what stands beside it."""
    tree = children()
    names = [d.name for d in supervisor.directories()]
    each = {name: service_mib(supervisor, name, tree) for name in names}
    own = {n: mib for n, mib in each.items() if n in CONTROL_PLANE or n.endswith("-agent")}
    beside = {n: mib for n, mib in each.items() if n not in own}
    return "\n".join(
        f"  memory of {what}: {sum(part.values()):.0f} MiB (" + ", ".join(f"{n} {m:.0f}" for n, m in part.items()) + ")"
        for what, part in (("Kumo, PostgreSQL, broker, nginx", own), ("OVN, Open vSwitch, libvirt", beside))
    )
