"""Log lines: one JSON object each."""

from __future__ import annotations

import errno
import json
import logging
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.test import RequestFactory

from apps.core import logs


def line(**extra: object) -> dict[str, object]:
    record = logging.makeLogRecord({"name": "kumo.x", "msg": "did %s", "args": ("it",), "levelname": "INFO", **extra})
    record.created = 1_700_000_000.25
    return dict(json.loads(logs.JsonFormatter().format(record)))


def test_a_line_has_its_time_in_utc_and_what_extra_adds() -> None:
    ident = uuid.uuid4()
    assert line(server=ident, ms=1.5) == {
        "at": "2023-11-14T22:13:20.250000Z",
        "level": "info",
        "logger": "kumo.x",
        "message": "did it",
        "server": str(ident),
        "ms": 1.5,
    }


def test_a_line_names_the_request_it_belongs_to() -> None:
    token = logs.request_id.set("req-1")
    try:
        assert line()["request_id"] == "req-1"
    finally:
        logs.request_id.reset(token)


@pytest.mark.parametrize("value", ["half \udce9 character", 2**70, {1, 2}])
def test_no_value_loses_the_line(value: object) -> None:
    assert line(value=value)["message"] == "did it"


def test_a_request_and_the_signature_in_its_query_are_left_out() -> None:
    request = RequestFactory().get("/object-store/v1/AUTH_a/b/c?temp_url_sig=5ec2e7&temp_url_expires=1")
    shown = line(request=request, status_code=404)
    assert "5ec2e7" not in str(shown)
    assert shown["status_code"] == 404


def test_a_traceback_is_part_of_the_line() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        assert "ValueError: no" in str(line(exc_info=sys.exc_info())["traceback"])


def test_lines_of_many_threads_are_whole(capfd):
    log = logging.Logger("many")
    handler = logs.LineHandler()
    handler.setFormatter(logs.JsonFormatter())
    log.addHandler(handler)
    sizes = [10, 4000, 5000, 70_000]

    def write(n: int) -> None:
        for size in sizes:
            log.info("%s", f"{n}" * size)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    found = sorted(json.loads(line)["message"] for line in capfd.readouterr().err.splitlines())
    assert found == sorted(f"{n}" * size for n in range(8) for size in sizes)


def test_what_cannot_be_written_is_no_error_of_the_callers(monkeypatch, capsys):
    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(logs.os, "write", full)
    log = logging.Logger("full")
    log.addHandler(logs.LineHandler())
    log.info("lost")
    assert "full" in capsys.readouterr().err
