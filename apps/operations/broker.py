"""The control plane's end of the broker: rings, jobs and messages out."""

from __future__ import annotations

import uuid
from functools import cache

from celery import Celery

from agents import broker
from agents.broker import CONTROL, HOST_TASK, WORK
from apps.operations import accounts, tasks


@cache
def app() -> Celery:
    """The Celery app of control workers, and of whoever rings."""
    return broker.make_app("kumo-control", accounts.url(), [CONTROL, WORK], tasks.TASKS, unacked="un.control")


class CeleryDoorbell:
    """Rings over the broker."""

    def ring(self, operation_id: uuid.UUID) -> None:
        broker.publish_task(app(), CONTROL, tasks.ADVANCE, str(operation_id))

    def work(self, operation_id: uuid.UUID, attempt: int) -> None:
        broker.publish_task(app(), WORK, tasks.WORK, str(operation_id), attempt)

    def send(self, queue: str, text: str) -> None:
        broker.publish_task(app(), queue, HOST_TASK, text)
