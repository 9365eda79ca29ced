"""What a host can be asked. Importing this package fills `registry.VERBS`."""

from agents.verbs import compute, inventory
from agents.verbs.registry import VERBS, Job, Verb

__all__ = ["VERBS", "Job", "Verb", "compute", "inventory"]
