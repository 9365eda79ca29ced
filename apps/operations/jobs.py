"""Jobs of sagas: idempotent code of the control plane outside the database, run under the same lease as a verb.

A job is taken from the queue `work`, runs outside any transaction, and answers like a host. While it runs, one
thread of the process renews the leases of all jobs and learns which of them were cancelled.
"""

from __future__ import annotations

import logging
import threading
import traceback
import uuid
from typing import Any

from agents.envelope import Renewal, Running
from agents.errors import Cancelled, VerbError
from apps.core import logs
from apps.core.errors import KumoError
from apps.operations import engine, executors
from apps.operations.models import Operation
from apps.operations.registry import Job
from apps.operations.states import ACTIVE, WaitsFor
from apps.operations.turn import Source, parts
from apps.operations.view import Failure

log = logging.getLogger(__name__)


class RunningJob:
    """What a job sees of its run (`registry.JobContext`)."""

    def __init__(self, operation: Operation) -> None:
        self.operation_id = operation.pk
        self.attempt = operation.attempt
        self.fence = operation.fence
        self.percent, self.text = 0, ""
        self.cancelled = threading.Event()

    def progress(self, percent: int, text: str) -> None:
        self.percent, self.text = percent, text

    def checkpoint(self) -> None:
        if self.cancelled.is_set():
            raise Cancelled("The operation was cancelled.")


_running: dict[tuple[uuid.UUID, int], RunningJob] = {}
_guard = threading.Lock()


def run(operation_id: uuid.UUID | str, attempt: int) -> None:
    """Run the job an operation waits for; a message that is stale or doubled does nothing."""
    row = Operation.objects.filter(pk=operation_id, status__in=ACTIVE).first()
    if row is None or row.waits_for != WaitsFor.JOB or row.attempt != attempt:
        return
    job = RunningJob(row)
    key = (row.pk, attempt)
    with _guard:
        if key in _running:
            return
        _running[key] = job
    logs.request_id.set(row.request_id)
    try:
        reply, failure = _perform(row, job)
    finally:
        with _guard:
            del _running[key]
        logs.request_id.set("")
    engine.answered(row.pk, expects=row.expects, attempt=attempt, host="", reply=reply, failure=failure)


def _perform(row: Operation, job: RunningJob) -> tuple[Any, Failure | None]:
    name, of_undo, inherited = parts(row.expects)
    try:
        source = Source(Operation.objects.get(pk=inherited)) if inherited else Source(row)
        step = source.saga.step(name)
        if not isinstance(step, Job):
            return None, Failure("refused", f"step {name} is no job", name)
        if of_undo:
            return (step.undo(source.view, job) if step.undo else None), None
        return step.do(source.view, job), None
    except VerbError as error:
        return None, Failure(error.kind, str(error), name)
    except KumoError as error:
        return None, Failure("refused", str(error), name)
    except Exception as error:
        log.exception("a job raised", extra={"operation": str(row.pk), "step": name})
        return None, Failure("crashed", repr(error), name, traceback=traceback.format_exc())


def renew() -> None:
    """Lengthen the leases of this process's jobs, and pass on which were cancelled."""
    with _guard:
        jobs = list(_running.values())
    signs = tuple(
        Running(operation=str(j.operation_id), attempt=j.attempt, percent=j.percent, text=j.text) for j in jobs
    )
    cancelled = set(executors.renew("", Renewal(running=signs)))
    for job in jobs:
        if str(job.operation_id) in cancelled:
            job.cancelled.set()
