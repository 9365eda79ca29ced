"""A host's worker: `python -m agents.worker [--config FILE]`.

One process of Celery with threads reads the host's three queues and hands each message to the runner. It knows
the control plane's public key, its own keys, the broker and the host's drivers; no database and no Django.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_ready, worker_shutting_down

from agents import broker, config, serving
from agents.address import host_user, with_credentials
from agents.contracts import DomainEvent
from agents.envelope import key_file, public_key, queue_of
from agents.host import Host
from agents.journal import Journal
from agents.plugins import PluginError
from agents.runner import Runner
from agents.verbs import VERBS

log = logging.getLogger(__name__)

INTAKE_THREADS = 4  # taking is quick; verbs run in the runner's own threads
EVENT = "compute.domain_event"


def make_app(settings: config.AgentConfig, take: Callable[[str], None]) -> Celery:
    """The Celery app that reads this host's queues and knows one task."""
    password = settings.broker_password.read_text().strip() if settings.broker_password.exists() else ""
    url = with_credentials(settings.broker_url, host_user(settings.name), password)
    queues = [queue_of(settings.name, kind) for kind in ("control", "", "long")]
    return broker.make_app(
        f"kumo-host-{settings.name}",
        url,
        queues,
        {broker.HOST_TASK: take},
        unacked=f"un.{settings.name}",
    )


def make_runner(settings: config.AgentConfig, host: Any, say: Callable[[str], None]) -> Runner:
    """The runner with the host's keys and journal."""
    return Runner(
        name=settings.name,
        host=host,
        verbs=VERBS,
        journal=Journal(settings.journal),
        locks=settings.root / "locks",
        key=key_file(settings.signing_key),
        control_key=public_key(settings.control_key.read_text()),
        boot_id=uuid.uuid4().hex,
        say=say,
    )


def alone(settings: config.AgentConfig) -> int:
    """Make sure that this is the host's only worker; the returned descriptor holds the lock. Raises BlockingIOError."""
    settings.root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(settings.root / "worker.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def run(settings: config.AgentConfig) -> int:
    """Serve until told to stop; returns the exit code."""
    host = Host(settings)
    runner = make_runner(settings, host, lambda text: broker.publish_answer(app, text))
    app = make_app(settings, runner.take)
    host.on_event = lambda event: _tell(runner, event)
    host.start()
    threading.Thread(target=runner.keep, name="keep", daemon=True).start()
    worker_ready.connect(lambda **_: runner.hello(), weak=False)
    worker_shutting_down.connect(lambda **_: runner.stop(grace_s=0), weak=False)
    code = serving.serve(app, INTAKE_THREADS)
    runner.stop()
    host.stop()
    return code


def _tell(runner: Runner, event: DomainEvent) -> None:
    runner.report(EVENT, event)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m agents.worker", description=__doc__)
    parser.add_argument("--config", type=Path, help="the host's TOML file")
    chosen = parser.parse_args(arguments)
    try:
        settings = config.load(chosen.config)
        lock = alone(settings)
    except config.AgentConfigError as error:
        sys.exit(str(error))
    except BlockingIOError:
        sys.exit("another worker of this host is running")
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        code = run(settings)
    except PluginError as error:
        sys.exit(str(error))
    os.close(lock)
    logging.shutdown()
    os._exit(code)  # a verb that does not end must not keep the process


if __name__ == "__main__":
    main()
