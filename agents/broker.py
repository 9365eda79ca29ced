"""Redis or RabbitMQ as both sides use it: one Celery app per process, plain texts in queues, nothing else.

No results, events, remote control, gossip, chords or ETA. On Redis each host keeps what it has taken under keys
of its own, so that no host can read another's messages; on RabbitMQ the queues are quorum queues.
"""

from __future__ import annotations

import logging
import threading
import uuid
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from celery import Celery
from celery.apps.worker import Worker as CeleryWorker
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging
from celery.worker.consumer import Consumer as CeleryConsumer
from kombu import Connection, Exchange, Queue
from kombu.mixins import ConsumerMixin

log = logging.getLogger(__name__)

ANSWERS, CONTROL, WORK = "answers", "control", "work"
HOST_TASK = "host.run"
CONNECT_S, PUBLISH_S = 2.0, 2.0
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


def queue(name: str) -> Queue:
    """A queue as both brokers know it: durable, reached by its name alone.

    `answers` has an exchange of its own on RabbitMQ, because permission to write to the default exchange would
    be permission to write to every queue.
    """
    exchange = Exchange(name, "direct", durable=True) if name == ANSWERS else Exchange("")
    return Queue(name, exchange, routing_key=name, durable=True, queue_arguments={"x-queue-type": "quorum"})


def options(url: str, unacked: str) -> dict[str, Any]:
    """Transport options: short time-outs, one key per queue, own keys for what was taken."""
    if is_amqp(url):
        return {"connect_timeout": CONNECT_S, "confirm_publish": True, "read_timeout": None}
    return {
        "socket_connect_timeout": CONNECT_S,
        "socket_timeout": 5.0,
        "socket_keepalive": True,
        "priority_steps": [0],
        "sep": ":",
        "unacked_key": unacked,
        "unacked_index_key": f"{unacked}.index",
        "unacked_mutex_key": f"{unacked}.mutex",
        "fanout_prefix": True,
        "fanout_patterns": True,
    }


def make_app(name: str, url: str, queues: list[str], tasks: dict[str, Callable[..., Any]], *, unacked: str) -> Celery:
    """A Celery app that reads these queues and knows these tasks and no others, not even Celery's own."""
    app = Celery(name, set_as_current=False, fixups=[])
    app.conf.update(
        broker_url=url,
        broker_transport_options=options(url, unacked),
        broker_connection_timeout=CONNECT_S,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_limit=4,
        result_backend=None,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        task_queues=[queue(q) for q in queues],
        task_default_queue=queues[0],
        task_create_missing_queues=False,
        task_acks_late=False,
        worker_consumer=f"{__name__}:Consumer",
        worker_prefetch_multiplier=4,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        enable_utc=True,
    )
    for task, function in tasks.items():
        app.task(name=task, shared=False, lazy=False)(function)
    app.finalize()
    for task in [known for known in app.tasks if known not in tasks]:
        app.tasks.unregister(task)
    return app


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


def publish_task(app: Celery, queue_name: str, task: str, *args: Any) -> None:
    """Put a task into a queue by its name. Raises what the broker raises, within seconds."""
    message = app.amqp.create_task_message(uuid.uuid4().hex, task, args, {}, ignore_result=True)
    _publish(app, message.body, "", queue_name, headers=message.headers, **message.properties)


def publish_answer(app: Celery, text: str) -> None:
    """Put a text into `answers`. Raises what the broker raises, within seconds."""
    exchange = ANSWERS if is_amqp(app.conf.broker_url) else ""
    _publish(app, text, exchange, ANSWERS)


def _publish(app: Celery, body: Any, exchange: str, routing_key: str, **properties: Any) -> None:
    with app.producer_pool.acquire(block=True, timeout=PUBLISH_S) as producer:
        producer.publish(
            body,
            exchange=exchange,
            routing_key=routing_key,
            serializer="json",
            delivery_mode=2,
            retry=True,
            retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1},
            timeout=PUBLISH_S,
            **properties,
        )


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
