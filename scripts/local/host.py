"""A hypervisor host made of namespaces: its own network, mounts and host name, with its own Open vSwitch,
ovn-controller, libvirt and Kumo worker. Nothing in it touches the machine's.

Inside, every program finds its default paths; they are bind mounts of directories in the site's state.
With a userspace datapath tunnels work only when their address sits on a bridge of Open vSwitch itself,
hence `br-tun`; a kernel datapath uses the underlay device directly.
"""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

from . import broker, links, python
from .cpu_share import CpuShare
from .namespaces import Namespaces, quoted
from .run import Failure, run, succeeds, wait_until, write
from .site import HOSTS_PORT, Site
from .supervisor import Service, Supervisor
from .virtualization import kvm_works

AGENT_STATE = Path("/var/lib/kumo-agent")
# Directory of the host's state -> where programs inside look for it. Made on this machine where missing.
PRIVATE = {
    "run": "/run",
    "etc-openvswitch": "/etc/openvswitch",
    "etc-libvirt": "/etc/libvirt",
    "lib-libvirt": "/var/lib/libvirt",
    "cache-libvirt": "/var/cache/libvirt",
    "log-libvirt": "/var/log/libvirt",
    "agent": str(AGENT_STATE),
}
OVSDB = "unix:/run/openvswitch/db.sock"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
GUEST_PREFIX = "kumo-"
SHUTDOWN_S = 20  # what a guest may take to shut down before its power is cut


@dataclass(frozen=True)
class Host:
    """Host number `number` (1 to 99) of a site."""

    site: Site
    name: str = "host-1"
    number: int = 1

    # --- names and addresses ---

    @property
    def home(self) -> Path:
        return self.site.path("hosts", self.name)

    @property
    def namespaces(self) -> Namespaces:
        return Namespaces(self.home / "namespaces", ("mount", "net", "uts"))

    @property
    def cpu_share(self) -> CpuShare:
        return CpuShare(f"kumo-{self.site.tag}-{self.name}", self.home / "cpu")

    @property
    def address(self) -> str:
        """Of the host itself on the underlay."""
        return str(self.site.underlay[10 + self.number])

    @property
    def tunnels(self) -> str:
        """The upper half of the underlay is for tunnel ends: a network of its own on the same wire."""
        return str(list(self.site.underlay.subnets(1))[1][10 + self.number])

    @property
    def datapath(self) -> str:
        """`system` where the kernel has Open vSwitch, else `netdev`."""
        if self.site.datapath != "auto":
            return self.site.datapath
        return "system" if succeeds(["modprobe", "--all", "openvswitch", "geneve"]) else "netdev"

    @property
    def virtualization(self) -> str:
        if self.site.virtualization != "auto":
            return self.site.virtualization
        return "kvm" if kvm_works() else "qemu"

    @property
    def libvirt_uri(self) -> str:
        """How this machine reaches the host's libvirt."""
        return f"qemu+unix:///system?socket={self.home}/run/libvirt/libvirt-sock"

    def enter(self, *argv: str | Path) -> list[str]:
        """The command that runs `argv` inside this host."""
        return self.namespaces.enter(list(argv))

    def exec(self, *argv: str | Path, check: bool = True, timeout_s: float = 60) -> str:
        """Run a program inside this host and return what it wrote. Raises Failure."""
        return run(self.enter(*argv), check=check, timeout_s=timeout_s).stdout

    # --- up ---

    def start(self, supervisor: Supervisor) -> None:
        """Make the namespaces and start what a hypervisor runs, except Kumo's worker. Raises Failure."""
        if not self.namespaces.exist:
            supervisor.stop([service.name for service in reversed(self.services())])
            self.make_directories()
            self.namespaces.make(self.setup())
        self.connect()
        supervisor.ensure(self.switch_services())
        self.configure_switch(supervisor)
        supervisor.ensure(self.services())
        supervisor.wait_ready(
            self.service_name("libvirt"), self.enter("virsh", "-q", "-c", "qemu:///system", "version")
        )

    def make_directories(self) -> None:
        for name in PRIVATE:
            (self.home / name).mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.home / "run")  # sockets, process ids and namespaces' names of a former life
        for name in ("netns", "openvswitch", "ovn", "libvirt", "lock"):
            (self.home / "run" / name).mkdir(parents=True)
        self.configure_libvirt()
        for place in PRIVATE.values():
            self.make_mount_point(Path(place))

    def make_mount_point(self, place: Path) -> None:
        """A directory of the machine to mount over; what is made is noted, to be removed with the site."""
        if not place.exists():
            place.mkdir(parents=True)
            with self.site.path("made-directories").open("a") as stream:
                stream.write(f"{place}\n")

    def configure_libvirt(self) -> None:
        etc = self.home / "etc-libvirt"
        identity = self.home / "host_uuid"
        if not identity.exists():
            write(identity, f"{uuid.uuid4()}\n")
        write(
            etc / "libvirtd.conf",
            'auth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\nunix_sock_ro_perms = "0700"\n'
            f'host_uuid = "{identity.read_text().strip()}"\n',
        )
        controllers = '"cpu"' if self.cpu_share.is_possible else ""  # the others are the machine's: left alone
        write(
            etc / "qemu.conf",
            f'user = "libvirt-qemu"\ngroup = "kvm"\ncgroup_controllers = [{controllers}]\nremember_owner = 0\n'
            f'namespaces = []\nmigration_host = "{self.address}"\n',
        )

    def setup(self) -> str:
        """Shell text that furnishes the new namespaces."""
        lines = ["umount --all --types nsfs"]  # other namespaces' pins: a copy here would keep them alive
        lines += [quoted("mount", "--bind", self.home / name, place) for name, place in PRIVATE.items()]
        share = self.cpu_share
        lines += share.taken() if share.is_possible else []
        lines += ["mount -t sysfs sysfs /sys", quoted("hostname", self.name), "ip link set lo up"]
        lines += share.shown() if share.is_possible else []
        return "\n".join([*lines, *self.setup_kvm()])

    def setup_kvm(self) -> list[str]:
        """A /dev/kvm that guests may use, or none that anybody can open.

        libvirt probes as another user than QEMU runs as: a device that only one of them can open makes it
        probe over and over, a minute for each definition of a guest.
        """
        if self.virtualization == "kvm":
            node = quoted(self.home / "kvm")
            return [
                f"rm -f {node}; mknod {node} c 10 232",
                f"chown root:kvm {node}; chmod 0660 {node}",
                f"mount --bind {node} /dev/kvm",
            ]
        blank = quoted(self.home / "no-kvm")
        return [f"rm -f {blank}; : >{blank}; chmod 0 {blank}", f"[ ! -e /dev/kvm ] || mount --bind {blank} /dev/kvm"]

    def connect(self) -> None:
        """Wire the host to the underlay and to the external network."""
        site, tag = self.site, f"{self.site.tag}{self.number}"
        network = str(self.namespaces.file("net"))
        links.ensure_veth(site, f"{tag}-u", bridge=site.underlay_bridge, inner="underlay", namespace=network)
        links.ensure_veth(site, f"{tag}-x", bridge=site.external_bridge, inner="external", namespace=network)
        if self.datapath == "netdev":
            links.ensure_veth(site, f"{tag}-t", bridge=site.underlay_bridge, inner="tunnel", namespace=network)
        half = site.underlay.prefixlen + 1
        self.exec("ip", "address", "replace", f"{self.address}/{half}", "dev", "underlay")

    # --- what runs in it ---

    def service_name(self, part: str) -> str:
        return f"{self.name}-{part}"

    def switch_services(self) -> list[Service]:
        quiet = ("-vconsole:info", "-vfile:off", "-vsyslog:off")
        return [
            Service(
                self.service_name("ovsdb"),
                (
                    "ovsdb-server",
                    *quiet,
                    "--remote=punix:/run/openvswitch/db.sock",
                    "--unixctl=/run/openvswitch/ovsdb-server.ctl",
                    "/etc/openvswitch/conf.db",
                ),
                within=self.namespaces,
            ),
            Service(
                self.service_name("vswitchd"),
                ("sh", "-c", self.switch_script(quoted("ovs-vswitchd", *quiet, "--pidfile", OVSDB))),
                within=self.namespaces,
            ),
        ]

    def services(self) -> list[Service]:
        quiet = ("-vconsole:info", "-vfile:off", "-vsyslog:off")
        return [
            *self.switch_services(),
            Service(
                self.service_name("ovn"),
                ("ovn-controller", *quiet, "--pidfile", OVSDB),
                within=self.namespaces,
            ),
            Service(self.service_name("virtlogd"), ("virtlogd",), within=self.namespaces),
            Service(self.service_name("libvirt"), ("libvirtd",), within=self.namespaces),
        ]

    # --- Kumo's worker ---

    @property
    def agent_state(self) -> Path:
        """The worker's state as this machine sees it."""
        return self.home / "agent"

    @property
    def is_enrolled(self) -> bool:
        return (self.agent_state / "identity/host.crt").exists()

    def agent_environment(self) -> dict[str, str]:
        return {
            "KUMO_AGENT_CONFIG": str(AGENT_STATE / "agent.toml"),
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            **python.THRIFT,
            "KUMO_REVISION": python.revision(self.agent_state / "agent.toml"),
        }

    def configure_agent(self) -> None:
        """Write the worker's configuration; an existing one is the operator's and stays."""
        path = self.agent_state / "agent.toml"
        if path.exists():
            return
        site = self.site
        write(
            path,
            f'name = "{self.name}"\nstate = "{AGENT_STATE}"\n'
            f'control_url = "https://{site.underlay_address}:{HOSTS_PORT}"\n'
            f'broker_url = "{broker.url(site)}"\n\n'
            f'[drivers.hypervisor.default]\nBACKEND = "libvirt"\n\n'
            f'[drivers.hypervisor.default.OPTIONS]\nvirtualization = "{self.virtualization}"\n',
        )

    def agent_service(self) -> Service:
        return Service(
            self.service_name("agent"),
            (self.site.venv / "bin/python", "-m", "agents.worker"),
            environment=self.agent_environment(),
            within=self.namespaces,
            stop_s=20,
        )

    def configure_switch(self, supervisor: Supervisor) -> None:
        """Bridges and OVN's settings of this host. Raises Failure."""
        database = self.home / "etc-openvswitch/conf.db"
        if not database.exists():
            self.exec("ovsdb-tool", "create", "/etc/openvswitch/conf.db", SCHEMA)
        ready = self.enter("ovs-vsctl", "--timeout=3", "--no-wait", "init")
        supervisor.wait_ready(self.service_name("ovsdb"), ready)
        datapath = self.datapath
        settings = {
            "system-id": self.name,
            "hostname": self.name,
            "ovn-remote": f"unix:{self.site.path('ovn')}/sb.sock",
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": self.tunnels if datapath == "netdev" else self.address,
            "ovn-bridge-datapath-type": datapath,
            "ovn-bridge-mappings": "physnet1:br-ex",
            "ovn-monitor-all": "true",
        }
        self.ovs("--no-wait", "set", "open", ".", *(f'external-ids:{k}="{v}"' for k, v in settings.items()))
        self.ovs(*self.bridge("br-int", datapath, "fail_mode=secure"))
        self.ovs(*self.bridge("br-ex", datapath), "--", "--may-exist", "add-port", "br-ex", "external")
        if datapath == "netdev":
            tunnel = ("--", "--may-exist", "add-port", "br-tun", "tunnel")
            self.ovs(*self.bridge("br-tun", datapath, "fail_mode=standalone"), *tunnel)

    def switch_script(self, vswitchd: str) -> str:
        """Shell text that becomes `vswitchd`; in userspace its devices are new each time and need their address."""
        if self.datapath != "netdev":
            return f"exec {vswitchd}"
        address = f"{self.tunnels}/{self.site.underlay.prefixlen + 1}"
        return (
            "{ n=0; until ip link set br-tun up 2>/dev/null || [ $n -ge 300 ]; do n=$((n+1)); sleep 0.1; done; "
            f"ip address replace {address} dev br-tun; }} & exec {vswitchd}"
        )

    @staticmethod
    def bridge(name: str, datapath: str, *columns: str) -> tuple[str, ...]:
        return (
            "--may-exist",
            "add-br",
            name,
            "--",
            "set",
            "bridge",
            name,
            f"datapath_type={datapath}",
            *columns,
        )

    def ovs(self, *words: str) -> str:
        return self.exec("ovs-vsctl", "--timeout=15", *words)

    # --- guests, and down ---

    def running_guests(self) -> list[str]:
        """Names of the cloud's guests that run now."""
        listed = self.exec("virsh", "-q", "list", "--name", check=False)
        return [name for name in listed.split() if name.startswith(GUEST_PREFIX)]

    def shut_guests_down(self) -> None:
        """Shut the guests down, and cut the power of those that do not follow; the cloud starts them again."""
        for name in self.running_guests():
            self.exec("virsh", "-q", "shutdown", name, check=False)
        try:
            wait_until(lambda: not self.running_guests(), seconds=SHUTDOWN_S, what="guests", pause_s=0.3)
        except Failure:
            for name in self.running_guests():
                self.exec("virsh", "-q", "destroy", name, check=False)

    def stop(self, supervisor: Supervisor) -> None:
        """Stop guests and services and unpin the namespaces; the state stays. Raises Failure."""
        if self.namespaces.exist:
            if supervisor.is_up(self.service_name("libvirt")):
                self.shut_guests_down()
            self.exec("ovn-appctl", "-t", "ovn-controller", "exit", "--restart", check=False)
            for service in reversed(self.services()):
                supervisor.stop([service.name])
            self.namespaces.kill_processes()
        self.namespaces.remove()
        self.cpu_share.remove()
