"""Reading from a guest: its console's log, its counters."""

from __future__ import annotations

from agents.contracts import ConsoleLog, Diagnostics, ReadConsoleLog, ReadDiagnostics
from apps.compute.services.consoles import READ_LOG
from apps.compute.services.diagnosing import DIAGNOSE
from apps.operations.registry import Agent, Saga

CONSOLE_LOG_READ = Saga(
    READ_LOG,
    title="Read console log",
    tries=1,
    steps=(
        Agent(
            "read",
            "compute.read_console_log",
            target=lambda op: op.input["host"],
            message=lambda op: ReadConsoleLog(server_id=op.subject_id, lines=op.input["lines"]),
            returns=ConsoleLog,
            deadline_s=30,
        ),
    ),
)

SERVER_DIAGNOSE = Saga(
    DIAGNOSE,
    title="Read diagnostics",
    tries=1,
    steps=(
        Agent(
            "read",
            "compute.read_diagnostics",
            target=lambda op: op.input["host"],
            message=lambda op: ReadDiagnostics(server_id=op.subject_id),
            returns=Diagnostics,
            deadline_s=30,
        ),
    ),
)
