"""The control plane's own processes: three pools behind nginx, and the worker that runs operations."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from . import broker, nginx, pools, postgres, python, view
from .run import run, write
from .secret import give_to_control_plane, secret
from .site import Site, from_environment, settled_at
from .supervisor import Service, Supervisor

# Pieces of 1 MiB come and go all the time: fetched from the system each time, they were a third of a download's cost.
PIECES = {"MALLOC_MMAP_THRESHOLD_": str(4 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(8 * 2**20)}
DISKS = ("objects/1", "objects/2", "objects/3")  # of the object store: on one machine, three directories
OWNED = ("images", "metrics", "policy", "objects", *DISKS, "copies")  # directories the control plane writes


def configuration(site: Site) -> str:
    """The cloud's kumo.toml."""
    return (
        "# Written by quickstart.sh; what you add below the last table is kept as long as the file is not removed.\n"
        f"{_public(site)}\n\n"
        f'[database]\nhost = "{postgres.sockets(site)}"\nname = "{postgres.DATABASE}"\nuser = "{postgres.DATABASE}"\n\n'
        f"[broker]\n{broker.settings(site)}\n"
        f'[ovn]\nnorthbound = "unix:{site.path("ovn")}/nb.sock"\n\n'
        f'[paths]\nstate = "{site.state}"\n\n'
        "# A machine to try things on: many small guests that mostly idle.\n[compute]\ncpu_overcommit = 32.0\n"
    )


def _public(site: Site) -> str:
    """How clients reach the cloud. Where something else stands in front, what S3 is there is the operator's to say."""
    own_root = "" if site.public_url else f'\ns3_url = "http://{site.s3_listen}"'
    return f'[public]\nurl = "{site.url}"{own_root}'


def prepare(site: Site) -> None:
    """Configuration, secrets and directories. An existing configuration is the operator's and stays."""
    path = site.path("kumo.toml")
    if not path.exists():
        write(path, configuration(site))
    for name in OWNED:
        directory = site.path(name)
        directory.mkdir(parents=True, exist_ok=True)
        shutil.chown(directory, view.USER, view.USER)
    for name in DISKS:  # what is in them is nginx's to read, once it is lent
        shutil.chown(site.path(name), view.USER, "www-data")
        site.path(name).chmod(0o2710)
    secret(site, "django_secret_key")
    secret(site, "metrics_token")
    give_to_control_plane(site)
    nginx.prepare_sockets(site)


def move_address(site: Site) -> None:
    """Follow a changed KUMO_LISTEN where the configuration still says what the last start wrote."""
    path, earlier = site.path("kumo.toml"), settled_at(site.state)
    if not path.exists() or not earlier:
        return
    said = from_environment({**earlier, "KUMO_STATE": str(site.state)})
    text = path.read_text().replace(f'[public]\nurl = "{said.url}"', f'[public]\nurl = "{site.url}"')
    write(path, text.replace(f's3_url = "http://{said.s3_listen}"', f's3_url = "http://{site.s3_listen}"'))


def is_prepared(site: Site) -> bool:
    """Whether what follows was done already for this code and configuration."""
    stamp = site.path("prepared")
    return stamp.exists() and stamp.read_text().strip() == python.revision(site.path("kumo.toml"))


def prepare_for_revision(site: Site) -> None:
    """Compiled modules, tables, first domain, projects and users, static files, certificate. Raises Failure."""
    python.compile_checkout(site)
    python.manage(site, "migrate", "--no-input", "-v", "0")
    files = [secret_file(site, "admin_password"), secret_file(site, "demo_password")]
    give_to_control_plane(site)
    python.manage(site, "bootstrap", "--password-file", files[0], "--demo-password-file", files[1])
    python.manage(site, "object", "disks", "add", *(site.path(name) for name in DISKS))
    collect_static(site)
    certify(site)
    give_to_control_plane(site)
    write(site.path("prepared"), python.revision(site.path("kumo.toml")) + "\n")


def certify(site: Site) -> None:
    """The certificate by which hosts know the control plane, from the cloud's own authority. Raises Failure."""
    directory = nginx.tls(site)
    directory.mkdir(parents=True, exist_ok=True)
    shutil.chown(directory, view.USER, view.USER)
    python.manage(site, "host", "server-certificate", "--address", site.underlay_address, "--out", directory)


def collect_static(site: Site) -> None:
    """Files that nginx serves by itself."""
    words: list[str | Path] = [python.interpreter(site), "manage.py", "collectstatic", "--no-input", "-v", "0"]
    run(words, environment=python.environment(site), timeout_s=120)


def secret_file(site: Site, name: str) -> Path:
    secret(site, name)
    return site.path("secrets", name)


def pool(
    site: Site, name: str, interface: str, application: str, *options: str, more: Mapping[str, str] | None = None
) -> Service:
    """One granian server behind a socket that nginx may open. `more` is added to its environment."""
    socket = nginx.sockets(site) / f"{name}.sock"
    argv = (
        site.venv / "bin/granian",
        "--interface",
        interface,
        "--uds",
        str(socket),
        "--uds-permissions",
        "0o660",
        "--no-ws" if interface == "wsgi" else "--ws",
        *options,
        application,
    )
    return Service(
        name,
        tuple(argv),
        user=view.USER,
        groups=("www-data", view.USER),
        environment=python.environment(site) | dict(more or {}),
        within=view.view(site),
        before=(f"rm -f {socket}",),
        memory_counts=True,
    )


def services(site: Site) -> list[Service]:
    return [
        pool(site, "web", "wsgi", "cloud.wsgi:application", *pools.options(site, "web")),
        pool(
            site,
            "bytes",
            "wsgi",
            "cloud.wsgi:application",
            *pools.options(site, "bytes"),
            more=PIECES | {"DJANGO_SETTINGS_MODULE": "cloud.settings.bytes"},
        ),
        pool(site, "live", "asgi", "cloud.asgi:application"),
        Service(
            "control",
            (python.interpreter(site), "-m", "cloud.celery"),
            user=view.USER,
            environment=python.environment(site),
            within=view.view(site),
            memory_counts=True,
        ),
    ]


def start(site: Site, supervisor: Supervisor) -> None:
    """Start pools and worker. Raises Failure."""
    supervisor.ensure(services(site))
    for name in ("web", "bytes", "live"):
        supervisor.wait_ready(name, ["test", "-S", str(nginx.sockets(site) / f"{name}.sock")])
