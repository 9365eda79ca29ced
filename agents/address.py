"""Who is who at the broker: users and addresses, for those who send nothing themselves and so need no Celery."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit


def host_user(host: str) -> str:
    """The broker's user of a host."""
    return f"host.{host}"


def with_credentials(url: str, user: str, password: str) -> str:
    """The broker's address with user and password; unchanged without a password."""
    if not password:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{quote(user)}:{quote(password, safe='')}@{parts.netloc}"))


def is_amqp(url: str) -> bool:
    """RabbitMQ, not Redis?"""
    return url.startswith("amqp")
