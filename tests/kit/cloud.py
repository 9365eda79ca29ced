"""A whole cloud for tests, made by the same code as the quickstart, with hosts and ranges of its own.

`python -m tests.kit.cloud FILE` holds one for several test runs: it writes the state directory's path into FILE
when the cloud is up, and destroys it when its standard input ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openstack
import psycopg2
from openstack.connection import Connection

from scripts.local import control, postgres, python, view, wires
from scripts.local.host import Host
from scripts.local.run import run
from scripts.local.site import CHECKOUT, Site, from_environment
from scripts.local.supervisor import Supervisor
from tests.kit.hosts import new_site, reaped

START_S = 600
SECOND_POLICY = "silver"  # as Tempest calls it
SECOND_DISKS = ("objects/4", "objects/5", "objects/6")


@dataclass(frozen=True)
class RealCloud:
    """A running cloud with one host, an `outside` namespace, and the project demo with a server."""

    site: Site

    @property
    def state(self) -> Path:
        return self.site.state

    @property
    def url(self) -> str:
        return self.site.url

    @property
    def clouds(self) -> Path:
        """The clouds.yaml with `kumo-admin` and `kumo-demo`."""
        return self.state / "clouds.yaml"

    @property
    def key(self) -> Path:
        """Private key of the key pair `demo`."""
        return self.state / "demo_key"

    @property
    def host(self) -> Host:
        return Host(self.site)

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.site)

    def password(self, user: str) -> str:
        """Of `admin` or `demo`."""
        return (self.state / "secrets" / f"{user}_password").read_text().strip()

    def manage(self, *words: str, timeout_s: float = 180) -> str:
        """What a management command of this cloud prints, whether it succeeds or not."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=CHECKOUT,
            env=os.environ
            | {"KUMO_CONFIG": str(self.state / "kumo.toml"), "DJANGO_SETTINGS_MODULE": "cloud.settings.base"},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        return done.stdout + done.stderr

    def query(self, statement: str) -> list[str]:
        """The first column of an SQL statement, over a connection of its own."""
        connection = psycopg2.connect(
            host=postgres.sockets(self.site),
            dbname=postgres.DATABASE,
            user=postgres.DATABASE,
            password=(self.state / "secrets/database_password").read_text().strip(),
        )
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return [row[0] for row in cursor.fetchall()] if cursor.description else []
        finally:
            connection.close()

    def northbound(self, *words: str) -> str:
        """One order to OVN's northbound database, and what it printed."""
        return run(["ovn-nbctl", f"--db=unix:{self.site.path('ovn')}/nb.sock", *words]).stdout

    def outside(self, *argv: str | Path, check: bool = True, timeout_s: float = 60) -> str:
        """Run a program where the external network's gateway is, and return what it wrote."""
        return run(wires.outside(self.site).enter(list(argv)), check=check, timeout_s=timeout_s).stdout

    def ssh(self, address: str, command: str, *, check: bool = True, timeout_s: float = 60) -> str:
        """Run a command in a guest, by its floating address, and return what it wrote."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=5", "BatchMode=yes")
        words = [word for option in options for word in ("-o", option)]
        argv: tuple[str | Path, ...] = ("ssh", "-q", "-i", self.key, *words, f"root@{address}", command)
        return self.outside(*argv, check=check, timeout_s=timeout_s)


def start(site: Site) -> None:
    """Bring the site's cloud up as an operator would. Raises CalledProcessError."""
    environment = {**os.environ, **site.environment(), "PYTHONPATH": str(CHECKOUT)}
    words = [sys.executable, "-m", "scripts.local", "start"]
    subprocess.run(words, check=True, cwd=CHECKOUT, env=environment, timeout=START_S, stdout=sys.stderr)


def connect(cloud: RealCloud, user: str = "admin") -> Connection:
    """A client of `admin` or `demo`, each in the project of that name."""
    return openstack.connect(
        auth_url=f"{cloud.url}/identity/v3",
        username=user,
        password=cloud.password(user),
        project_name=user,
        user_domain_name="Default",
        project_domain_name="Default",
        region_name="RegionOne",
    )


@contextlib.contextmanager
def real_cloud() -> Iterator[RealCloud]:
    """The cloud that KUMO_TEST_CLOUD names, or one of its own that is gone afterwards."""
    named = os.environ.get("KUMO_TEST_CLOUD")
    if named:
        yield RealCloud(from_environment({"KUMO_STATE": named}))
        return
    with new_cloud() as cloud:
        yield cloud


@contextlib.contextmanager
def new_cloud(broker: str = "redis") -> Iterator[RealCloud]:
    """A cloud of its own, with that broker and two storage policies; gone afterwards."""
    site = new_site(broker)
    with reaped(site):
        policy = f'\n[drivers.object_store.{SECOND_POLICY}]\nBACKEND = "disks"\n'
        site.path("kumo.toml").write_text(control.configuration(site) + policy)
        start(site)
        _add_disks(site)
        yield RealCloud(site)


def _add_disks(site: Site) -> None:
    """The disks of the second storage policy."""
    paths = [site.path(name) for name in SECOND_DISKS]
    for path in paths:
        path.mkdir()
        shutil.chown(path, view.USER, view.USER)
    python.manage(site, "object", "disks", "add", "--policy", SECOND_POLICY, *paths)


if __name__ == "__main__":
    with real_cloud() as cloud:
        Path(sys.argv[1]).write_text(f"{cloud.state}\n")
        sys.stdin.read()
