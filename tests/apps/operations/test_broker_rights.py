"""What a host's account at a broker may do, tried as that host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from agents import broker as wire
from agents.address import with_credentials
from apps.operations import accounts
from apps.operations import broker as control
from cloud.config import load
from tests.kit import brokers

pytestmark = pytest.mark.kill


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Points the control plane's end at a broker."""

    def use(broker: brokers.Broker) -> None:
        secrets = tmp_path / "state" / "secrets"
        secrets.mkdir(parents=True)
        (secrets / "broker_password").write_text(brokers.PASSWORD)
        config = tmp_path / "kumo.toml"
        config.write_text(
            f'[paths]\nstate = "{tmp_path}/state"\n'
            f'[broker]\nurl = "{broker.url}"\nmanagement_url = "{broker.management_url}"\n'
        )
        monkeypatch.setattr(settings, "CONFIG", load(config))
        control.app.cache_clear()

    yield use
    control.app.cache_clear()


def test_redis(tmp_path: Path, site: Any) -> None:
    import redis

    with brokers.redis(tmp_path / "redis") as broker:
        site(broker)
        accounts.host_access("a", "secret-a")
        accounts.host_access("a.b", "secret-b")
        host = redis.Redis.from_url(with_credentials(broker.url, "host.a", "secret-a"), decode_responses=True)
        for key in ("host.a", "host.a.long", "host.a.control"):
            assert host.lpush(key, "x") == 1
            assert host.brpop(key, 1) == (key, "x")
        host.hset("un.a", "tag", "x")
        assert host.lpush("answers", "x") == 1
        forbidden = [
            ("LRANGE", "answers", 0, -1), ("RPOP", "answers"), ("LPUSH", "host.b", "x"), ("RPOP", "host.a.b"),
            ("RPOP", "host.a.b.long"), ("LPUSH", "control", "x"), ("LPUSH", "work", "x"), ("HGETALL", "un.a.b"),
            ("HGETALL", "un.control"), ("KEYS", "*"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("ACL", "LIST"),
            ("EVAL", "return 1", 0), ("SUBSCRIBE", "x"), ("SHUTDOWN",), ("MONITOR",),
            ("SADD", "_kombu.binding.control", "x"),
        ]  # fmt: skip
        for command in forbidden:
            with pytest.raises(redis.exceptions.NoPermissionError):
                host.execute_command(*command)
        assert "user host.a on" in (tmp_path / "redis" / "users.acl").read_text(), "the account outlives a restart"
        accounts.host_access("a", "new-secret")
        with pytest.raises(redis.exceptions.AuthenticationError):
            redis.Redis.from_url(with_credentials(broker.url, "host.a", "secret-a")).ping()
        accounts.host_no_access("a")
        accounts.host_no_access("a")
        with pytest.raises(redis.exceptions.AuthenticationError):
            redis.Redis.from_url(with_credentials(broker.url, "host.a", "new-secret")).ping()


def test_rabbitmq(tmp_path: Path, site: Any) -> None:
    from amqp.basic_message import Message
    from amqp.exceptions import AccessRefused
    from kombu import Connection

    with brokers.rabbitmq(tmp_path / "rabbitmq") as broker:
        site(broker)
        accounts.host_access("a", "secret-a")
        with Connection(accounts.url()) as mine:
            for name in ("answers", "control", "host.b"):
                wire.queue(name).bind(mine.default_channel).declare()
        address = with_credentials(broker.url, "host.a", "secret-a")

        def tried(act: Any) -> str:
            with Connection(address) as connection:
                try:
                    act(connection.channel())
                    return "allowed"
                except connection.recoverable_channel_errors + connection.channel_errors as error:
                    return "refused" if "403" in str(error) else str(error)

        def publish(exchange: str, key: str) -> Any:
            def act(channel: Any) -> None:
                channel.confirm_select()
                channel.basic_publish_confirm(Message("x"), exchange, key)

            return act

        assert tried(lambda c: wire.queue("host.a").bind(c).declare()) == "allowed"
        assert tried(lambda c: c.basic_get("host.a")) == "allowed"
        assert tried(publish("answers", "answers")) == "allowed"
        for name in ("control", "answers", "host.b"):
            assert tried(lambda c, n=name: c.basic_get(n)) == "refused", name
            assert tried(lambda c, n=name: c.queue_purge(n)) == "refused", name
        for name in ("control", "host.b", "work"):
            assert tried(publish("", name)) == "refused", name
        assert tried(lambda c: c.queue_declare("mine")) == "refused"
        assert tried(lambda c: c.exchange_declare("mine", "fanout")) == "refused"
        accounts.host_no_access("a")
        accounts.host_no_access("a")
        with pytest.raises(AccessRefused), Connection(address) as connection:
            connection.connect()
