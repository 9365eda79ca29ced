"""The networks of a site on this machine: the underlay to its hosts, and the external network of floating IPs.

The gateway of the external network is this machine, or a namespace `outside` of its own in tests. Guests reach
the world behind the machine only if NAT was asked for.
"""

from __future__ import annotations

from pathlib import Path

from . import links
from .namespaces import Namespaces
from .run import run, write
from .site import Site


def outside(site: Site) -> Namespaces:
    """The network namespace that stands for the outside world in tests."""
    return Namespaces(site.path("outside"), ("net",))


def start(site: Site) -> None:
    """Make or mend both networks. Raises Failure when a name or a range is taken."""
    links.refuse_overlap(site)
    links.ensure_bridge(site, site.underlay_bridge, f"{site.underlay_address}/{site.underlay.prefixlen + 1}")
    gateway = f"{site.external_gateway}/{site.external.prefixlen}"
    links.ensure_bridge(site, site.external_bridge, "" if site.outside else gateway)
    if site.outside:
        start_outside(site, gateway)
    nat(site, site.nat)


def start_outside(site: Site, gateway: str) -> None:
    there = outside(site)
    if not there.exist:
        there.make("ip link set lo up")
    network = str(there.file("net"))
    links.ensure_veth(site, f"{site.tag}-o", bridge=site.external_bridge, inner="eth0", namespace=network)
    run(there.enter(["ip", "address", "replace", gateway, "dev", "eth0"]))


def nat(site: Site, wanted: bool) -> None:
    """Masquerade the floating range behind this machine, in a table of our own; or take that away again."""
    table = f"kumo_{site.tag}"
    forward = Path("/proc/sys/net/ipv4/ip_forward")
    before = site.path("ip_forward_before")
    if before.exists():
        run(["nft", "delete", "table", "ip", table], check=False)
    if wanted:
        if not before.exists():
            write(before, forward.read_text())
        forward.write_text("1\n")
        run(["nft", "-f", "-"], stdin=masquerade(site, table))
    elif before.exists():
        forward.write_text(before.read_text())
        before.unlink()


def masquerade(site: Site, table: str) -> str:
    return (
        f"table ip {table} {{\n"
        "  chain postrouting {\n    type nat hook postrouting priority srcnat;\n"
        f'    ip saddr {site.external} oifname != "{site.external_bridge}" masquerade\n  }}\n'
        "}\n"
    )


def stop(site: Site) -> None:
    """Take both networks away, and what they changed."""
    nat(site, False)
    outside(site).kill_processes()
    outside(site).remove()
    links.remove_all(site)
