"""OVN central: the northbound and southbound databases and northd, reached through Unix sockets only.

They run as the control plane's user, which projects the networks into the northbound database.
"""

from __future__ import annotations

import shutil

from . import view
from .run import run
from .site import Site
from .supervisor import Service, Supervisor

SCHEMAS = "/usr/share/ovn"


def services(site: Site) -> list[Service]:
    """The three processes, in the order in which they start."""
    home = site.path("ovn")
    return [
        database(site, "ovn-northbound", "nb"),
        database(site, "ovn-southbound", "sb"),
        Service(
            "ovn-northd",
            (
                "ovn-northd",
                "-vconsole:info",
                "-vfile:off",
                "-vsyslog:off",
                f"--unixctl={home}/northd.ctl",
                f"--ovnnb-db=unix:{home}/nb.sock",
                f"--ovnsb-db=unix:{home}/sb.sock",
            ),
            user=view.USER,
            within=view.view(site),
        ),
    ]


def database(site: Site, name: str, short: str) -> Service:
    home = site.path("ovn")
    return Service(
        name,
        (
            "ovsdb-server",
            "-vconsole:info",
            "-vfile:off",
            "-vsyslog:off",
            f"--unixctl={home}/{short}.ctl",
            f"--remote=punix:{home}/{short}.sock",
            str(home / f"{short}.db"),
        ),
        user=view.USER,
        within=view.view(site),
    )


def start(site: Site, supervisor: Supervisor) -> None:
    """Make the databases where they are missing and start the processes. Raises Failure."""
    home = site.path("ovn")
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    for short in ("nb", "sb"):
        if not (home / f"{short}.db").exists():
            run(["ovsdb-tool", "create", home / f"{short}.db", f"{SCHEMAS}/ovn-{short}.ovsschema"])
    for path in (home, *home.iterdir()):
        shutil.chown(path, view.USER, view.USER)
    supervisor.ensure(services(site))
    for short, tool in (("nb", "ovn-nbctl"), ("sb", "ovn-sbctl")):
        command = [tool, "--timeout=5", f"--db=unix:{home}/{short}.sock", "init"]
        supervisor.wait_ready("ovn-northbound" if short == "nb" else "ovn-southbound", command)
