"""Objects in and out.

A PUT is: a short look at container, rule and quota; the bytes, with neither transaction nor (for large ones)
connection held; a short transaction that makes the object visible and lets go of the bytes it replaces. A crash
anywhere before that commit leaves at most a blob without a row, which the collector removes.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import F, Func, Value
from django.db.models.functions import Greatest, Now

from apps.core.context import RequestContext
from apps.core.errors import Invalid, KumoError, NotFound, PreconditionFailed, TooLarge, Unavailable
from apps.core.transactions import internal, streaming
from apps.objectstore import backends
from apps.objectstore.backends import BlobLostError, NoRoomError, Stored, WrongMachineError
from apps.objectstore.models import Blob, Container, Delta, Object
from apps.objectstore.selectors import Totals, account_totals, container_row, container_totals, object_row
from apps.objectstore.selectors.access import require_write
from apps.objectstore.services.errors import InsufficientStorage, Unprocessable
from apps.objectstore.states import CHUNK, MAX_FILE_BYTES

_TICK = datetime.timedelta(microseconds=10)  # times of one object rise by at least this: Swift shows five digits


class Incoming(Protocol):
    """Where bytes come from: returns b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class New:
    """What an object shall be besides its bytes."""

    content_type: str = "application/octet-stream"
    metadata: Mapping[str, str] = field(default_factory=dict)  # header → value
    delete_at: datetime.datetime | None = None
    etag: str = ""  # what the bytes' MD5 must be
    only_new: bool = False  # refuse to replace


# --- bytes in --------------------------------------------------------------------------------------


@streaming("object_store:public")
def object_put(
    ctx: RequestContext, *, account: str, container: str, name: str, source: Incoming, size: int, new: New
) -> Object:
    """Keep an object's `size` bytes; it is visible, everywhere and whole, when this returns.

    Raises Forbidden, NotFound for the container, PreconditionFailed, TooLarge over a limit or quota, Unprocessable for
    other bytes than announced, Invalid when cut off, InsufficientStorage. After any of these nothing has changed.
    """
    place = begin_put(ctx, account, container, name, size, new)
    if size == 0:
        return commit_put(place, name, None, md5_of(b""), new)
    if size > CHUNK:
        let_go_of_connection()
    stored, etag = _receive(place.policy, source, size, new.etag)
    try:
        return commit_put(place, name, stored, etag, new)
    except KumoError:  # refused, hence not committed; after any other error nobody knows
        backends.store(place.policy).remove(stored.id, stored.places)
        raise


@internal("first part of an upload: it is what looks at the caller's rights", atomic=False)
def begin_put(ctx: RequestContext, account: str, container: str, name: str, size: int, new: New) -> Container:
    """The container, if the caller may put so many bytes there. Raises as `object_put`."""
    row = container_row(account, container)
    require_write(ctx, account, row)
    if row is None:
        raise NotFound("container", container)
    if size > MAX_FILE_BYTES:
        raise TooLarge(f"An object has at most {MAX_FILE_BYTES} bytes.", hint="Upload it in segments.")
    quotas = row.account.metadata
    if not new.only_new and not _has_quota(row.metadata) and not _has_quota(quotas):
        return row
    old = object_row(row.pk, name)
    if new.only_new and old is not None:
        raise PreconditionFailed(f"There is an object {name} already.")
    _quota_checked(account, row.pk, row.metadata, quotas, 0 if old else 1, size - (old.held if old else 0))
    return row


def _receive(policy: str, source: Incoming, size: int, announced: str) -> tuple[Stored, str]:
    """Move the bytes into a blob. Nothing is left of them if that fails."""
    try:
        draft = backends.store(policy).draft(size)
    except (NoRoomError, WrongMachineError) as error:
        raise _words(error) from error
    try:
        md5, total = hashlib.md5(usedforsecurity=False), 0
        while total < size and (piece := source.read(min(CHUNK, size - total))):
            total += len(piece)
            md5.update(piece)
            draft.write(piece)
        if total < size:
            raise Invalid(f"The upload was cut off after {total} of {size} bytes.")
        if announced and announced != md5.hexdigest():
            raise Unprocessable(f"The bytes have the MD5 {md5.hexdigest()}, which is not the ETag that was announced.")
        return draft.publish(), md5.hexdigest()
    except NoRoomError as error:
        raise _words(error) from error
    finally:
        draft.discard()


@internal("last part of an upload")
def commit_put(
    place: Container,
    name: str,
    stored: Stored | None,
    etag: str,
    new: New,
    *,
    segments: Sequence[object] | None = None,
    size: int = 0,
) -> Object:
    """The row, the totals and the replaced blob, at once. A large object gives its segments and their size.

    The key share keeps the container from being deleted, and lets other writers of it go on.
    """
    metadata, quotas, now = _shared(place.pk)
    made = Object(
        container_id=place.pk,
        name=name,
        blob_id=stored.id if stored else None,
        bytes=stored.size if stored else size,
        etag=etag,
        content_type=new.content_type,
        metadata=dict(new.metadata),
        created_at=now,
        delete_at=new.delete_at,
        segments=None if segments is None else list(segments),
    )
    if stored:
        _keep(stored, place.policy)
    old = _put_row(made, new.only_new)
    more = (0 if old else 1, made.held - (old.held if old else 0))
    _quota_checked(place.account_id, place.pk, metadata, quotas, *more)
    _count(place, *more)
    if old is not None and old.blob_id is not None:
        _release(old.blob_id)
    return made


def _put_row(made: Object, only_new: bool) -> Object | None:
    """Insert the row, or replace the one of that name, which is returned."""
    same = Object.objects.filter(container_id=made.container_id, name=made.name)
    while True:
        old = same.select_for_update().first()
        if old is None:
            if _inserted(made):
                return None
            continue  # another writer was first
        if only_new and (old.delete_at is None or old.delete_at > made.created_at):
            raise PreconditionFailed(f"There is an object {made.name} already.")
        made.created_at = max(made.created_at, old.created_at + _TICK)
        same.update(**{column: getattr(made, column) for column in _COLUMNS})
        return old


_COLUMNS = tuple(f.name for f in Object._meta.concrete_fields if f.name not in {"pk", "container_id", "name"})
_INSERT = f"""
INSERT INTO objectstore_object (container_id, name, {", ".join(_COLUMNS)})
VALUES (%s, %s{", %s" * len(_COLUMNS)}) ON CONFLICT DO NOTHING
"""  # noqa: S608


def _inserted(made: Object) -> bool:
    """Insert unless there is one of that name; whether it was done (the ORM would not say)."""
    fields = [field for field in Object._meta.concrete_fields if field.name in _COLUMNS]
    values = [field.get_db_prep_save(getattr(made, field.name), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, [made.container_id, made.name, *values])
        return cursor.rowcount == 1


_SHARED = """
SELECT c.metadata, a.metadata, clock_timestamp() FROM objectstore_container c
JOIN objectstore_account a ON a.project_id = c.account_id WHERE c.id = %s FOR KEY SHARE OF c
"""


def _shared(container_id: UUID) -> tuple[dict[str, str], dict[str, str], datetime.datetime]:
    """The container's and its account's metadata, and the time; it cannot be deleted until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute(_SHARED, [container_id])
        found = cursor.fetchone()
    if found is None:
        raise NotFound("container", container_id)
    return orjson.loads(found[0]), orjson.loads(found[1]), found[2]


def _keep(stored: Stored, policy: str) -> None:
    Blob.objects.create(
        id=stored.id,
        policy=policy,
        size=stored.size,
        checksums=stored.checksums,
        places=list(stored.places),
        missing=stored.missing,
    )


def _count(place: Container, objects: int, size: int) -> None:
    if objects or size:
        Delta.objects.create(
            account_id=place.account_id, container_id=place.pk, objects_change=objects, bytes_change=size
        )


def _release(blob_id: UUID) -> None:
    Blob.objects.filter(pk=blob_id).update(unused_since=Now())


def _quota_checked(
    account: str, container_id: UUID, metadata: Mapping[str, str], quotas: Mapping[str, str], objects: int, size: int
) -> None:
    """Raise TooLarge where a quota would be passed. Inside a transaction nobody else counts until it ends."""
    if _has_quota(metadata):
        _alone(f"objectstore/{container_id}")
        _fits(metadata, container_totals(container_id), objects, size)
    if _has_quota(quotas):
        _alone(f"objectstore/{account}")
        _fits(quotas, account_totals(account), objects, size)


def _has_quota(metadata: Mapping[str, str]) -> bool:
    return "Quota-Bytes" in metadata or "Quota-Count" in metadata


def _alone(key: str) -> None:
    if connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key])


def _fits(quota: Mapping[str, str], totals: Totals, objects: int, size: int) -> None:
    for name, used, wanted in (("Quota-Count", totals.objects, objects), ("Quota-Bytes", totals.bytes, size)):
        if name in quota and wanted > 0 and used + wanted > int(quota[name]):
            raise TooLarge("Upload exceeds quota.")


def md5_of(data: bytes) -> str:
    """The MD5 of bytes, in hex: Swift's ETag, no protection."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def let_go_of_connection() -> None:
    """Slow clients must not hold database connections."""
    if not connection.in_atomic_block:
        connection.close()


def _words(error: Exception) -> KumoError:
    """The error as the caller shall see it."""
    if isinstance(error, NoRoomError):
        return InsufficientStorage("There is no room for the object on enough disks.", hint="Tell your administrator.")
    return Unavailable("The bytes of objects cannot be reached from here.", hint="Tell your administrator.")


# --- other writes ----------------------------------------------------------------------------------
# Like `object_put` these leave no event in the audit log: what is done with single objects is in the access log.


@streaming("object_store:public")
def object_post(
    ctx: RequestContext,
    *,
    account: str,
    container: str,
    name: str,
    content_type: str = "",
    metadata: Mapping[str, str],
    delete_at: datetime.datetime | None,
) -> None:
    """Replace an object's metadata; without a content type it keeps its own. Raises Forbidden, NotFound."""
    place = container_row(account, container)
    require_write(ctx, account, place)
    _describe(place, name, content_type, metadata, delete_at)


@internal("second part of object_post, after the rule")
def _describe(
    place: Container | None,
    name: str,
    content_type: str,
    metadata: Mapping[str, str],
    delete_at: datetime.datetime | None,
) -> None:
    found = _locked(place, name)
    created_at = Greatest(Now(), Value(found.created_at + _TICK))
    Object.objects.filter(container_id=found.container_id, name=name).update(
        metadata=dict(metadata),
        delete_at=delete_at,
        created_at=created_at,
        content_type=content_type or found.content_type,
    )


@streaming("object_store:public")
def object_delete(ctx: RequestContext, *, account: str, container: str, name: str) -> None:
    """Remove an object; its bytes go when the grace time is over. Raises Forbidden, NotFound."""
    place = container_row(account, container)
    require_write(ctx, account, place)
    _delete(place, name)


@internal("second part of object_delete, after the rule")
def _delete(place: Container | None, name: str) -> None:
    found = _locked(place, name)
    assert place is not None
    _remove(place, found)


@internal("the collector, for objects whose time is over")
def object_expire(container_id: UUID, name: str) -> bool:
    """Remove an object whose time is over; whether there was one."""
    place = Container.objects.filter(pk=container_id).first()
    found = (
        Object.objects.select_for_update().filter(container_id=container_id, name=name, delete_at__lte=Now()).first()
    )
    if place is None or found is None:
        return False
    _remove(place, found)
    return True


def _locked(place: Container | None, name: str) -> Object:
    if place is None or object_row(place.pk, name) is None:
        raise NotFound("object", name)
    found = Object.objects.select_for_update().filter(container_id=place.pk, name=name).first()
    if found is None:
        raise NotFound("object", name)
    return found


def _remove(place: Container, found: Object) -> None:
    Object.objects.filter(container_id=found.container_id, name=found.name).delete()
    _count(place, -1, -found.held)
    if found.blob_id is not None:
        _release(found.blob_id)


# --- bytes out -------------------------------------------------------------------------------------


def stored_of(blob: Blob) -> Stored:
    """A blob's row as its back end wants it."""
    return Stored(blob.pk, blob.size, bytes(blob.checksums), tuple(blob.places), blob.missing)


def object_pieces(found: Object, start: int, end: int) -> Iterator[bytes]:
    """An object's bytes from `start` up to `end`. The first piece is there when this returns.

    Raises NotFound where its blob is gone, Unavailable where no good copy can be reached.
    """
    if start >= end or found.blob_id is None:
        return iter(())
    blob = Blob.objects.filter(pk=found.blob_id).first()
    if blob is None:
        raise NotFound("object", found.name)
    pieces = backends.store(blob.policy).read(stored_of(blob), start, end, partial(_copy_damaged, blob.pk))
    try:
        first = next(pieces)
    except (BlobLostError, WrongMachineError) as error:
        raise Unavailable("No good copy of the object can be reached.", hint="Tell your administrator.") from error
    if end - start > CHUNK:
        let_go_of_connection()
    return _chained(first, pieces)


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


@internal("whoever read a copy and found it bad or missing", atomic=False)
def copy_damaged(blob_id: UUID, place: int) -> bool:
    """Count a copy as missing, so that it is made again; the last one is never given up. Whether it was counted."""
    rows = Blob.objects.filter(pk=blob_id, places__contains=[place], places__len__gt=1)
    removed = Func(F("places"), Value(place), function="array_remove")
    return bool(rows.update(places=removed, missing=F("missing") + 1))


def _copy_damaged(blob_id: UUID, place: int) -> None:
    copy_damaged(blob_id, place)
    let_go_of_connection()
