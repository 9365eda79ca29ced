"""Disks of a storage policy: added, emptied, given up. Each act can first say what it would move."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.db.models import Count, F, Func, Sum, Value

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.transactions import internal, on_violation, service, streaming
from apps.objectstore import backends
from apps.objectstore.backends.directory import Directory, claim, identity_of
from apps.objectstore.backends.disks import COPIES, DiskStore, machine
from apps.objectstore.models import Blob, Disk
from apps.objectstore.states import DiskState

BATCH = 10_000

on_violation(
    "objectstore_disk_path",
    lambda detail: Conflict(
        "There is a disk of this path, and it is another than the one that is there now.",
        hint="Mount it again; if it is lost for ever, give it up first: object disks lost.",
    ),
)


@dataclass(frozen=True, slots=True)
class DiskFacts:
    """A disk as it is now; sizes are in bytes."""

    disk: Disk
    is_there: bool
    free: int
    size: int
    copies: int
    copies_bytes: int


@internal("an operator's command", atomic=False)
def disk_list(ctx: RequestContext) -> list[DiskFacts]:
    """All disks with what is on them."""
    return [_facts(disk) for disk in Disk.objects.order_by("number")]


@internal("an operator's command")
def disk_add(ctx: RequestContext, *, path: str, policy: str = backends.DEFAULT) -> tuple[Disk, bool]:
    """Make a directory a disk, or take in again one that is a disk already, at its new path or machine.

    Returns it and whether it is new. Raises Invalid for a path or policy that cannot be used.
    """
    disk_store(policy)
    folder = Path(path)
    if not folder.is_absolute() or not folder.is_dir():
        raise Invalid(f"{path} is no directory with an absolute path.")
    try:
        known = identity_of(path)
    except FileNotFoundError:
        return _new(path, policy), True
    except ValueError as error:
        raise Invalid(str(error)) from error
    disk = Disk.objects.select_for_update().filter(identity=known).first()
    if disk is None or disk.policy != policy:
        raise Invalid(f"{path} is a disk of another cloud or policy, or one that was given up.", hint="Empty it first.")
    disk.path, disk.machine = path, machine()
    disk.save(update_fields=["path", "machine"])
    disk_store(policy).forget()
    return disk, False


@streaming("object_store:operate")
def disk_preview(ctx: RequestContext, *, number: int) -> tuple[int, int]:
    """How many copies, and bytes, have to be made elsewhere if this disk goes. Raises NotFound."""
    _disk(number)
    return _on(number)


@internal("an operator's command", atomic=False)
def disk_policy(ctx: RequestContext, number: int) -> str:
    """The storage policy that a disk belongs to. Raises NotFound."""
    return _disk(number).policy


@service("object_store:operate")
def disk_drain(ctx: RequestContext, *, number: int) -> None:
    """Move everything off a disk, which may be taken away when it is empty. Raises NotFound, Conflict."""
    disk = _disk(number)
    others = Disk.objects.filter(policy=disk.policy, state=DiskState.ACTIVE).exclude(pk=number).count()
    if others < COPIES:
        raise Conflict(f"{COPIES} other disks are needed, there are {others}.", hint="Add one first.")
    Disk.objects.filter(pk=number).update(state=DiskState.DRAINING)
    disk_store(disk.policy).forget()


@service("object_store:operate")
def disk_activate(ctx: RequestContext, *, number: int) -> None:
    """Take a disk that is being emptied into use again. Raises NotFound."""
    disk = _disk(number)
    Disk.objects.filter(pk=number).update(state=DiskState.ACTIVE)
    disk_store(disk.policy).forget()


@internal("an operator's command", atomic=False)
def disk_lost(ctx: RequestContext, *, number: int) -> int:
    """Give a disk up: what was on it is made anew on others. Returns how many copies. Raises NotFound."""
    disk = _disk(number)
    Disk.objects.filter(pk=number).update(state=DiskState.DRAINING)  # nothing new comes meanwhile
    disk_store(disk.policy).forget()
    changed = places_forget(ctx, number=number)
    Disk.objects.filter(pk=number).delete()
    disk_store(disk.policy).forget()
    return changed


@internal("giving up a disk, and the collector for numbers that came late", atomic=False)
def places_forget(ctx: RequestContext, *, number: int) -> int:
    """Count every copy on a disk as missing; returns how many."""
    total = 0
    while True:
        some = Blob.objects.filter(places__contains=[number]).values("pk")[:BATCH]
        removed = Func(F("places"), Value(number), function="array_remove")
        changed = Blob.objects.filter(pk__in=some).update(places=removed, missing=F("missing") + 1)
        total += changed
        if changed < BATCH:
            return total


@internal("the collector", atomic=False)
def draining_mark(ctx: RequestContext) -> int:
    """Let the repair duty move copies off disks that are emptied; returns how many blobs wait for it."""
    waiting = 0
    for number in Disk.objects.filter(state=DiskState.DRAINING).values_list("pk", flat=True):
        some = Blob.objects.filter(places__contains=[number], missing=0, unused_since=None).values("pk")[:BATCH]
        waiting += Blob.objects.filter(pk__in=some).update(missing=1)
    return waiting


@internal("the collector and the doctor", atomic=False)
def unknown_places(ctx: RequestContext) -> list[int]:
    """Numbers of disks that copies are said to be on and that do not exist (any more)."""
    known = set(Disk.objects.values_list("pk", flat=True))
    on_disks = [policy for policy in backends.policies() if isinstance(backends.store(policy), DiskStore)]
    blobs = Blob.objects.filter(policy__in=on_disks)
    named = blobs.annotate(place=Func(F("places"), function="unnest")).values_list("place", flat=True).distinct()
    return sorted(set(named) - known)


@internal("the doctor and every start", atomic=False)
def foreign_disks(ctx: RequestContext) -> Iterator[str]:
    """Sentences about disks that are another machine's: nothing may be served from here then."""
    for disk in Disk.objects.exclude(machine=machine()).order_by("pk"):
        yield f"{disk} is on machine {disk.machine}, this is {machine()}: the back end disks serves one machine only"


@internal("the doctor", atomic=False)
def closed_disks(ctx: RequestContext) -> Iterator[str]:
    """Sentences about disks whose copies nginx may not send by itself."""
    for disk in Disk.objects.order_by("number"):
        try:
            Directory(disk.number, disk.path, disk.identity).readers()
        except FileNotFoundError:
            continue
        except OSError:
            mend = f"chgrp GROUP {disk.path} && chmod 2710 {disk.path}, with the group of nginx's workers"
            yield f"what is on {disk} is streamed, since nginx may not read there: {mend}"


def _new(path: str, policy: str) -> Disk:
    if any(entry.name != "lost+found" for entry in os.scandir(path)):
        raise Invalid(f"{path} is not empty.")
    identity = uuid.uuid4()
    disk = Disk.objects.create(policy=policy, path=path, identity=identity, machine=machine())
    try:
        claim(path, identity)
    except OSError as error:
        raise Invalid(f"{path} cannot be used: {error.strerror}.") from error
    disk_store(policy).forget()
    return disk


def disk_store(policy: str) -> DiskStore:
    """The back end of a policy that keeps its blobs on disks. Raises Invalid for any other."""
    if policy not in backends.policies():
        raise Invalid(f"There is no storage policy {policy!r}.", hint=f"There are: {', '.join(backends.policies())}.")
    store = backends.store(policy)
    if not isinstance(store, DiskStore):
        raise Invalid(f"Storage policy {policy} keeps nothing on disks of this machine.")
    return store


def _disk(number: int) -> Disk:
    disk = Disk.objects.filter(pk=number).first()
    if disk is None:
        raise NotFound("disk", number)
    return disk


def _on(number: int) -> tuple[int, int]:
    row = Blob.objects.filter(places__contains=[number]).aggregate(copies=Count("pk"), size=Sum("size"))
    return row["copies"], int(row["size"] or 0)


def _facts(disk: Disk) -> DiskFacts:
    directory = Directory(disk.number, disk.path, disk.identity)
    there = disk.machine == machine() and directory.is_there()
    free, size = directory.room() if there else (0, 0)
    return DiskFacts(disk, there, free, size, *_on(disk.number))
