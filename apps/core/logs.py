"""Logs: one JSON object a line on standard error, each with the request id it belongs to."""

from __future__ import annotations

import datetime
import json
import logging
import os
from contextvars import ContextVar

import orjson

request_id: ContextVar[str] = ContextVar("request_id", default="")

# What no line shows is not worked out either: the caller's file and line, thread and process.
# The way is that of Python's own logging how-to, "Optimization".
logging._srcfile = None
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
# A request, as Django adds it, would show its whole query: signatures of addresses are secrets.
_LEFT_OUT = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "request"}


class JsonFormatter(logging.Formatter):
    """What `extra={…}` adds becomes keys of the object."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.datetime.fromtimestamp(record.created, datetime.UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            line["request_id"] = current
        line |= {k: v for k, v in vars(record).items() if k not in _LEFT_OUT}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str, option=_OPTIONS).decode()
        except TypeError:  # half characters, and numbers of more than 64 bits
            return json.dumps(line, default=str)


class LineHandler(logging.Handler):
    """Writes each line to standard error by one call, for which no thread waits for another.

    A pipe keeps the bytes of one write together, unless it is full: then lines of more than PIPE_BUF bytes, as hardly
    any has, may be parted by others.
    """

    def createLock(self) -> None:
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
            while line:
                line = line[os.write(2, line) :]
        except Exception:  # noqa: BLE001 - as every handler does
            self.handleError(record)
