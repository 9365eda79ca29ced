"""A control worker and a host worker as real processes, joined by a real broker and the test's own database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection

from agents import envelope
from apps.core import context
from apps.operations import accounts, doorbell, messages, services
from apps.operations import broker as control_broker
from apps.operations.models import Executor
from tests.kit.brokers import PASSWORD, Broker, Process, python, until

HOST = "hv-real"


@dataclass
class Cloud:
    """What runs, and where its files are."""

    broker: Broker
    control: Process
    agent: Process
    directory: Path

    def logs(self) -> str:
        """The ends of what the workers wrote."""
        return "\n".join(f"--- {p.log.name}\n{p.log.read_text()[-6000:]}" for p in (self.control, self.agent))


@contextlib.contextmanager
def cloud(broker: Broker, directory: Path, **driver: object) -> Iterator[Cloud]:
    """Start both workers; `driver` are options of the host's driver without machines."""
    state = directory / "control"
    (state / "secrets").mkdir(parents=True)
    config = _control_config(broker, state)
    with _settings(config, state, broker):
        made = Cloud(
            broker,
            Process(
                python("cloud.celery"),
                directory / "control.log",
                {"KUMO_CONFIG": str(config), "DJANGO_SETTINGS_MODULE": "tests.kit.settings"},
            ),
            Process(
                python("agents.worker", "--config", str(_agent_config(broker, directory, driver))),
                directory / "agent.log",
            ),
            directory,
        )
        made.control.start()
        made.agent.start()
        try:
            until(lambda: Executor.objects.filter(host=HOST, state="up").exists(), 120, made.logs)
            yield made
        finally:
            made.agent.kill()
            made.control.kill()


def _control_config(broker: Broker, state: Path) -> Path:
    database = connection.settings_dict
    config = state / "kumo.toml"
    (state / "secrets" / "broker_password").write_text(PASSWORD)
    (state / "secrets" / "database_password").write_text(str(database["PASSWORD"]))
    config.write_text(
        f'[paths]\nstate = "{state}"\n[broker]\nurl = "{broker.url}"\nmanagement_url = "{broker.management_url}"\n'
        f'[database]\nhost = "{database["HOST"]}"\nport = {database["PORT"]}\nuser = "{database["USER"]}"\n'
        f'name = "{database["NAME"]}"\n'
    )
    return config


def _agent_config(broker: Broker, directory: Path, driver: dict[str, object]) -> Path:
    """Enrol the host as `manage.py host enroll` and the host's own enrolment do together."""
    identity = directory / "agent" / "identity"
    identity.mkdir(parents=True)
    key = envelope.key_file(identity / "signing.key")
    (identity / "control.pub").write_text(messages.control_public_key())
    (identity / "broker_password").write_text("host-password")
    accounts.host_access(HOST, "host-password")
    services.executor_register(context.system(), host=HOST, public_key=envelope.public_pem(key))
    config = directory / "agent.toml"
    options = "\n".join(f"{name} = {value!r}" for name, value in driver.items())
    config.write_text(
        f'name = "{HOST}"\nstate = "{directory}/agent"\ncontrol_url = "https://127.0.0.1:1"\n'
        f'broker_url = "{broker.url}"\n[drivers.hypervisor.default]\nBACKEND = "fake"\n'
        f"[drivers.hypervisor.default.OPTIONS]\n{options}\n"
    )
    return config


@contextlib.contextmanager
def _settings(config: Path, state: Path, broker: Broker) -> Iterator[None]:
    """This process becomes a web process of the same cloud: it rings over the broker."""
    from cloud.config import load

    before = settings.CONFIG, settings.KUMO_DOORBELL
    settings.CONFIG, settings.KUMO_DOORBELL = load(config), "apps.operations.broker.CeleryDoorbell"
    _forget()
    try:
        yield
    finally:
        control_broker.app().close()
        settings.CONFIG, settings.KUMO_DOORBELL = before
        _forget()


def _forget() -> None:
    doorbell.doorbell.cache_clear()
    control_broker.app.cache_clear()
    messages.control_key.cache_clear()
