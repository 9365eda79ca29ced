"""The order in which one machine's cloud comes up and goes down."""

from __future__ import annotations

import shutil
import sys

from . import view, wires
from .host import Host
from .run import Failure
from .site import Site
from .supervisor import Supervisor


def hosts_of(site: Site) -> list[Host]:
    """The hosts that have state here: directories `host-1`, `host-2`, …"""
    found = site.path("hosts").glob("host-*")
    return sorted((Host(site, p.name, int(p.name[5:])) for p in found), key=lambda host: host.number)


def stop(site: Site) -> int:
    """Stop everything; what is on disk stays. Leaves no process, device, namespace or mount."""
    supervisor = Supervisor(site)
    for host in hosts_of(site):
        host.stop(supervisor)
    supervisor.shut_down()
    view.view(site).kill_processes()
    view.view(site).remove()
    wires.stop(site)
    return 0


def destroy(site: Site, *, confirmed: bool) -> int:
    """Stop, then remove the state directory with every server, image and secret in it."""
    if not site.state.exists():
        print(f"nothing at {site.state}")
        return 0
    if not confirmed:
        if not sys.stdin.isatty():
            raise Failure("destroy removes all servers, images and secrets", "say so: ./quickstart.sh destroy --yes")
        answer = input(f"Remove {site.state} with all servers, images and secrets in it? Type yes: ")
        if answer.strip() != "yes":
            print("nothing was changed")
            return 1
    stop(site)
    view.remove_user(site)
    shutil.rmtree(site.state)
    return 0


def start(site: Site, *, demo: bool) -> int:
    raise Failure("not yet")


def status(site: Site) -> int:
    raise Failure("not yet")
