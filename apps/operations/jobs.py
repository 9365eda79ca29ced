"""Jobs of sagas: idempotent code of the control plane outside the database, run under the same lease as a verb.

A job is taken from the queue `work`, runs outside any transaction, and answers like a host. While it runs, one
thread of the process renews the leases of all jobs and learns which of them were cancelled.
"""

from __future__ import annotations

import logging
import threading
import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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

JOBS_AT_ONCE = 4


class RunningJob:
    """What a job sees of its run (`registry.JobContext`)."""

    def __init__(self, operation_id: str, attempt: int) -> None:
        self.operation_id, self.attempt, self.fence = operation_id, attempt, 0
        self.percent, self.text = 0, ""
        self.cancelled = threading.Event()

    def progress(self, percent: int, text: str) -> None:
        self.percent, self.text = percent, text

    def checkpoint(self) -> None:
        if self.cancelled.is_set():
            raise Cancelled("The operation was cancelled.")


_taken: dict[tuple[str, int], RunningJob] = {}
_guard = threading.Lock()
_pool = ThreadPoolExecutor(JOBS_AT_ONCE, thread_name_prefix="job")


def take(operation_id: str, attempt: int, perform: Callable[[str, int], None]) -> None:
    """Have a job run in one of the threads for jobs. Its lease is renewed from now on, also while it waits."""
    key = (operation_id, attempt)
    with _guard:
        if key in _taken:
            return
        _taken[key] = RunningJob(operation_id, attempt)
    _pool.submit(perform, operation_id, attempt)


def run(operation_id: uuid.UUID | str, attempt: int) -> None:
    """Run the job an operation waits for; a message that is stale or doubled does nothing."""
    key = (str(operation_id), attempt)
    with _guard:
        job = _taken.setdefault(key, RunningJob(*key))
    try:
        row = Operation.objects.filter(pk=operation_id, status__in=ACTIVE).first()
        if row is None or row.waits_for != WaitsFor.JOB or row.attempt != attempt:
            return
        job.fence = row.fence
        logs.request_id.set(row.request_id)
        reply, failure = _perform(row, job)
    finally:
        with _guard:
            _taken.pop(key, None)
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
        jobs = list(_taken.values())
    signs = tuple(Running(operation=j.operation_id, attempt=j.attempt, percent=j.percent, text=j.text) for j in jobs)
    cancelled = set(executors.renew("", Renewal(running=signs)))
    for job in jobs:
        if job.operation_id in cancelled:
            job.cancelled.set()
