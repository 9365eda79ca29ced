"""Whose a bucket or pool is. What lies there and is named by no row gets removed: hence nobody else may use it.

A mark beside the blobs holds the identity that the database has for the policy. A bucket that another cloud uses, or
another database of the same cloud, has another mark, and is not touched.
"""

from __future__ import annotations

from collections.abc import Callable

from apps.objectstore.backends import WrongMachineError
from apps.objectstore.models import Blob, Claim

MARK = "kumo-store"  # its name


def require_own(policy: str, read: Callable[[], bytes | None], write: Callable[[bytes], None]) -> None:
    """Raise WrongMachineError unless the mark is ours. An empty place, of which no row tells, becomes ours.

    `read` gives the mark, or None where there is none. Both raise OSError.
    """
    identity = Claim.objects.get_or_create(policy=policy)[0].identity.hex.encode()
    found = read()
    if found is None:
        if Blob.objects.filter(policy=policy).exists():
            raise WrongMachineError(f"the place of storage policy {policy} is another than it was, or was emptied")
        write(identity)
        found = read()
    if found != identity:
        raise WrongMachineError(
            f"the place of storage policy {policy} is another cloud's; "
            f"if that one is gone, remove what is there, and {MARK} last"
        )
