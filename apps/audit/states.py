"""Words of the audit log."""

from __future__ import annotations

import enum


class Outcome(enum.StrEnum):
    """How it ended: the words of CADF."""

    SUCCESS = "success"
    FAILURE = "failure"


AHEAD = 3  # months whose partitions exist before they begin
DUTY_S = 3600.0  # how often partitions are looked after
BURST = "1 hour"  # how long refusals of one kind are counted together …
QUIET = "5 minutes"  # … unless there was none for so long
CLOSE_S = 60.0  # how often is looked whether that is over
