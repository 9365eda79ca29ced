"""Questions to this host's Open vSwitch: which datapath it has, what OVN calls it, which ports it carries."""

from __future__ import annotations

import json
import threading
from typing import Literal

from agents.commands import run
from agents.errors import Transient

Datapath = Literal["auto", "netdev", "system"]


class Wiring:
    """One integration bridge. What was found out is kept for the life of the process."""

    def __init__(self, bridge: str, datapath: Datapath = "auto") -> None:
        self.bridge = bridge
        self._datapath = datapath
        self._userspace: bool | None = None if datapath == "auto" else datapath == "netdev"
        self._lock = threading.Lock()

    def userspace(self) -> bool:
        """Whether packets go through OVS's userspace datapath, which leaves partial checksums as they are."""
        with self._lock:
            if self._userspace is None:
                self._userspace = self._bridge_datapath() == "netdev"
            return self._userspace

    def _bridge_datapath(self) -> str:
        found = vsctl("get", "bridge", self.bridge, "datapath_type")
        return found.strip().strip('"')


def vsctl(*arguments: str) -> str:
    """Run ovs-vsctl, waiting a bounded time for the switch."""
    return run(("ovs-vsctl", "--timeout=10", *arguments), timeout_s=15)


def chassis_name() -> str:
    """OVN's name of this host; empty where there is no Open vSwitch or no OVN."""
    try:
        return vsctl("--if-exists", "get", "open", ".", "external_ids:system-id").strip().strip('"')
    except Transient:
        return ""


def interfaces_with(key: str) -> dict[str, str]:
    """Interfaces that carry `external_ids:key`: name to value."""
    found = json.loads(
        vsctl("--format=json", "--columns=name,external_ids", "find", "interface", f"external_ids:{key}!=''")
    )
    return {name: dict(ids[1])[key] for name, ids in found["data"] if key in dict(ids[1])}
