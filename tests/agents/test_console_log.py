"""The end of a console log, across virtlogd's rotation."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.console_log import tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "console.log"
    (tmp_path / "console.log.1").write_bytes(b"one\ntwo\nth")
    (tmp_path / "console.log.0").write_bytes(b"ree\nfour\nfi")
    path.write_bytes(b"ve\nsix\n")
    return path


@pytest.mark.parametrize(
    ("lines", "limit", "text"),
    [
        (None, 1000, "one\ntwo\nthree\nfour\nfive\nsix\n"),
        (1, 1000, "six\n"),
        (2, 1000, "five\nsix\n"),
        (4, 1000, "three\nfour\nfive\nsix\n"),
        (99, 1000, "one\ntwo\nthree\nfour\nfive\nsix\n"),
        (None, 6, "e\nsix\n"),
        (None, 9, "five\nsix\n"),
        (2, 4, "six\n"),
    ],
)
def test_last_lines_and_bytes(log: Path, lines: int | None, limit: int, text: str) -> None:
    assert tail(log, lines, limit) == text


def test_absent_log_is_empty(tmp_path: Path) -> None:
    assert tail(tmp_path / "console.log", None, 100) == ""


def test_bytes_that_are_no_text_are_shown_as_such(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"\xff\xfeok\n")
    assert tail(path, None, 100) == "\ufffd\ufffdok\n"
