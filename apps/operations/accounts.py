"""Accounts at the broker: the control plane's own, and each host's."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlsplit

from django.conf import settings

from agents.address import host_user, is_amqp, with_credentials
from agents.envelope import queue_of
from apps.core.errors import Invalid, Unavailable

CONTROL_USER = "control"
MANAGEMENT_PORT = 15672
HTTP_S = 5.0


def password() -> str:
    """The control plane's own password at the broker; empty where it has none."""
    path = settings.CONFIG.secrets / "broker_password"
    return path.read_text().strip() if path.exists() else ""


def url() -> str:
    """The broker's address with the control plane's credentials."""
    return with_credentials(settings.CONFIG.broker.url, CONTROL_USER, password())


def host_access(host: str, password: str) -> None:
    """Make or renew a host's account: it may read its own queues and write `answers`, and nothing else.

    Raises Unavailable when the broker cannot be asked.
    """
    if is_amqp(settings.CONFIG.broker.url):
        _rabbitmq_user(host, password)
    else:
        _redis_user(host, password)


def host_no_access(host: str) -> None:
    """Take a host's account away; absent is success. Raises Unavailable."""
    if is_amqp(settings.CONFIG.broker.url):
        _rabbitmq("DELETE", f"users/{quote(host_user(host), safe='')}", None)
    else:
        _redis("ACL", "DELUSER", host_user(host))


def _redis_user(host: str, password: str) -> None:
    queues = [queue_of(host, kind) for kind in ("", "long", "control")]
    bindings = [f"{prefix}.{q}" for prefix in ("_kombu.binding", "_kombu.binding_permanent") for q in queues]
    taken = [f"un.{host}{end}" for end in ("", ".index", ".mutex")]
    keys = [*(f"~{key}" for key in (*queues, *bindings, *taken)), "%W~answers"]
    commands = ["+@all", "-@admin", "-@dangerous", "-@scripting", "+info"]
    words = ["reset", "on", f">{password}", "resetchannels", *keys, *commands]
    _redis("ACL", "SETUSER", host_user(host), *words)


def _redis(*command: str) -> None:
    import redis  # here, because only enrolment needs it

    try:
        client = redis.Redis.from_url(url(), socket_connect_timeout=HTTP_S, socket_timeout=HTTP_S)
        client.execute_command(*command)
        if client.config_get("aclfile").get("aclfile"):
            client.execute_command("ACL", "SAVE")
    except redis.RedisError as error:
        raise Unavailable(f"Redis did not make the account: {error}") from error


def _rabbitmq_user(host: str, password: str) -> None:
    user = quote(host_user(host), safe="")
    own = "|".join(queue_of(host, kind).replace(".", r"\.") for kind in ("", "long", "control"))
    vhost = quote(_vhost(), safe="")
    _rabbitmq("PUT", f"users/{user}", {"password": password, "tags": ""})
    rights = {"configure": f"^({own})$", "write": f"^({own}|answers)$", "read": f"^({own})$"}
    _rabbitmq("PUT", f"permissions/{vhost}/{user}", rights)


def _vhost() -> str:
    return urlsplit(settings.CONFIG.broker.url).path[1:] or "/"


def _rabbitmq(method: str, path: str, body: dict[str, Any] | None) -> None:
    parts = urlsplit(settings.CONFIG.broker.url)
    base = settings.CONFIG.broker.management_url or f"http://{parts.hostname}:{MANAGEMENT_PORT}"
    login = base64.b64encode(f"{CONTROL_USER}:{password()}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
    if not base.startswith(("http://", "https://")):
        raise Invalid("The broker's management address must be http or https.", field="broker.management_url")
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"{base}/api/{path}", data=data, method=method, headers=headers)  # noqa: S310
    try:
        urllib.request.urlopen(request, timeout=HTTP_S, context=ssl.create_default_context()).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        if not (method == "DELETE" and error.code == 404):
            raise Unavailable(f"RabbitMQ did not make the account: {error}") from error
    except OSError as error:
        raise Unavailable(f"RabbitMQ's management API does not answer: {error}") from error
