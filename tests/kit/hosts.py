"""Hosts and clouds for system tests: namespaces with their own libvirt, Open vSwitch and OVN.

Each run has its own state directory, device names and underlay range, so that it neither needs nor disturbs a
cloud on the machine. A reaper outside the test process takes everything down however the run ends.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scripts.local import central, view, wires
from scripts.local import cloud as local
from scripts.local.host import Host
from scripts.local.run import run
from scripts.local.site import CHECKOUT, Site
from scripts.local.supervisor import Supervisor


@dataclass
class RealSite:
    """OVN central, the underlay, a namespace `outside`, and hosts on demand."""

    site: Site
    supervisor: Supervisor
    hosts: list[Host] = field(default_factory=list)

    @property
    def northbound(self) -> str:
        """OVN's northbound database, as clients take it."""
        return f"unix:{self.site.path('ovn')}/nb.sock"

    @property
    def scratch(self) -> Path:
        """A directory that guests' processes may read as well, at the same path in every host."""
        path = self.site.path("scratch")
        path.mkdir(exist_ok=True)
        return path

    def add_host(self) -> Host:
        """One more hypervisor, up and known to OVN."""
        number = len(self.hosts) + 1
        host = Host(self.site, f"host-{number}", number)
        host.start(self.supervisor)
        self.hosts.append(host)
        return host

    def outside(self, *argv: str | Path, check: bool = True, timeout_s: float = 60) -> str:
        """Run a program where the external network's gateway is, and return what it wrote."""
        return run(wires.outside(self.site).enter(list(argv)), check=check, timeout_s=timeout_s).stdout


def new_site(broker: str = "redis") -> Site:
    """A site that clashes with nothing on this machine."""
    state = Path(tempfile.mkdtemp(prefix="kt-", dir="/tmp"))
    state.chmod(0o755)
    underlay = free_network()
    tag = "kt" + secrets.token_hex(2)
    return Site(
        state=state,
        tag=tag,
        listen=f"{underlay[1]}:8080",
        underlay=underlay,
        external_bridge=f"{tag}-ex",
        outside=True,
        broker=broker,
        venv=Path(sys.prefix),
    )


def free_network() -> ipaddress.IPv4Network:
    """A /24 that this machine does not route."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show"]).stdout or "[]")
    taken = [ipaddress.IPv4Network(r["dst"], strict=False) for r in routes if r["dst"] != "default"]
    while True:
        network = ipaddress.IPv4Network(f"10.213.{secrets.randbelow(256)}.0/24")
        if not any(network.overlaps(other) for other in taken):
            return network


@contextlib.contextmanager
def reaped(site: Site) -> Iterator[None]:
    """Destroy the site at the end, also when this process is killed: the reaper waits for its end of a pipe."""
    script = f"cat >/dev/null; exec {sys.executable} -m scripts.local destroy --yes >/dev/null 2>&1"
    reaper = subprocess.Popen(
        ["sh", "-c", script],
        stdin=subprocess.PIPE,
        start_new_session=True,
        cwd=CHECKOUT,
        env={**os.environ, **site.environment(), "PYTHONPATH": str(CHECKOUT)},
    )
    assert reaper.stdin is not None
    try:
        yield
    finally:
        reaper.stdin.close()
        reaper.wait(timeout=180)
        shutil.rmtree(site.state, ignore_errors=True)


@contextlib.contextmanager
def real_site() -> Iterator[RealSite]:
    """A started site without hosts; gone afterwards."""
    site = new_site()
    with reaped(site):
        supervisor = Supervisor(site)
        local.prepare_state(site)
        view.ensure(site)
        wires.start(site)
        central.start(site, supervisor)
        yield RealSite(site, supervisor)
