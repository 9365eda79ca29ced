"""What becomes of the row of an object that is replaced or deleted, where the container keeps such.

With versions it becomes a `Version`, with an archive (Swift's older manner) an object of the other container; bytes
never move, only rows do. Everything runs inside the writer's transaction, which `begin` makes the only one of the
name: two writers of one name leave what they would have left one after the other.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from apps.core.errors import NotFound, PreconditionFailed
from apps.core.ids import timed_uuid
from apps.objectstore.models import Container, Object, ObjectFields, Version
from apps.objectstore.services.lock import release_checked
from apps.objectstore.services.rows import Shared, alone, count, etag_checked, inserted, release, shared
from apps.objectstore.states import MAX_OBJECT_NAME, NO_VERSION, TICK, Versioning, stamp, stamped

_Row = TypeVar("_Row", bound=ObjectFields)

MARKER_TYPE = "application/x-deleted;swift_versions_deleted=1"  # Swift's word for a marker, clients look for it
_FIELDS = tuple(field.name for field in Object._meta.concrete_fields if field.name != "pk")
_EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@dataclass(frozen=True, slots=True)
class Removed:
    """What a delete left: the id of the marker that stands for it, or of the version that went."""

    found: bool = True
    version_id: UUID | None = None
    is_marker: bool = False


def begin(place: Container, state: Shared, name: str) -> datetime.datetime:
    """Be alone with a name until the transaction ends; returns a time later than that of all its versions."""
    alone(f"objectstore/{place.pk}/{name}")
    newest = newest_version(place.pk, name)
    times = [newest.created_at] if newest else []
    if state.archive:
        times += _last_archived(place, state, name)
    return max(state.now, max(times) + TICK) if times else state.now


def next_id(state: Shared) -> UUID:
    """The id of what is written next."""
    return timed_uuid() if state.versioning == Versioning.ENABLED else NO_VERSION


def replaced(place: Container, state: Shared, name: str, old: Object | None) -> None:
    """An object was put in the place of another, or of none."""
    if old is not None:
        _retire(place, state, old)
    if state.versioning == Versioning.SUSPENDED:
        _null_removed(place, name)


def delete(place: Container, name: str, *, etag: str = "", null_marker: bool = False) -> Removed:
    """Delete an object as `object_delete` says. Raises NotFound."""
    state = shared(place.pk)
    now = begin(place, state, name) if state.keeps else state.now
    found = Object.objects.select_for_update().filter(container_id=place.pk, name=name).first()
    is_there = found is not None and (found.delete_at is None or found.delete_at > state.now)
    if etag:
        etag_checked(found if is_there else None, etag)
    if state.archive:
        if found is not None and not is_there:
            current_removed(place, found)
        return _delete_archived(place, state, name, found if is_there else None, now)
    if state.versioning == Versioning.ENABLED or (state.versioning == Versioning.SUSPENDED and null_marker):
        if found is not None:
            _retire_row(place, state, found)
        return Removed(is_there, _marked(place, state, name, found, now), is_marker=True)
    if not is_there:
        raise NotFound("object", name)
    assert found is not None
    _retire_row(place, state, found)
    return Removed()


def expire(place: Container, name: str, *, written_at: datetime.datetime | None = None) -> bool:
    """Delete an object whose time is over; whether there was one. An archive takes no note of it, as in Swift.

    With `written_at` a rule of the bucket ends what was written then, which leaves a marker as a caller of S3 does.
    """
    state = shared(place.pk)
    now = begin(place, state, name) if state.keeps else state.now
    due = Object.objects.filter(container_id=place.pk, name=name)
    due = due.filter(created_at=written_at) if written_at else due.filter(delete_at__lte=Now())
    found = due.select_for_update().first()
    if found is None:
        return False
    _retire_row(place, replace(state, archive=""), found)
    if state.versioning == Versioning.ENABLED or (written_at and state.versioning == Versioning.SUSPENDED):
        _marked(place, state, name, found, now)
    return True


def newest_version(container_id: UUID, name: str) -> Version | None:
    """The version or marker of a name that is the youngest of those that are not current."""
    return Version.objects.filter(container_id=container_id, name=name).order_by("-created_at").first()


def made_current(place: Container, found: Version) -> Object:
    """Make a version the object that a reader gets, where there is none."""
    _version_row(place, found).delete()
    row = _as(Object, found)
    row.save(force_insert=True)
    count(place, 1, 0)
    return row


def version_removed(place: Container, found: Version, *, bypass: bool = False) -> None:
    """Remove a version or marker, and let its bytes go. Raises Forbidden for one that is locked."""
    release_checked(found, bypass=bypass)
    _version_row(place, found).delete()
    count(place, 0, -found.held)
    release(found)


def current_removed(place: Container, found: Object, *, bypass: bool = False) -> None:
    """Remove an object for good, whatever is kept otherwise. Raises Forbidden for one that is locked."""
    release_checked(found, bypass=bypass)
    _object_row(place, found).delete()
    count(place, -1, -found.held)
    release(found)


def current_kept(place: Container, found: Object) -> None:
    """Make an object a version: no reader gets it unasked."""
    _object_row(place, found).delete()
    _kept(place, found)


def _retire_row(place: Container, state: Shared, found: Object) -> None:
    _object_row(place, found).delete()
    _retire(place, state, found)


def _retire(place: Container, state: Shared, old: Object) -> None:
    """An object whose row is gone already is current no more: keep what it was, or let its bytes go."""
    if state.archive:
        count(place, -1, -old.held)
        _put_archived(_archive_of(place, state), old, old.created_at)
    elif state.versioning == Versioning.ENABLED or old.version_id != NO_VERSION:
        _kept(place, old)
    else:
        release_checked(old)
        count(place, -1, -old.held)
        release(old)


def _kept(place: Container, old: Object) -> None:
    count(place, -1, 0)
    _as(Version, old, delete_at=None).save(force_insert=True)


def _marked(place: Container, state: Shared, name: str, old: Object | None, now: datetime.datetime) -> UUID:
    """Leave a marker that the object was deleted; its id."""
    if state.versioning == Versioning.SUSPENDED:
        _null_removed(place, name)
    at = max(now, old.created_at + TICK) if old else now
    made = Version(**_marker(place.pk, name, at), version_id=next_id(state), is_marker=True)
    made.save(force_insert=True)
    return made.version_id


def _null_removed(place: Container, name: str) -> None:
    """Remove the version without an id, since another comes: there is one at most."""
    found = Version.objects.filter(container_id=place.pk, name=name, version_id=NO_VERSION).first()
    if found is not None:
        version_removed(place, found)


def _marker(container_id: UUID, name: str, at: datetime.datetime) -> dict[str, Any]:
    return {
        "container_id": container_id,
        "name": name,
        "bytes": 0,
        "etag": _EMPTY_MD5,
        "content_type": MARKER_TYPE,
        "created_at": at,
    }


def _as(kind: type[_Row], row: ObjectFields, **changes: object) -> _Row:
    """The same in another table."""
    return kind(**{name: getattr(row, name) for name in _FIELDS} | changes)


def _object_row(place: Container, row: ObjectFields) -> QuerySet[Object]:
    return Object.objects.filter(container_id=place.pk, name=row.name)


def _version_row(place: Container, row: ObjectFields) -> QuerySet[Version]:
    return Version.objects.filter(container_id=place.pk, name=row.name, created_at=row.created_at)


# --- archives --------------------------------------------------------------------------------------
# `X-Versions-Location` and `X-History-Location`: source is Swift's documentation of versioned writes.


def archived_prefix(name: str) -> str:
    """What the names of an object's earlier versions begin with in the archive."""
    return f"{len(name.encode()):03x}{name}/"


def _delete_archived(
    place: Container, state: Shared, name: str, found: Object | None, now: datetime.datetime
) -> Removed:
    """Delete an object into the history, or take the one before it from the stack."""
    if state.is_history:
        if found is not None:
            _retire_row(place, state, found)
        at = max(now, found.created_at + TICK) if found else now
        _put_archived(_archive_of(place, state), Object(**_marker(place.pk, name, at)), at)
        return Removed(found is not None)
    before = _popped(place, state, name, found)
    if found is not None:
        _retire_row(place, replace(state, archive=""), found)
    if before is not None:
        _as(Object, before, container_id=place.pk, name=name, version_id=NO_VERSION, created_at=now).save(
            force_insert=True
        )
        count(place, 1, before.held)
    return Removed(found is not None or before is not None)


def _popped(place: Container, state: Shared, name: str, current: Object | None) -> Object | None:
    """The archive's newest version of a name, taken out of it; None where the object just ends.

    Above a marker there is nothing to restore; where the marker itself is current, it goes, and what is below comes.
    """
    archive = _archive_row(place, state)
    if archive is None:
        return None
    there = Q(delete_at=None) | Q(delete_at__gt=state.now)
    names = Object.objects.filter(there, container_id=archive.pk, name__startswith=archived_prefix(name))
    top = list(names.select_for_update().order_by("-name")[:2])
    if top and top[0].content_type == MARKER_TYPE:
        if current is not None:
            return None
        current_removed(archive, top.pop(0))
    if not top or top[0].content_type == MARKER_TYPE:
        return None
    _object_row(archive, top[0]).delete()
    count(archive, -1, -top[0].held)
    return top[0]


def _archive_of(place: Container, state: Shared) -> Container:
    archive = _archive_row(place, state)
    if archive is None or archive.versioning != Versioning.NEVER or archive.policy != place.policy:
        hint = "It must exist, have the same storage policy, and never have kept versions itself."
        raise PreconditionFailed(f"The container {state.archive} cannot take earlier versions.", hint=hint)
    return archive


def _archive_row(place: Container, state: Shared) -> Container | None:
    """The archive, which cannot be deleted until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM objectstore_container WHERE account_id = %s AND name = %s FOR KEY SHARE",
            [place.account_id, state.archive],
        )
        found = cursor.fetchone()
    return Container.objects.get(pk=found[0]) if found else None


def _put_archived(archive: Container, row: Object, at: datetime.datetime) -> None:
    """Put a row into the archive, named by its time; never over another, whoever made that."""
    made = _as(Object, row, container_id=archive.pk, version_id=NO_VERSION)
    while True:
        made.name = f"{archived_prefix(row.name)}{stamp(at):0>16}"
        if len(made.name.encode()) > MAX_OBJECT_NAME:
            raise PreconditionFailed("The object's name is too long to be kept in the archive.")
        if inserted(made):
            break
        at += TICK
    count(archive, 1, made.held)


def _last_archived(place: Container, state: Shared, name: str) -> list[datetime.datetime]:
    """When what is newest in the archive was written; nothing where there is none."""
    archive = _archive_row(place, state)
    if archive is None:
        return []
    prefix = archived_prefix(name)
    # A colon comes after all digits. What somebody put there by another name has no part in this.
    names = Object.objects.filter(container_id=archive.pk, name__gte=f"{prefix}0", name__lt=f"{prefix}:")
    last = names.order_by("-name").values_list("name", flat=True).first()
    at = stamped(last.removeprefix(prefix)) if last else None
    return [at] if at else []
