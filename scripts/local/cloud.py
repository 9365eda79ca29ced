"""The order in which one machine's cloud comes up and goes down."""

from __future__ import annotations

import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path

from . import broker, central, control, first, nginx, postgres, python, systemd, view, wires
from .host import Host
from .memory import report
from .progress import Background, step, total
from .run import Failure, run, wait_until, write
from .secret import give_to_control_plane
from .site import CHECKOUT, SETTLED, Site
from .supervisor import Supervisor

MARK = "kumo-state"  # a file that says: this directory is the state of a cloud, and destroy may remove it
NEIGHBOURS = {
    "libvirt": "/run/libvirt/libvirt-sock",
    "Open vSwitch": "/run/openvswitch/db.sock",
    "OVN": "/run/ovn/ovnnb_db.sock",
    "PostgreSQL": "/run/postgresql/.s.PGSQL.5432",
    "Redis": "/run/redis/redis-server.pid",
}
FREE_MIB = 3000  # what a first start writes: packages' images, databases, a guest's disk


def start(site: Site, *, demo: bool) -> int:
    """Bring the whole cloud up, whatever of it is there already. Raises Failure."""
    was_new = not site.path("ready").exists()
    print(f"Kumo in {site.state}")
    prepare_state(site)
    say_what_is_left_alone()
    environment = Background("Python environment", lambda: python.ensure_environment(site))
    image = Background("guest image", lambda: first.build_image(site)) if demo else None
    supervisor = Supervisor(site)
    if not supervisor.pid_of(nginx.NAME):
        nginx.refuse_busy(site)
    with step("networks of this machine"):
        view.ensure(site)
        wires.start(site)
        supervisor.ensure_running()
    with step(f"PostgreSQL and {'RabbitMQ' if site.broker == 'rabbitmq' else 'Redis'}"):
        postgres.start(site, supervisor)
        broker.start(site, supervisor)
    host = Host(site)
    with step("OVN, Open vSwitch and libvirt of host-1"):
        central.start(site, supervisor)
        host.start(supervisor)
    environment.join()
    control.prepare(site)
    if not control.is_prepared(site):
        with step("database, first users, static files"):
            control.prepare_for_revision(site)
    with step("web, bytes, live, control worker, nginx"):
        control.start(site, supervisor)
        nginx.start(site, supervisor)
        first.write_access_files(site)
        wait_for_answer(site)
    with step("host-1 joins the cloud"):
        join_host(host, supervisor)
    if image:
        image.join()
    first.make(site, demo=demo)
    site.path("ready").touch()
    systemd.come_back(site)
    first.closing_words(site, demo=demo)
    print(f"{'The first start' if was_new else 'This start'} took {total():.0f} s.")
    return 0


def prepare_state(site: Site) -> None:
    """The state directory, with room on its disk, and a checkout that others than root may read."""
    site.state.mkdir(parents=True, exist_ok=True)
    site.state.chmod(0o755)
    write(site.path(MARK), f"{site.mark}\n")
    control.move_address(site)
    settle(site)
    for path in (site.run, site.logs):
        path.mkdir(exist_ok=True)
    free_mib = shutil.disk_usage(site.state).free // (1 << 20)
    if not site.path("ready").exists() and free_mib < FREE_MIB:
        raise Failure(
            f"{free_mib} MiB are free where {site.state} is, about {FREE_MIB} are needed",
            "make room, or set KUMO_STATE to a directory on another disk",
        )
    if not (CHECKOUT / "manage.py").stat().st_mode & 0o004 or not CHECKOUT.stat().st_mode & 0o001:
        raise Failure(
            f"only root may read {CHECKOUT}; the control plane runs as the user {view.USER}",
            f"chmod -R o+rX {CHECKOUT}",
        )


def settle(site: Site) -> None:
    """Keep the settings of this start: the next command needs none of them again."""
    write(site.path(SETTLED), "".join(f"{name}={value}\n" for name, value in site.environment().items()))


def say_what_is_left_alone() -> None:
    """Name the servers of this machine that resemble ours: they are not used and not touched."""
    found = [what for what, socket in NEIGHBOURS.items() if Path(socket).exists()]
    if found:
        print(f"  left alone: this machine's own {', '.join(found)}")


def wait_for_answer(site: Site) -> None:
    """Wait until the API answers through nginx. Raises Failure."""

    def answers() -> bool:
        try:
            # without proxies: the address is this machine's
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://{site.listen}/identity/v3", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    try:
        wait_until(answers, seconds=60, what=f"http://{site.listen}/identity/v3 does not answer", pause_s=0.2)
    except Failure as failure:
        raise Failure(f"{failure.reason}\n{Supervisor(site).tail('web')}", f"read {site.logs}/web/current") from failure


# --- hosts ---


def hosts_of(site: Site) -> list[Host]:
    """The hosts that have state here: directories `host-1`, `host-2`, …"""
    found = site.path("hosts").glob("host-*")
    return sorted((Host(site, p.name, int(p.name[5:])) for p in found), key=lambda host: host.number)


def join_host(host: Host, supervisor: Supervisor) -> None:
    """Enrol a host that has no certificate yet, start its worker and wait for its first inventory."""
    site = host.site
    host.configure_agent()
    if not host.is_enrolled:
        token = python.manage(site, "host", "enroll", host.name, "--quiet").strip()
        give_to_control_plane(site)
        authority = nginx.tls(site) / "ca.crt"
        argv = (python.interpreter(site), "-m", "agents.enroll", "--token-file", "-", "--ca-file", authority)
        run(
            host.namespaces.enter(argv, CHECKOUT),
            stdin=token,
            environment=host.agent_environment(),
        )
    supervisor.ensure([host.agent_service()])

    def up() -> bool:
        return host.name in python.manage(site, "host", "list", "--up")

    wait_until(up, seconds=60, what=f"{host.name} has not reported", pause_s=0.3, next_step=f"read {site.logs}")


# --- down ---


def stop(site: Site) -> int:
    """Stop everything; what is on disk stays. Leaves no process, device, namespace or mount."""
    supervisor = Supervisor(site)
    systemd.stay_away(site)
    hosts = hosts_of(site)
    with step("control plane"):
        supervisor.stop([nginx.NAME, "web", "bytes", "live", "control"])
        supervisor.stop([host.service_name("agent") for host in hosts])
    for host in hosts:
        with step(f"guests and services of {host.name}"):
            host.stop(supervisor)
    with step("databases and networks"):
        supervisor.shut_down()
        view.view(site).kill_processes()
        view.view(site).remove()
        wires.stop(site)
    return 0


def destroy(site: Site, *, confirmed: bool) -> int:
    """Stop, then remove the state directory with every server, image and secret in it."""
    if not site.state.exists():
        print(f"There is nothing at {site.state}.")
        return 0
    if not site.path(MARK).exists():
        raise Failure(f"{site.state} is not the state of a cloud", "set KUMO_STATE to the directory that you mean")
    if not confirmed:
        if not sys.stdin.isatty():
            raise Failure("destroy removes all servers, images and secrets", "say so: ./quickstart.sh destroy --yes")
        answer = input(f"Remove {site.state} with all servers, images and secrets in it? Type yes: ")
        if answer.strip() != "yes":
            print("Nothing was changed.")
            return 1
    stop(site)
    with step(f"removing {site.state}"):
        systemd.forget(site)
        remove_mount_points(site)
        shutil.rmtree(site.state)
    return 0


def remove_mount_points(site: Site) -> None:
    """Directories outside the state that a host's private ones were put over, where this site made them."""
    made = site.path("made-directories")
    for line in reversed(made.read_text().split("\n") if made.exists() else []):
        try:
            Path(line or "/nonexistent").rmdir()
        except OSError:
            continue


# --- looking ---


def status(site: Site) -> int:
    """Print every service with its state, and the memory; 0 if all run."""
    supervisor = Supervisor(site)
    if not supervisor.pid():
        print(f"The cloud in {site.state} is stopped.")
        return 3
    down = 0
    for directory in sorted(supervisor.directories()):
        words = supervisor.status(directory.name)
        up = words.startswith("run:")
        down += not up
        pid = supervisor.pid_of(directory.name)
        print(f"  {directory.name:<20} {'up' if up else 'DOWN':<5} {pid or '':<8} {site.logs / directory.name}/current")
    guests = sum(len(host.running_guests()) for host in hosts_of(site) if host.namespaces.exist)
    print(f"  guests running: {guests}")
    print(report(site, supervisor))
    print(f"  address: {site.url}")
    return 4 if down else 0
