"""How many processes serve requests, and how many connections to the database they may hold."""

from __future__ import annotations

import tomllib

from .run import Failure
from .site import Site

THREADS = {"web": 8, "bytes": 32}  # of each process
CONNECTIONS = 1024  # of a process: more than nginx opens, since one that is kept must not keep others out
OTHERS = 60  # connections of workers, commands and upkeep, and of who measures them


def processes(site: Site, pool: str) -> int:
    """Of a pool, as kumo.toml has it. Raises Failure."""
    path = site.path("kumo.toml")
    try:
        return int(tomllib.loads(path.read_text()).get("pools", {}).get(f"{pool}_processes", 1))
    except FileNotFoundError:  # the first start
        return 1
    except (ValueError, TypeError, AttributeError) as error:
        raise Failure(
            f"{path} cannot be used: {error}", "mend it; docs/reference/configuration.md has every key"
        ) from None


def options(site: Site, pool: str) -> tuple[str, ...]:
    """Of a pool's server. Raises Failure."""
    count, threads = processes(site, pool), THREADS[pool]
    return "--workers", str(count), "--blocking-threads", str(threads), "--backpressure", str(CONNECTIONS)


def connections(site: Site) -> int:
    """As many as all threads and the others together may need."""
    return OTHERS + sum(processes(site, pool) * threads for pool, threads in THREADS.items())
