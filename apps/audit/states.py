"""Words of the audit log."""

from __future__ import annotations

import enum


class Outcome(enum.StrEnum):
    """How it ended: the words of CADF."""

    SUCCESS = "success"
    FAILURE = "failure"


AHEAD = 3  # months whose partitions exist before they begin
DUTY_S = 3600.0  # how often partitions are looked after
