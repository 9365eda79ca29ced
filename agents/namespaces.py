"""Network namespaces of metadata endpoints: made, wired to the integration bridge, listened in, removed.

A namespace holds one end of a veth pair with the addresses of an OVN localport and 169.254.169.254; the other
end is a port of the integration bridge. A veth rather than an internal port of the switch, because internal
ports lose their addresses and their namespace when ovs-vswitchd restarts.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import threading
from pathlib import Path

from agents.commands import CommandFailed, run
from agents.contracts import MetadataEndpoint
from agents.wiring import Wiring, vsctl

ADDRESS = "169.254.169.254"
PORT = 80
NAME_PREFIX = "kumo-md-"
LINK_PREFIX = "kmd"
INNER_LINK = "md0"
BACKLOG = 64
ROOT = Path("/run/netns")

_CLONE_NEWNET = 0x40000000


def namespace_name(network_id: str) -> str:
    return NAME_PREFIX + _short(network_id)


def link_name(network_id: str) -> str:
    """The bridge's end of the pair: 15 characters, as many as Linux allows."""
    return LINK_PREFIX + _short(network_id)


def _short(network_id: str) -> str:
    return network_id.replace("-", "")[:12]


def ensure(network_id: str, endpoint: MetadataEndpoint, wiring: Wiring) -> None:
    """Make the namespace and its link as the endpoint says, whatever is there already."""
    name, link = namespace_name(network_id), link_name(network_id)
    if not (ROOT / name).exists():
        run(("ip", "netns", "add", name))
    if not _joined(name, link):
        # A pair may be left whose namespace was taken away and lives on without a name. The switch has to
        # let go of it too, else it would keep reading from the device that was.
        _unplug(link)
        run(("ip", "link", "add", link, "type", "veth", "peer", "name", INNER_LINK, "netns", name))
    _address(name, endpoint)
    if wiring.userspace():
        # The userspace datapath would pass on checksums that nobody has computed.
        run(("ethtool", "-K", link, "tx", "off"))
        run(("ip", "netns", "exec", name, "ethtool", "-K", INNER_LINK, "tx", "off"))
    run(("ip", "link", "set", link, "up"))
    vsctl(
        "--may-exist", "add-port", wiring.bridge, link, "--", "set", "interface", link,
        f"external_ids:iface-id={endpoint.port_id}", f"external_ids:kumo-metadata={network_id}",
    )  # fmt: skip


def _address(name: str, endpoint: MetadataEndpoint) -> None:
    run(("ip", "-n", name, "link", "set", "lo", "up"))
    run(("ip", "-n", name, "link", "set", INNER_LINK, "address", endpoint.mac))
    wanted = {*endpoint.cidrs, f"{ADDRESS}/32"}
    shown = json.loads(run(("ip", "-n", name, "-j", "address", "show", "dev", INNER_LINK)))
    present = {
        f"{found['local']}/{found['prefixlen']}"
        for found in shown[0]["addr_info"]
        if found["scope"] != "link" or found["family"] == "inet"
    }
    for cidr in sorted(wanted - present):
        at_once = ("nodad",) if ":" in cidr else ()
        run(("ip", "-n", name, "address", "replace", cidr, "dev", INNER_LINK, *at_once))
    for cidr in sorted(present - wanted):
        run(("ip", "-n", name, "address", "del", cidr, "dev", INNER_LINK))
    run(("ip", "-n", name, "link", "set", INNER_LINK, "up"))


def remove(name: str, link: str) -> None:
    """Remove a namespace and its link; absent is success."""
    _unplug(link)
    if (ROOT / name).exists():
        run(("ip", "netns", "del", name))


def _joined(name: str, link: str) -> bool:
    inner = json.loads(run(("ip", "-n", name, "-j", "link", "show")))
    return _link_exists(link) and any(found["ifname"] == INNER_LINK for found in inner)


def _unplug(link: str) -> None:
    vsctl("--if-exists", "del-port", link)
    try:
        if _link_exists(link):
            run(("ip", "link", "del", link))
    except CommandFailed:
        if _link_exists(link):  # else the kernel took it away meanwhile, together with its peer
            raise


def _link_exists(link: str) -> bool:
    try:
        socket.if_nametoindex(link)
    except OSError:
        return False
    return True


def present() -> set[str]:
    """Names of the metadata namespaces on this host."""
    if not ROOT.is_dir():
        return set()
    return {entry.name for entry in ROOT.iterdir() if entry.name.startswith(NAME_PREFIX)}


def listen(name: str) -> socket.socket:
    """A socket that listens on 169.254.169.254:80 inside a namespace, to be served from outside it."""
    made: list[socket.socket] = []
    failed: list[BaseException] = []

    def work() -> None:  # setns changes the calling thread alone, so the thread is thrown away afterwards
        try:
            _enter(name)
            made.append(_listening_socket())
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=work, name=f"setns-{name}")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return made[0]


def _enter(name: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(ROOT / name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, f"setns {name}: {os.strerror(number)}")
    finally:
        os.close(handle)


def _listening_socket() -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ADDRESS, PORT))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
