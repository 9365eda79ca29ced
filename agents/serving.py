"""The reading end of the broker: what control workers and hosts run. Who only sends does without these modules."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery import Celery
from celery.apps.worker import Worker as CeleryWorker
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu import Connection
from kombu.mixins import ConsumerMixin

from agents.broker import ANSWERS, CONNECT_S, options, queue

log = logging.getLogger(__name__)

TAKEN_AT_ONCE = 64


class Consumer(CeleryConsumer):
    """Only what reads tasks: no delayed delivery (which wants queues of its own), no control, no gossip."""

    class Blueprint(CeleryConsumer.Blueprint):  # type: ignore[misc, valid-type]
        default_steps = (
            "celery.worker.consumer.connection:Connection",
            "celery.worker.consumer.tasks:Tasks",
            "celery.worker.consumer.consumer:Evloop",
        )


class Worker(CeleryWorker):
    """Blocks on the broker instead of running an event loop: simpler to come back from a lost connection."""

    def should_use_eventloop(self) -> bool:
        return False


def serve(app: Celery, threads: int) -> int:
    """Read the app's queues in this thread until told to stop; returns the process's exit code."""
    setup_logging.connect(_leave_logging_alone, weak=False)
    for name in ("celery.worker.strategy", "celery.app.trace"):  # two lines for each message that goes well
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.simplefilter("ignore", SecurityWarning)  # it warns of root, whom libvirt and namespaces need
    worker = Worker(
        app=app,
        pool="threads",
        concurrency=threads,
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _leave_logging_alone(**_: Any) -> None:
    """Celery configures no logging where this is connected. It would tell each task twice, with all arguments."""
    logging.getLogger("celery").setLevel(logging.WARNING)


class AnswerReader(ConsumerMixin):
    """Reads `answers`, which hosts may write: hands texts to one function and can call nothing else.

    `run` blocks and reconnects for ever; set `should_stop` to end it.
    """

    def __init__(self, url: str, take: Callable[[str], None], threads: int) -> None:
        self.connection = Connection(url, transport_options=options(url, "un.answers"), connect_timeout=CONNECT_S)
        self._take = take
        self._room = threading.Semaphore(TAKEN_AT_ONCE)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="answers")

    def get_consumers(self, consumer: Any, channel: Any) -> list[Any]:
        made = consumer([queue(ANSWERS)], on_message=self._on_message, accept=["json"], prefetch_count=TAKEN_AT_ONCE)
        return [made]

    def _on_message(self, message: Any) -> None:
        self._room.acquire()
        message.ack()
        self._pool.submit(self._handle, message)

    def _handle(self, message: Any) -> None:
        try:
            text = message.decode()
            if isinstance(text, str):
                self._take(text)
        except Exception:
            log.exception("a message in %s was dropped", ANSWERS)
        finally:
            self._room.release()
