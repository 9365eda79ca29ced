"""Redis or RabbitMQ as both sides use it: one Celery app per process, plain texts in queues, nothing else.

No results, events, remote control, gossip, chords or ETA. On Redis each host keeps what it has taken under keys
of its own, so that no host can read another's messages; on RabbitMQ the queues are quorum queues.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from agents.address import is_amqp

ANSWERS, CONTROL, WORK = "answers", "control", "work"
HOST_TASK = "host.run"
CONNECT_S, PUBLISH_S = 2.0, 2.0


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
        worker_consumer="agents.serving:Consumer",
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
