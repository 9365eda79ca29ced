"""nginx, the one address of the cloud, and a second one for hosts with certificates on the underlay."""

from __future__ import annotations

import errno
import ipaddress
import shutil
import socket
from pathlib import Path
from string import Template

from . import view
from .run import Failure, run, write
from .site import HOSTS_PORT, Site
from .supervisor import Service, Supervisor

NAME = "nginx"
TEMPLATE, COPIES = (Path(__file__).with_name(name) for name in ("nginx.conf", "copies.conf"))
SLOW_DOWN = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    "<Message>Too many transfers at once; try again in some seconds.</Message></Error>"
)
SCRIPT = Path(__file__).with_name("headers.js")


def sockets(site: Site) -> Path:
    """Where the pools listen; nginx's workers may enter."""
    return site.path("run", "pools")


def tls(site: Site) -> Path:
    """The certificate that hosts see, and the authority theirs are checked against."""
    return site.path("nginx", "tls")


def configuration(site: Site) -> str:
    return Template(TEMPLATE.read_text()).substitute(
        run=site.run,
        home=site.path("nginx"),
        sockets=sockets(site),
        static=site.path("static"),
        listen=site.listen,
        s3_listen=site.s3_listen,
        s3_port=site.s3_listen.rpartition(":")[2],
        slow_down=SLOW_DOWN,
        tls=tls(site),
        hosts_address=site.underlay_address,
        hosts_port=HOSTS_PORT,
    )


def service(site: Site) -> Service:
    path = site.path("nginx", "nginx.conf")
    return Service(
        NAME,
        ("nginx", "-e", "stderr", "-p", site.path("nginx"), "-c", path),
        within=view.view(site),
        stop_signal="QUIT",
        memory_counts=True,
    )


def prepare(site: Site) -> bool:
    """Write its configuration; whether it changed."""
    home = site.path("nginx")
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o755)
    files = {
        "headers.js": SCRIPT.read_text(),
        "copies.conf": Template(COPIES.read_text()).substitute(copies=site.path("copies")),
        "nginx.conf": configuration(site),
    }
    changed = [write(home / name, text) for name, text in files.items()]
    return any(changed)


def start(site: Site, supervisor: Supervisor) -> None:
    """Write its configuration and start it, or have it read a changed one. Raises Failure."""
    changed = prepare(site)
    home = site.path("nginx")
    checked = run(
        view.view(site).enter(["nginx", "-t", "-q", "-e", "stderr", "-p", home, "-c", home / "nginx.conf"]),
        check=False,
    )
    if checked.returncode:
        raise Failure(f"nginx refuses its configuration: {checked.stderr.strip()}")
    was_up = supervisor.pid_of(NAME)
    supervisor.ensure([service(site)])
    if was_up and changed:
        supervisor.sv("hup", names=[NAME])
    host, _, port = site.listen.rpartition(":")
    supervisor.wait_ready(NAME, ["bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}"])


def refuse_busy(site: Site) -> None:
    """Say in words that an address cannot be had, before anything is made. Raises Failure."""
    _refuse_busy(site, site.listen, "KUMO_LISTEN=127.0.0.1:8081")
    _refuse_busy(site, site.s3_listen, "KUMO_S3_LISTEN=127.0.0.1:9081")


def _refuse_busy(site: Site, address: str, another: str) -> None:
    host, _, port = address.rpartition(":")
    will_come = any(ipaddress.IPv4Address(host) in network for network in (site.underlay, site.external))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL and will_come:
                return  # it is on a network that this start makes
            raise Failure(
                f"{address} cannot be used: {error.strerror}",
                f"stop what listens there, or choose another: {another} ./quickstart.sh",
            ) from None


def prepare_sockets(site: Site) -> None:
    path = sockets(site)
    path.mkdir(parents=True, exist_ok=True)
    shutil.chown(path, view.USER, "www-data")
    path.chmod(0o2750)
