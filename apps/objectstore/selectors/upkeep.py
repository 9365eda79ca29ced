"""How the store is, for whoever runs it: disks and their room, copies that lack, how far the auditor has come.

Nothing here reads all blobs: what would is asked for by command.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass

from django.db.models import Count, QuerySet, Sum

from apps.core.context import RequestContext
from apps.core.transactions import selector
from apps.objectstore import backends
from apps.objectstore.backends.directory import identity_of
from apps.objectstore.backends.disks import COPIES, DiskStore, machine
from apps.objectstore.models import Audit, Blob, Container, Disk


@dataclass(frozen=True, slots=True)
class Room:
    """A disk's file system as it is now, in bytes; zeros where the disk is not there."""

    is_there: bool
    free: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class PolicyState:
    """A storage policy in numbers."""

    name: str
    backend: str
    bytes: int  # that containers hold, as folded
    copies: int  # of each blob that the auditor reads: 1 where an engine makes its own
    missing: int  # copies that are to be made
    unused: int  # blobs that wait for their grace time
    audit_began_at: datetime.datetime | None = None  # of the walk that goes on
    audit_ended_at: datetime.datetime | None = None  # of the last whole walk
    audit_read: int = 0  # bytes of this walk
    audit_found: int = 0  # bad or missing copies in this walk

    @property
    def audit_percent(self) -> int | None:
        """How far the walk is, about; None where none goes on."""
        if self.audit_began_at is None or not self.bytes:
            return None
        return min(100, self.audit_read * 100 // (self.bytes * self.copies))


@selector("object_store:operate")
def disk_rows(ctx: RequestContext) -> QuerySet[Disk]:
    """All disks."""
    return Disk.objects.all()


@selector("object_store:operate")
def disk_room(ctx: RequestContext, *, disk: Disk) -> Room:
    """Whether a disk is there, on this machine, and how full it is."""
    try:
        if disk.machine != machine() or identity_of(disk.path) != disk.identity:
            return Room(False)
        found = os.statvfs(disk.path)
    except (OSError, ValueError):
        return Room(False)
    return Room(True, found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


@selector("object_store:operate")
def policy_states(ctx: RequestContext) -> list[PolicyState]:
    """Every storage policy; four queries for all of them."""
    lacking = Blob.objects.filter(missing__gt=0, unused_since=None).values("policy").annotate(n=Sum("missing"))
    unused = Blob.objects.filter(unused_since__isnull=False).values("policy").annotate(n=Count("pk"))
    kept = Container.objects.values("policy").annotate(n=Sum("base_bytes"))
    missing, waiting, held = (dict(rows.values_list("policy", "n")) for rows in (lacking, unused, kept))
    walks = {walk.policy: walk for walk in Audit.objects.all()}
    return [
        PolicyState(
            name,
            backends.engine(name),
            int(held.get(name) or 0),
            COPIES if isinstance(backends.store(name), DiskStore) else 1,
            missing.get(name) or 0,
            waiting.get(name) or 0,
            *_walk(walks.get(name)),
        )
        for name in backends.policies()
    ]


def _walk(walk: Audit | None) -> tuple[datetime.datetime | None, datetime.datetime | None, int, int]:
    if walk is None:
        return None, None, 0, 0
    return walk.began_at if walk.reached else None, walk.ended_at, walk.bytes_read, walk.found
