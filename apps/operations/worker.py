"""The control worker: one process that moves operations, runs jobs, reads answers and keeps the daemons."""

from __future__ import annotations

import logging
import threading

from django.db import close_old_connections

from agents import serving
from apps.operations import accounts, broker, jobs, tasks
from apps.operations.clock import RENEW_S
from apps.operations.daemons import Leader

log = logging.getLogger(__name__)

ADVANCE_THREADS, ANSWER_THREADS = 4, 4


def run() -> int:
    """Serve until told to stop; returns the exit code. Work under way is taken up again from its rows."""
    stop = threading.Event()
    leader = Leader()
    answers = serving.AnswerReader(accounts.url(), tasks.receive, ANSWER_THREADS)
    threading.Thread(target=_read_answers, args=(answers, stop), name="answers", daemon=True).start()
    threading.Thread(target=_renew_jobs, args=(stop,), name="renew-jobs", daemon=True).start()
    leader.start()
    code = serving.serve(broker.app(), ADVANCE_THREADS)
    stop.set()
    answers.should_stop = True
    leader.stop.set()
    leader.join(timeout=15)
    return code


def _read_answers(reader: serving.AnswerReader, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            reader.run()
        except Exception:
            log.exception("reading answers failed; starting again")
            stop.wait(1)


def _renew_jobs(stop: threading.Event) -> None:
    while not stop.wait(RENEW_S):
        try:
            close_old_connections()
            jobs.renew()
        except Exception:
            log.exception("leases of jobs were not renewed")
