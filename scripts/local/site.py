"""What tells one cloud on this machine from another: its state directory, names, addresses and choices.

The defaults are the quickstart's; `from_environment` reads what an operator may set, tests give their own.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .run import Failure

CHECKOUT = Path(__file__).resolve().parents[2]
UNDERLAY = ipaddress.IPv4Network("172.24.5.0/24")
EXTERNAL = ipaddress.IPv4Network("172.24.4.0/24")
# On the underlay's own address, where no other server of this machine listens.
REDIS_PORT, RABBITMQ_PORT, RABBITMQ_MANAGEMENT_PORT, HOSTS_PORT = 6379, 5672, 15672, 8443
SETTLED = "site.env"  # in the state directory: the settings it was last started with
LASTING = ("KUMO_TAG", "KUMO_UNDERLAY", "KUMO_EXTERNAL", "KUMO_EXTERNAL_BRIDGE", "KUMO_OUTSIDE", "KUMO_BROKER")
SOCKET_PATH_LIMIT = 107  # bytes of a Unix socket's path on Linux
LONGEST_SOCKET = "/hosts/host-1/run/openvswitch/ovs-vswitchd.1234567.ctl"


@dataclass(frozen=True)
class Site:
    """One cloud on this machine. `tag` begins the names of its network devices (at most 8 characters)."""

    state: Path
    tag: str = "kumo"
    listen: str = "127.0.0.1:8080"
    s3_port_listen: str = ""  # where S3 has a root of its own; empty: 1000 ports above
    public_url: str = ""  # how clients reach it, where that is not the listening address
    underlay: ipaddress.IPv4Network = UNDERLAY
    external: ipaddress.IPv4Network = EXTERNAL
    external_bridge: str = "br-ex"
    outside: bool = False  # the gateway is a namespace of its own, not this machine
    virtualization: str = "auto"  # auto | kvm | qemu
    datapath: str = "auto"  # auto | system | netdev
    broker: str = "redis"  # redis | rabbitmq
    nat: bool = False  # guests reach the world behind this machine
    venv: Path = CHECKOUT / ".venv"  # another one is used as it is, never installed into

    @property
    def mark(self) -> str:
        """Written on every device of this cloud, so that it is known as ours."""
        return f"kumo {self.state}"

    @property
    def underlay_bridge(self) -> str:
        return f"{self.tag}-ul"

    @property
    def underlay_address(self) -> str:
        """This machine on the network that joins it to its hosts."""
        return str(self.underlay[1])

    @property
    def external_gateway(self) -> str:
        """The gateway of the floating range: this machine (or the tests' `outside`)."""
        return str(self.external[1])

    @property
    def url(self) -> str:
        return self.public_url or f"http://{self.listen}"

    @property
    def s3_listen(self) -> str:
        """Where S3 has a root of its own."""
        host, _, port = self.listen.rpartition(":")
        return self.s3_port_listen or f"{host}:{int(port) + 1000 if int(port) <= 64535 else int(port) - 1000}"

    @property
    def venv_is_given(self) -> bool:
        return self.venv != CHECKOUT / ".venv"

    @property
    def supervised(self) -> Path:
        return self.state / "services"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def lock(self) -> Path:
        """Held by whoever starts or stops this cloud; outside of the state, which `destroy` removes."""
        return Path("/run", f"{self.tag}-quickstart.lock")

    def path(self, *parts: str) -> Path:
        return self.state.joinpath(*parts)

    def environment(self) -> dict[str, str]:
        """The variables from which `from_environment` makes this site again."""
        return {
            "KUMO_STATE": str(self.state),
            "KUMO_TAG": self.tag,
            "KUMO_LISTEN": self.listen,
            "KUMO_S3_LISTEN": self.s3_port_listen,
            "KUMO_PUBLIC_URL": self.public_url,
            "KUMO_UNDERLAY": str(self.underlay),
            "KUMO_EXTERNAL": str(self.external),
            "KUMO_EXTERNAL_BRIDGE": self.external_bridge,
            "KUMO_OUTSIDE": "yes" if self.outside else "no",
            "KUMO_VIRT": self.virtualization,
            "KUMO_DATAPATH": self.datapath,
            "KUMO_BROKER": self.broker,
            "KUMO_NAT": "yes" if self.nat else "no",
            "KUMO_VENV": str(self.venv),
        }

    def check(self) -> None:
        """Refuse a site that cannot work. Raises Failure."""
        if len(str(self.state) + LONGEST_SOCKET) > SOCKET_PATH_LIMIT:
            raise Failure(
                f"the path of the state directory is too long for sockets: {self.state}",
                "set KUMO_STATE to a shorter path, for example /var/lib/kumo",
            )
        if not re.fullmatch(r"[A-Za-z0-9/._+-]+", str(self.state)):
            raise Failure(
                f"the state directory's path has characters that configuration files do not take: {self.state}",
                "set KUMO_STATE to a path of letters, digits and ./_+-",
            )
        if not re.fullmatch(r"[a-z][a-z0-9]{0,7}", self.tag):
            raise Failure(f"KUMO_TAG is {self.tag}", "give one to eight lower-case letters and digits")
        if self.underlay.overlaps(self.external):
            raise Failure(f"underlay {self.underlay} and external network {self.external} overlap")


def from_environment(given: Mapping[str, str] = os.environ) -> Site:
    """The quickstart's site: KUMO_… variables over what the state directory was made with, over the defaults.

    Raises Failure naming a variable that is wrong, or that cannot be changed any more.
    """
    state = Path(os.path.abspath(given.get("KUMO_STATE") or CHECKOUT / "var"))
    settled = settled_at(state)
    environment = {**settled, **{name: value for name, value in given.items() if value}}
    for name in LASTING:
        if settled.get(name, environment.get(name)) != environment.get(name):
            raise Failure(
                f"{name} is {environment[name]}, but the cloud in {state} was made with {settled[name]}",
                f"leave {name} out, or destroy that cloud first",
            )
    site = Site(
        state=state,
        tag=environment.get("KUMO_TAG") or "kumo",
        listen=listen_address("KUMO_LISTEN", environment.get("KUMO_LISTEN") or "127.0.0.1:8080"),
        s3_port_listen=listen_address("KUMO_S3_LISTEN", environment.get("KUMO_S3_LISTEN") or ""),
        public_url=(environment.get("KUMO_PUBLIC_URL") or "").rstrip("/"),
        underlay=network("KUMO_UNDERLAY", environment.get("KUMO_UNDERLAY") or str(UNDERLAY)),
        external=network("KUMO_EXTERNAL", environment.get("KUMO_EXTERNAL") or str(EXTERNAL)),
        external_bridge=environment.get("KUMO_EXTERNAL_BRIDGE") or "br-ex",
        virtualization=choice(environment, "KUMO_VIRT", ("auto", "kvm", "qemu")),
        datapath=choice(environment, "KUMO_DATAPATH", ("auto", "system", "netdev")),
        outside=choice(environment, "KUMO_OUTSIDE", ("no", "yes")) == "yes",
        broker=choice(environment, "KUMO_BROKER", ("redis", "rabbitmq")),
        nat=choice(environment, "KUMO_NAT", ("no", "yes")) == "yes",
        venv=Path(os.path.abspath(environment.get("KUMO_VENV") or CHECKOUT / ".venv")),
    )
    site.check()
    return site


def settled_at(state: Path) -> dict[str, str]:
    """The settings that a state directory was last started with; none for a new one."""
    try:
        lines = (state / SETTLED).read_text().splitlines()
    except OSError:
        return {}
    return {name: value for name, _, value in (line.partition("=") for line in lines) if value}


def listen_address(name: str, text: str) -> str:
    """`ADDRESS:PORT` with an IPv4 address, or nothing. Raises Failure."""
    if not text:
        return ""
    address, _, port = text.rpartition(":")
    try:
        ipaddress.IPv4Address(address)
        if not 1 <= int(port) <= 65535:
            raise ValueError
    except ValueError:
        raise Failure(f"{name} is {text}", "give ADDRESS:PORT, for example 127.0.0.1:8080") from None
    return text


def network(name: str, text: str) -> ipaddress.IPv4Network:
    """An IPv4 network of at least 64 addresses. Raises Failure."""
    try:
        found = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise Failure(f"{name} is {text}: {error}", "give a network such as 172.24.4.0/24") from None
    if found.prefixlen > 26:
        raise Failure(f"{name} is {text}: too small", "give a /26 or larger")
    return found


def choice(environment: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    """One of the allowed words, the first by default. Raises Failure."""
    value = environment.get(name) or allowed[0]
    if value not in allowed:
        raise Failure(f"{name} is {value}", f"allowed: {', '.join(allowed)}")
    return value
