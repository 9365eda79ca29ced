"""A Redis of the site's own: doorbells only, nothing on disk, one user for the control plane and one per host."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from . import view
from .run import run, write
from .secret import secret
from .site import REDIS_PORT, Site
from .supervisor import Service, Supervisor

NAME = "redis"


def users_file(site: Site) -> Path:
    """Redis' users; the control plane adds one for each host it enrols."""
    return site.path("redis", "users.acl")


def url(site: Site) -> str:
    """Its address without credentials."""
    return f"redis://{site.underlay_address}:{REDIS_PORT}/0"


def settings(site: Site) -> str:
    """Lines of kumo.toml's table `broker`."""
    return f'url = "{url(site)}"\n'


def service(site: Site) -> Service:
    return Service(
        NAME,
        ("redis-server", site.path("redis", "redis.conf")),
        user="redis",
        within=view.view(site),
        memory_counts=True,
    )


def configuration(site: Site) -> str:
    return (
        f"bind {site.underlay_address}\nport {REDIS_PORT}\nprotected-mode no\n"
        f"aclfile {users_file(site)}\ndir {site.path('redis')}\n"
        'save ""\nappendonly no\ndaemonize no\nlogfile ""\nmaxmemory 256mb\nmaxmemory-policy noeviction\n'
        "tcp-keepalive 30\ntimeout 0\nloglevel notice\n"
    )


def start(site: Site, supervisor: Supervisor) -> None:
    """Write its files and start it. Raises Failure."""
    home = site.path("redis")
    home.mkdir(parents=True, exist_ok=True)
    password = secret(site, "broker_password")
    write(home / "redis.conf", configuration(site))
    control = f"user control on #{hashlib.sha256(password.encode()).hexdigest()} ~* &* +@all"
    users = users_file(site)
    lines = users.read_text().splitlines() if users.exists() else []
    others = [line for line in lines if line.split()[:2] not in (["user", "control"], ["user", "default"])]
    if control not in lines:
        write(users, "\n".join([*others, "user default off", control, ""]), 0o600)
    for path in (home, *home.iterdir()):
        shutil.chown(path, "redis", "redis")
    supervisor.ensure([service(site)])
    supervisor.wait_ready(NAME, ["sh", "-c", f"[ \"$({ping(site)} 2>/dev/null)\" != '' ]"])


def ping(site: Site) -> str:
    """A command that gets any answer, be it only that a password is wanted."""
    return f"redis-cli -h {site.underlay_address} -p {REDIS_PORT} ping"


def command(site: Site, *words: str) -> str:
    """One command as the control plane's user."""
    argv = ["redis-cli", "-h", site.underlay_address, "-p", str(REDIS_PORT), "--user", "control", *words]
    return run(argv, environment={"REDISCLI_AUTH": secret(site, "broker_password")}).stdout
