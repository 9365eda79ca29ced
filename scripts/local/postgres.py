"""A PostgreSQL cluster of the site's own, behind a Unix socket only, so that no server on the machine is disturbed."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import pools, view
from .run import Failure, run, write
from .secret import secret
from .site import Site
from .supervisor import Service, Supervisor

NAME = "postgresql"
DATABASE = "kumo"
# Small, since one machine's control plane has little to do; durability is not traded.
SETTINGS = {
    "listen_addresses": "''",
    "shared_buffers": "32MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "max_wal_size": "256MB",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "autovacuum_max_workers": "2",
    "huge_pages": "off",
    "dynamic_shared_memory_type": "mmap",  # not in /dev/shm, which others on the machine may tidy
    "log_timezone": "UTC",
    "timezone": "UTC",
    "password_encryption": "scram-sha-256",
}
ACCESS = "local all postgres peer\nlocal all all scram-sha-256\n"


def program(name: str) -> Path:
    """One of PostgreSQL's programs, of the newest version installed. Raises Failure."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True)
    if not homes:
        raise Failure("PostgreSQL is not installed", "run ./quickstart.sh start: it installs packages")
    return homes[0] / name


def directory(site: Site) -> Path:
    return site.path("postgresql")


def sockets(site: Site) -> Path:
    return site.path("run", "postgresql")


def service(site: Site) -> Service:
    return Service(
        NAME,
        (
            *(program("postgres"), "-D", directory(site) / "data", "-k", sockets(site)),
            *("-c", f"max_connections={pools.connections(site)}"),
        ),
        user="postgres",
        within=view.view(site),
        stop_signal="INT",  # do not wait for clients
        environment={"LANG": "C.UTF-8"},
        memory_counts=True,
    )


def start(site: Site, supervisor: Supervisor) -> None:
    """Make the cluster and the database where they are missing, and start it. Raises Failure."""
    home = directory(site)
    data = home / "data"
    for path in (home, sockets(site)):
        path.mkdir(parents=True, exist_ok=True)
        shutil.chown(path, "postgres", "postgres")
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)
        options = ("--encoding=UTF8", "--locale=C.UTF-8", "--auth=peer", "--username=postgres")
        as_postgres(site, program("initdb"), "-D", data, *options)
    write(home / "settings.conf", "".join(f"{k} = {v}\n" for k, v in SETTINGS.items()))
    include = f"include '{home}/settings.conf'\n"
    main = data / "postgresql.conf"
    if include not in main.read_text():
        with main.open("a") as stream:
            stream.write(include)
    access = data / "pg_hba.conf"
    if access.read_text() != ACCESS:
        access.write_text(ACCESS)
    supervisor.ensure([service(site)])
    supervisor.wait_ready(NAME, ["pg_isready", "-q", "-h", str(sockets(site))], seconds=60)
    ensure_database(site)


def ensure_database(site: Site) -> None:
    password = secret(site, "database_password")
    if not query(site, f"SELECT 1 FROM pg_roles WHERE rolname = '{DATABASE}'"):  # noqa: S608
        query(site, f"CREATE ROLE {DATABASE} LOGIN")
    query(site, f"ALTER ROLE {DATABASE} PASSWORD '{password}'")
    if not query(site, f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"):  # noqa: S608
        query(site, f"CREATE DATABASE {DATABASE} OWNER {DATABASE}")


def query(site: Site, statement: str) -> str:
    """One statement as the cluster's superuser; given on standard input, so that no process list shows it."""
    words = ("psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-h", str(sockets(site)), "postgres")
    return as_postgres(site, *words, stdin=statement).strip()


def as_postgres(site: Site, *words: str | Path, stdin: str = "") -> str:
    argv = view.view(site).enter(["chpst", "-u", "postgres", *words])
    return run(argv, stdin=stdin, cwd=Path("/"), timeout_s=120, environment={"LC_ALL": "C.UTF-8"}).stdout
