"""Work on OVN outside the database: reading facts, computing wanted rows, making OVN match."""

from apps.network.jobs.facts import gateway_chassis
from apps.network.jobs.projection import project, sync, wake_servers

__all__ = ["gateway_chassis", "project", "sync", "wake_servers"]
