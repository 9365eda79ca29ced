"""Lines of the table, and whose time is counted."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.cloud import Cloud


@dataclass
class Row:
    """One line of the table."""

    what: str
    measured: str
    baseline: str = "–"
    ratio: str = "–"
    goal: str = "–"


def pids_of(cloud: Cloud, *parts: str) -> list[int]:
    return [pid for pid, part, _ in cloud.processes() if any(name in part for name in parts)]
