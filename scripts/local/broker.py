"""The broker of the site's choice, Redis or RabbitMQ, as the rest of the scripts see it."""

from __future__ import annotations

from . import rabbitmq, redis
from .site import Site
from .supervisor import Supervisor


def url(site: Site) -> str:
    """Its address without credentials."""
    return rabbitmq.url(site) if site.broker == "rabbitmq" else redis.url(site)


def settings(site: Site) -> str:
    """Lines of kumo.toml's table `broker`."""
    return rabbitmq.settings(site) if site.broker == "rabbitmq" else redis.settings(site)


def start(site: Site, supervisor: Supervisor) -> None:
    """Start the chosen one. Raises Failure."""
    if site.broker == "rabbitmq":
        rabbitmq.start(site, supervisor)
    else:
        redis.start(site, supervisor)
