"""A RabbitMQ of the site's own, the other broker: one user for the control plane and one per host.

Clients and the management API are on the underlay's address; Erlang's own two ports are on loopback, where other
nodes of this machine may have the usual ones, so they are chosen once and kept.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import socket
from pathlib import Path

from . import view
from .run import Failure, write
from .secret import secret
from .site import RABBITMQ_MANAGEMENT_PORT, RABBITMQ_PORT, Site
from .supervisor import Service, Supervisor

NAME = "rabbitmq"
MAPPER = "rabbitmq-epmd"  # tells Erlang nodes each other's ports
NAMES = (MAPPER, NAME)
USER = "rabbitmq"
START_S = 300  # Erlang starts slowly where processors are busy


def url(site: Site) -> str:
    """Its address without credentials."""
    return f"amqp://{site.underlay_address}:{RABBITMQ_PORT}//"


def settings(site: Site) -> str:
    """Lines of kumo.toml's table `broker`."""
    management = f"http://{site.underlay_address}:{RABBITMQ_MANAGEMENT_PORT}"
    return f'url = "{url(site)}"\nmanagement_url = "{management}"\n'


def program() -> Path:
    """The server itself; the package's wrapper would change the user. Raises Failure."""
    found = sorted(Path("/usr/lib/rabbitmq/lib").glob("*/sbin/rabbitmq-server"))
    if not found:
        raise Failure("RabbitMQ is not installed", "run ./quickstart.sh start: it installs packages")
    return found[-1]


def home(site: Site) -> Path:
    return site.path("rabbitmq")


def environment(site: Site, mapper_port: int, own_port: int) -> dict[str, str]:
    directory = home(site)
    return {
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "ERL_EPMD_PORT": str(mapper_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_NODENAME": f"{site.tag}@localhost",
        "RABBITMQ_BASE": str(directory),
        "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_DIST_PORT": str(own_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +S 1:1",
    }


def services(site: Site) -> list[Service]:
    mapper_port, own_port = ports(site)
    variables = environment(site, mapper_port, own_port)
    inside = view.view(site)
    return [
        Service(MAPPER, ("epmd",), user=USER, environment=variables, within=inside, memory_counts=True),
        Service(NAME, (program(),), user=USER, environment=variables, within=inside, stop_s=30, memory_counts=True),
    ]


def ports(site: Site) -> tuple[int, int]:
    """The two loopback ports, chosen at the first start."""
    chosen = home(site) / "ports"
    if not chosen.exists():
        with socket.socket() as first, socket.socket() as second:
            for probe in (first, second):
                probe.bind(("127.0.0.1", 0))
            write(chosen, f"{first.getsockname()[1]} {second.getsockname()[1]}\n")
    mapper_port, own_port = chosen.read_text().split()
    return int(mapper_port), int(own_port)


def configuration(site: Site) -> str:
    return (
        f"listeners.tcp.1 = {site.underlay_address}:{RABBITMQ_PORT}\n"
        f"management.tcp.ip = {site.underlay_address}\nmanagement.tcp.port = {RABBITMQ_MANAGEMENT_PORT}\n"
        f"load_definitions = {home(site)}/definitions.json\n"
        "log.file = false\nlog.console = true\nlog.console.level = warning\n"
        "disk_free_limit.absolute = 200MB\nvm_memory_high_watermark.absolute = 512MB\n"
    )


def definitions(password: str) -> str:
    """The control plane's user; there is no `guest`. Users of hosts are made at enrolment and stay."""
    salt = hashlib.sha256(b"salt" + password.encode()).digest()[:4]  # fixed, so that the file is
    salted = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()
    user = {
        "name": "control",
        "password_hash": salted,
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": "administrator",
    }
    rights = {"user": "control", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
    return json.dumps({"users": [user], "vhosts": [{"name": "/"}], "permissions": [rights]})


def start(site: Site, supervisor: Supervisor) -> None:
    """Write its files and start it. Raises Failure."""
    directory = home(site)
    directory.mkdir(parents=True, exist_ok=True)
    write(directory / "rabbitmq.conf", configuration(site))
    write(directory / "enabled_plugins", "[rabbitmq_management].\n")
    write(directory / "definitions.json", definitions(secret(site, "broker_password")), 0o600)
    wanted = services(site)
    for path in (directory, *directory.iterdir()):
        shutil.chown(path, USER, USER)
    supervisor.ensure(wanted)
    for port in (RABBITMQ_MANAGEMENT_PORT, RABBITMQ_PORT):
        probe = f"exec 3<>/dev/tcp/{site.underlay_address}/{port}"
        supervisor.wait_ready(NAME, ["bash", "-c", probe], seconds=START_S)
