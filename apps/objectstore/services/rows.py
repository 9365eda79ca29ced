"""Rows of objects, inside the transaction of whoever puts or removes one: the row, the totals, the bytes' rows."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import orjson
from django.db import connection
from django.db.models.functions import Now

from apps.core.errors import NotFound, PreconditionFailed
from apps.objectstore.backends import Stored
from apps.objectstore.models import Blob, Container, Object, ObjectFields, UploadPart
from apps.objectstore.states import TICK, Versioning


@dataclass(frozen=True, slots=True)
class Shared:
    """What a writer sees of a container, which cannot be deleted, nor change how it keeps versions, until it ends."""

    metadata: Mapping[str, str]
    quotas: Mapping[str, str]  # the account's metadata
    now: datetime.datetime
    versioning: str
    archive: str
    is_history: bool

    @property
    def keeps(self) -> bool:
        """Whether what is replaced or deleted may be kept: then `history` decides."""
        return self.versioning != Versioning.NEVER or bool(self.archive)


_SHARED = """
SELECT c.metadata, a.metadata, clock_timestamp(), c.versioning, c.archive, c.is_history FROM objectstore_container c
JOIN objectstore_account a ON a.project_id = c.account_id WHERE c.id = %s FOR KEY SHARE OF c
"""


def shared(container_id: UUID) -> Shared:
    """The container as a writer needs it. The key share lets other writers go on. Raises NotFound."""
    with connection.cursor() as cursor:
        cursor.execute(_SHARED, [container_id])
        found = cursor.fetchone()
    if found is None:
        raise NotFound("container", container_id)
    return Shared(orjson.loads(found[0]), orjson.loads(found[1]), *found[2:])


def alone(key: str) -> None:
    """Nobody else who asks for the same key goes on until this transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])


def put(made: Object, *, only_new: bool = False, only_over: str = "") -> Object | None:
    """Insert the row, or replace the one of that name, which is returned. Raises PreconditionFailed."""
    while True:
        if not only_over and inserted(made):
            return None
        same = Object.objects.filter(container_id=made.container_id, name=made.name)
        old = same.select_for_update().first()
        there = old is not None and (old.delete_at is None or old.delete_at > made.created_at)
        if only_new and there:
            raise PreconditionFailed(f"There is an object {made.name} already.")
        if only_over:
            etag_checked(old if there else None, only_over)
        if old is None:
            continue  # another writer removed it
        made.created_at = max(made.created_at, old.created_at + TICK)
        same.update(**{column: getattr(made, column) for column in _COLUMNS})
        return old


def etag_checked(found: Object | None, etag: str) -> None:
    """Raise PreconditionFailed unless there is an object and it has this ETag, or S3's form of it; `*` is any."""
    if found is None or etag not in {"*", found.etag, f"{found.etag}-{len(found.segments or [])}"}:
        raise PreconditionFailed("The object is not the one that the caller knows.")


_FIELDS = [f for f in Object._meta.concrete_fields if f.name not in {"pk", "container_id", "name"}]
_COLUMNS = tuple(field.name for field in _FIELDS)
_INSERT = f"""
INSERT INTO objectstore_object (container_id, name, {", ".join(_COLUMNS)})
VALUES (%s, %s{", %s" * len(_COLUMNS)}) ON CONFLICT DO NOTHING
"""  # noqa: S608


def inserted(made: Object) -> bool:
    """Insert the row unless there is one of that name; whether it was done (the ORM would not say)."""
    values = [field.get_db_prep_save(getattr(made, field.name), connection) for field in _FIELDS]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [made.container_id, made.name, *values])
        return cursor.rowcount == 1


# What every PUT does is written out: the ORM would take longer to say it than the database to do it.
_KEEP = """
INSERT INTO objectstore_blob (id, policy, size, checksums, places, missing) VALUES (%s, %s, %s, %s, %s::smallint[], %s)
"""
_COUNT = """
INSERT INTO objectstore_delta (account_id, container_id, objects_change, bytes_change) VALUES (%s, %s, %s, %s)
"""


def keep(stored: Stored, policy: str) -> None:
    """The row of bytes that have arrived."""
    values = (stored.id, policy, stored.size, stored.checksums, list(stored.places), stored.missing)
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, values)


def count(place: Container, objects: int, size: int) -> None:
    """Add to the totals of a container and its account."""
    if objects or size:
        with connection.cursor() as cursor:
            cursor.execute(_COUNT, (place.account_id, place.pk, objects, size))


def release(*gone: ObjectFields | UploadPart) -> None:
    """Give up the bytes of rows that go; the collector removes them when the grace time is over."""
    if blobs := [extent.blob_id for row in gone for extent in extents_of(row)]:
        Blob.objects.filter(pk__in=blobs).update(unused_since=Now())


@dataclass(frozen=True, slots=True)
class Extent:
    """A blob that an object owns, and how many of the object's bytes it has."""

    blob_id: UUID
    bytes: int
    salt: str = ""  # of its encryption


def extents_of(found: ObjectFields | UploadPart) -> list[Extent]:
    """The blobs of an object, or of a part of an upload, in order."""
    if isinstance(found, ObjectFields) and found.parts is not None:
        owned = (part for part in found.parts if "blob" in part)
        return [Extent(UUID(part["blob"]), part["bytes"], part.get("salt", "")) for part in owned]
    if found.blob_id is None:
        return []
    salt = found.salt if isinstance(found, UploadPart) else (found.encryption or {}).get("salt", "")
    return [Extent(found.blob_id, found.bytes, salt)]
