"""Network devices of a site on this machine. Each carries the site's mark, and nothing without it is touched."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from typing import Any

from .run import Failure, run, succeeds
from .site import Site

ALIAS_LIMIT = 255


def devices() -> list[dict[str, Any]]:
    """All network devices of this machine, as `ip` describes them."""
    return list(json.loads(run(["ip", "-json", "-details", "link", "show"]).stdout or "[]"))


def find(name: str) -> dict[str, Any] | None:
    return next((d for d in devices() if d["ifname"] == name), None)


def ours(site: Site) -> Iterator[str]:
    """Names of the devices that carry the site's mark."""
    return (d["ifname"] for d in devices() if d.get("ifalias") == site.mark[:ALIAS_LIMIT])


def mark(site: Site, name: str) -> None:
    run(["ip", "link", "set", name, "alias", site.mark[:ALIAS_LIMIT]])


def ensure_bridge(site: Site, name: str, address: str = "") -> None:
    """A bridge of this site, up, with an address (CIDR) or none. Raises Failure when the name is taken."""
    there = find(name)
    if there is None:
        run(["ip", "link", "add", name, "type", "bridge"])
        mark(site, name)
    elif there.get("ifalias") != site.mark[:ALIAS_LIMIT]:
        raise Failure(
            f"a network device {name} exists that does not belong to {site.state}",
            "stop the cloud that made it, or set KUMO_EXTERNAL_BRIDGE to another name",
        )
    run(["ip", "link", "set", name, "up"])
    if address:
        run(["ip", "address", "replace", address, "dev", name])
    offload_off(name)


def ensure_veth(site: Site, outer: str, *, bridge: str, inner: str, namespace: str) -> None:
    """A pair of devices: `outer` on a bridge of this machine, `inner` in the network namespace of a file."""
    if not succeeds(["nsenter", f"--net={namespace}", "ip", "link", "show", inner]):
        if find(outer):
            run(["ip", "link", "delete", outer])
        run(["ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", namespace])
        mark(site, outer)
    run(["ip", "link", "set", outer, "master", bridge, "up"])
    offload_off(outer)
    run(["nsenter", f"--net={namespace}", "ip", "link", "set", inner, "up"])
    run(["nsenter", f"--net={namespace}", "ethtool", "-K", inner, "tx", "off"])


def offload_off(name: str) -> None:
    """Finish checksums in software: the userspace datapath forwards frames without doing so."""
    run(["ethtool", "-K", name, "tx", "off"])


def remove_all(site: Site) -> None:
    """Delete every device of the site; a peer goes with its pair."""
    for name in list(ours(site)):
        run(["ip", "link", "delete", name], check=False)


def refuse_overlap(site: Site) -> None:
    """Refuse ranges that this machine already routes elsewhere. Raises Failure."""
    mine = set(ours(site))
    wanted_here = [("KUMO_UNDERLAY", site.underlay)]
    if not site.outside:  # else the range lives in a namespace of its own
        wanted_here.append(("KUMO_EXTERNAL", site.external))
    for route in json.loads(run(["ip", "-json", "-4", "route", "show"]).stdout or "[]"):
        if route["dst"] == "default" or route.get("dev") in mine:
            continue
        taken = ipaddress.IPv4Network(route["dst"], strict=False)
        for name, wanted in wanted_here:
            if wanted.overlaps(taken):
                raise Failure(
                    f"{wanted} is in use on this machine ({route['dst']} on {route.get('dev')})",
                    f"set {name} to a free range, for example 10.204.0.0/24",
                )
