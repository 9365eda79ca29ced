"""What hosts say: answers to verbs, signs of life, greetings, and reports that belong to no operation.

Only messages signed by an enrolled host are believed, and an answer only from the host that the step was sent to.
"""

from __future__ import annotations

import logging
import uuid

import msgspec
from django.db import OperationalError

from agents.envelope import ANSWER, HELLO, RENEW, Answer, Envelope, EnvelopeError, Renewal, Reported
from apps.core import context
from apps.operations import engine, executors, messages, services
from apps.operations.registry import REPORTS, Report
from apps.operations.turn import parts
from apps.operations.view import Failure

log = logging.getLogger(__name__)

REPORT_TRIES = 3  # where its transaction collides with another


def receive(text: str) -> None:
    """Take one message; what cannot be believed or read is logged and dropped."""
    try:
        envelope = messages.opened(text)
        _take(envelope)
    except (EnvelopeError, msgspec.ValidationError) as error:
        log.warning("message dropped", extra={"reason": str(error)})


def _take(envelope: Envelope) -> None:
    if envelope.verb == ANSWER:
        _answer(envelope)
    elif envelope.verb == RENEW:
        executors.renew(envelope.sender, msgspec.convert(envelope.body, Renewal))
    elif envelope.verb == HELLO:
        greeting = msgspec.convert(envelope.body, Reported)
        services.host_seen(context.system(), host=envelope.sender, boot_id=greeting.boot_id)
    else:
        _report(envelope)


def _answer(envelope: Envelope) -> None:
    answer = msgspec.convert(envelope.body, Answer)
    failure = None
    if answer.error is not None:
        name = parts(envelope.step)[0]
        failure = Failure(answer.error.kind, answer.error.message, name, envelope.sender)
    try:
        operation_id = uuid.UUID(envelope.operation)
    except ValueError:
        raise EnvelopeError("the answer names no operation") from None
    engine.answered(
        operation_id,
        expects=envelope.step,
        attempt=envelope.attempt,
        host=envelope.sender,
        reply=answer.reply,
        failure=failure,
    )


def _report(envelope: Envelope) -> None:
    known = REPORTS.get(envelope.verb)
    if known is None:
        log.info("report without a handler", extra={"verb": envelope.verb, "host": envelope.sender})
        return
    reported = msgspec.convert(envelope.body, Reported)
    message, handler = known
    report = Report(envelope.sender, reported.boot_id, msgspec.convert(reported.message, message))
    for tries_left in reversed(range(REPORT_TRIES)):
        try:
            handler(report)
            return
        except OperationalError as error:
            if not tries_left or not engine.is_passing(error):
                raise
