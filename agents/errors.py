"""How a verb can fail. The kind decides what the control plane does next."""

from __future__ import annotations


class VerbError(Exception):
    """Base; the text is shown to operators and, where safe, to the owner of the resource."""

    kind = "transient"


class Transient(VerbError):
    """May work when tried again: a busy lock, a full queue, a restarting libvirt."""

    kind = "transient"


class Refused(VerbError):
    """Will not work however often it is tried: a corrupt image, an older generation, no room."""

    kind = "refused"


class Unsupported(VerbError):
    """This host or driver cannot do that."""

    kind = "unsupported"


class Cancelled(VerbError):
    """The verb stopped at a checkpoint because its operation was cancelled."""

    kind = "cancelled"
