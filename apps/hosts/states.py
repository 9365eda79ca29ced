"""Words of hosts."""

from __future__ import annotations

from enum import StrEnum

DEFAULT_ZONE = "nova"  # what OpenStack calls the zone of hosts that nobody put into one


class HostState(StrEnum):
    """Does the host answer?"""

    ENROLLED = "enrolled"  # has its certificate, has not reported yet
    UP = "up"
    DOWN = "down"


class HostMode(StrEnum):
    """What an operator lets the scheduler do with the host."""

    ENABLED = "enabled"
    DISABLED = "disabled"  # no new servers; what runs, runs on
    DRAINING = "draining"  # no new servers, and the ones there are to leave


HEARTBEAT_S = 5
SILENCE_S = 15  # a host that said nothing for this long is down
LOST_S = 600  # a host down for this long is asked now and then only
LOST_EVERY = 12  # every so many heartbeats
MAX_SKEW_S = 2.0  # a clock further off than this stops placement on the host
