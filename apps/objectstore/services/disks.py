"""Disks of a storage policy: added, emptied, given up. Each act can first say what it would move."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.db.models import Count, F, Func, Q, SmallIntegerField, Sum, Value

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.transactions import internal, on_violation, service, streaming
from apps.objectstore import backends
from apps.objectstore.backends.directory import Directory, claim, identity_of
from apps.objectstore.backends.disks import COPIES, DiskStore, machine
from apps.objectstore.models import Blob, Container, Disk
from apps.objectstore.states import DiskState

BATCH = 10_000

on_violation(
    "objectstore_disk_path",
    lambda detail: Conflict(
        "There is a disk of this path, and it is another than the one that is there now.",
        hint="Mount it again; if it is lost for ever, give it up first: object disks lost.",
    ),
)


_PLACE = Func(F("places"), function="unnest", output_field=SmallIntegerField())


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
    on_disks = _on_disks()
    return [_facts(disk, *on_disks.get(disk.number, (0, 0))) for disk in Disk.objects.order_by("number")]


def spans() -> Iterator[Q]:
    """All blobs in pieces, by a condition for each: a statement over all of them would run into its time limit."""
    low: UUID | None = None
    while True:
        rows = Blob.objects.order_by("pk").values_list("pk", flat=True)
        behind = Q() if low is None else Q(pk__gt=low)
        high = rows.filter(behind)[BATCH - 1 : BATCH].first()
        if high is None:
            yield behind
            return
        yield behind & Q(pk__lte=high)
        low = high


def _on_disks() -> dict[int, tuple[int, int]]:
    """Number of each disk → copies and bytes that are said to be on it."""
    found: dict[int, tuple[int, int]] = {}
    for span in spans():
        rows = Blob.objects.filter(span).values_list(_PLACE).order_by().annotate(n=Count("pk"), total=Sum("size"))
        for number, copies, size in rows:
            before = found.get(number, (0, 0))
            found[number] = before[0] + copies, before[1] + int(size)
    return found


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


@internal("an operator's command")
def disk_replace(ctx: RequestContext, *, number: int, path: str) -> Disk:
    """Make an empty directory a disk in place of one that is to be given up next, perhaps at its very path.

    Raises NotFound, Invalid for a path that cannot be used or is a disk already, Conflict as giving the other up.
    """
    old = _disk(number)
    _nothing_lost_checked(ctx, old)
    if old.path == path:  # its place is the new one's now, and its row goes
        Disk.objects.filter(pk=number).update(path=f"{path} (was disk {number})")
    made, is_new = disk_add(ctx, path=path, policy=old.policy)
    if not is_new:
        raise Invalid(f"{path} is disk {made.pk} already.", hint="Give an empty directory.")
    return made


@streaming("object_store:operate")
def disk_preview(ctx: RequestContext, *, number: int) -> tuple[int, int]:
    """How many copies, and bytes, have to be made elsewhere if this disk goes. Raises NotFound."""
    _disk(number)
    return _on_disks().get(number, (0, 0))


@internal("an operator's command", atomic=False)
def disk_only(ctx: RequestContext, *, number: int) -> int:
    """How many blobs have no copy but on this disk and on others that are not there. Raises NotFound."""
    policy = _disk(number).policy
    away = [disk.pk for disk in Disk.objects.filter(policy=policy) if disk.pk == number or not _is_there(disk)]
    only = Q(policy=policy, unused_since=None, places__contains=[number], places__contained_by=away)
    return sum(Blob.objects.filter(span, only).count() for span in spans())


def _nothing_lost_checked(ctx: RequestContext, disk: Disk) -> None:
    """Raise Conflict for a disk that is there and has what no other has."""
    if _is_there(disk) and (only := disk_only(ctx, number=disk.pk)):
        hint = "Drain it, or bring the others back; if it cannot be read any more, unmount it first."
        raise Conflict(f"Of {only} blobs no other disk that is there has a copy.", hint=hint)


def _is_there(disk: Disk) -> bool:
    return disk.machine == machine() and Directory(disk.number, disk.path, disk.identity).is_there()


@service("object_store:operate")
def disk_drain(ctx: RequestContext, *, number: int) -> None:
    """Move everything off a disk, which may be taken away when it is empty. Raises NotFound, Conflict."""
    disk = _disk(number)
    active = Disk.objects.select_for_update().filter(policy=disk.policy, state=DiskState.ACTIVE).order_by("pk")
    others = sum(other.pk != number for other in active)  # locked: two that are emptied at once count each other
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
    """Give a disk up: what was on it is made anew on others. Returns how many copies.

    Raises NotFound, Conflict for one that is there and has what no other has.
    """
    disk = _disk(number)
    _nothing_lost_checked(ctx, disk)
    Disk.objects.filter(pk=number).update(state=DiskState.DRAINING)  # nothing new comes meanwhile
    disk_store(disk.policy).forget()
    changed = places_forget(ctx, number=number)
    Disk.objects.filter(pk=number).delete()
    disk_store(disk.policy).forget()
    return changed


@internal("giving up a disk, and the collector for numbers that came late", atomic=False)
def places_forget(ctx: RequestContext, *, number: int) -> int:
    """Count every copy on a disk as missing; returns how many."""
    removed = Func(F("places"), Value(number), function="array_remove")
    return sum(
        Blob.objects.filter(span, places__contains=[number]).update(places=removed, missing=F("missing") + 1)
        for span in spans()
    )


@internal("the collector", atomic=False)
def draining_mark(ctx: RequestContext, *, most: float = BATCH) -> int:
    """Let the repair duty move copies off disks that are emptied; returns how many more blobs wait for it, about `most`
    where there are as many."""
    draining = list(Disk.objects.filter(state=DiskState.DRAINING).values_list("pk", flat=True))
    if not draining:
        return 0
    leaving = Blob.objects.filter(places__overlap=draining, missing=0, unused_since=None)
    waiting = 0
    for span in spans():
        waiting += leaving.filter(span).update(missing=1)
        if waiting >= most:
            break
    return waiting


@internal("the collector and the doctor", atomic=False)
def unknown_places(ctx: RequestContext) -> list[int]:
    """Numbers of disks that copies are said to be on and that do not exist (any more)."""
    known = set(Disk.objects.values_list("pk", flat=True))
    on_disks = Q(policy__in=[policy for policy in backends.policies() if isinstance(backends.store(policy), DiskStore)])
    named: set[int] = set()
    for span in spans():
        named |= set(Blob.objects.filter(span, on_disks).values_list(_PLACE, flat=True).order_by().distinct())
    return sorted(named - known)


@internal("the doctor", atomic=False)
def disks_away(ctx: RequestContext) -> Iterator[str]:
    """Sentences about disks that are not there."""
    for disk in Disk.objects.order_by("number"):
        if not _is_there(disk):
            yield f"{disk} is not there; if it is lost for ever: manage.py object disks lost {disk.pk}"


@internal("the doctor", atomic=False)
def policies_unknown(ctx: RequestContext) -> Iterator[str]:
    """Sentences about storage policies that are in use and that the settings do not name (any more)."""
    known = backends.policies()
    held = Container.objects.exclude(policy__in=known).values("policy").order_by("policy")
    for policy, containers in held.annotate(n=Count("pk")).values_list("policy", "n"):
        words = f"{containers} containers are of storage policy {policy}, which the settings do not name"
        yield f"{words}: their objects cannot be read; name it again (drivers.object_store.{policy})"


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


def _facts(disk: Disk, copies: int, size_of_copies: int) -> DiskFacts:
    there = _is_there(disk)
    free, size = Directory(disk.number, disk.path, disk.identity).room() if there else (0, 0)
    return DiskFacts(disk, there, free, size, copies, size_of_copies)
