"""The broker of the site's choice, Redis or RabbitMQ, as the rest of the scripts see it."""

from __future__ import annotations

import tomllib

from . import rabbitmq, redis
from .run import Failure
from .site import Site
from .supervisor import Supervisor


def url(site: Site) -> str:
    """Its address without credentials."""
    return rabbitmq.url(site) if site.broker == "rabbitmq" else redis.url(site)


def settings(site: Site) -> str:
    """Lines of kumo.toml's table `broker`."""
    return rabbitmq.settings(site) if site.broker == "rabbitmq" else redis.settings(site)


def start(site: Site, supervisor: Supervisor) -> None:
    """Start the chosen one. Raises Failure, also where this cloud was made with the other one."""
    refuse_another(site)
    if site.broker == "rabbitmq":
        rabbitmq.start(site, supervisor)
    else:
        redis.start(site, supervisor)


def refuse_another(site: Site) -> None:
    """A cloud's hosts were told its broker when they joined; it does not change by itself. Raises Failure."""
    path = site.path("kumo.toml")
    if not path.exists():
        return
    stored = tomllib.loads(path.read_text()).get("broker", {}).get("url", "")
    other = {redis.url(site): "redis", rabbitmq.url(site): "rabbitmq"}.get(stored, site.broker)
    if other != site.broker:
        raise Failure(
            f"this cloud was made with KUMO_BROKER={other}, and {site.broker} is asked for",
            f"say KUMO_BROKER={other}, or change broker.url in {path} and broker_url in the hosts' agent.toml",
        )
