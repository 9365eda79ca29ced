"""Objects in and out.

A PUT is: a short look at container, rule and quota; the bytes, with neither transaction nor (for large ones)
connection held; a short transaction that makes the object visible and lets go of the bytes it replaces. A crash
anywhere before that commit leaves at most a blob without a row, which the collector removes.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import F, Func, Value

from apps.core.context import RequestContext
from apps.core.errors import Invalid, KumoError, NotFound, PreconditionFailed, TooLarge, Unavailable
from apps.core.transactions import internal, streaming
from apps.objectstore import backends
from apps.objectstore.backends import BlobLostError, Draft, NoRoomError, Stored, WrongMachineError
from apps.objectstore.backends.disks import DiskStore
from apps.objectstore.models import Blob, Container, Object, ObjectFields
from apps.objectstore.selectors import (
    Totals,
    account_totals,
    container_row,
    container_totals,
    object_row,
    policy_totals,
)
from apps.objectstore.selectors.access import PUT, bucket_of, require, require_write
from apps.objectstore.selectors.conditions import Values
from apps.objectstore.services import history, lock, plain, rows
from apps.objectstore.services.checksums import Digests
from apps.objectstore.services.encryption import (
    Envelope,
    Sealer,
    Secret,
    Wish,
    opened,
    sealed_size,
    sealed_span,
    secret_new,
    secret_of,
    wish_of,
)
from apps.objectstore.services.errors import InsufficientStorage, Unprocessable
from apps.objectstore.services.history import Removed
from apps.objectstore.services.marks import acl_checked, facts_of
from apps.objectstore.services.rows import Extent, extents_of
from apps.objectstore.states import CHUNK, MAX_FILE_BYTES, TICK, Versioning

PIECE = 256 * 1024  # of a body, taken in at once: what is done with it finds it in the processor's cache


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
    only_over: str = ""  # replace only what has this ETag; "*": whatever is there
    tags: Mapping[str, str] | None = None
    acl: Mapping[str, Any] | None = None  # S3's grants
    lock_mode: str = ""  # with `retain_until`; without, the bucket's own retention
    retain_until: datetime.datetime | None = None
    legal_hold: bool = False
    links: Mapping[str, Any] | None = None  # a symbolic link's target
    digests: Digests | None = None  # checksums to keep of the bytes
    encryption: Wish | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """An object's bytes, safe but for `held` ones, or what stands for them, and what was learnt of them on the way."""

    etag: str
    bytes: int
    stored: Stored | None = None
    segments: Sequence[Any] | None = None  # of a static large object
    parts: Sequence[Any] | None = None  # of an upload, whose blobs have rows already
    upload_id: UUID | None = None
    checksums: Mapping[str, str] | None = None
    encryption: Envelope | None = None
    held: plain.Held | None = None  # bytes that are not safe yet


# --- bytes in --------------------------------------------------------------------------------------


@streaming("object_store:public")
def object_put(
    ctx: RequestContext, *, account: str, container: str, name: str, source: Incoming, size: int | None, new: New
) -> Object:
    """Keep an object's `size` bytes; it is visible, everywhere and whole, when this returns.

    Without a size all bytes that come are kept.

    Raises Forbidden, NotFound for the container, PreconditionFailed, TooLarge over a limit or quota, Unprocessable for
    other bytes than announced, Invalid when cut off, InsufficientStorage. After any of these nothing has changed.
    """
    place = begin_put(ctx, account, container, name, size or 0, new)
    if size is None or size > CHUNK:
        let_go_of_connection()
    wish = wish_of(place, new.encryption)
    secret = secret_new(wish) if wish else None
    held = plain.draft(place, _kept_size(size, secret)) if _replaces_nothing(new) else None
    body = receive(place.policy, source, size, etag=new.etag, digests=new.digests, secret=secret, held=held)
    return _commit(place, name, body, new)


@internal("first part of an upload: it is what looks at the caller's rights", atomic=False)
def begin_put(ctx: RequestContext, account: str, container: str, name: str, size: int, new: New) -> Container:
    """The container, if the caller may put so many bytes there. Raises as `object_put`."""
    row = container_row(account, container)
    facts = facts_of(new.tags, new.lock_mode, new.retain_until, new.legal_hold or None)
    require(ctx, account, row, PUT, name, facts=facts)
    if row is None:
        raise NotFound("container", container)
    _marks_checked(ctx, row, name, new, facts)
    if size > MAX_FILE_BYTES:
        raise TooLarge(
            f"An object has at most {MAX_FILE_BYTES} bytes.", hint="Upload it in segments.", code="EntityTooLarge"
        )
    quotas = row.account.metadata
    if not (new.only_new or new.only_over) and not _has_quota(row.metadata) and not _has_quota(quotas):
        return row
    old = object_row(row.pk, name)
    if new.only_new and old is not None:
        raise PreconditionFailed(f"There is an object {name} already.")
    if new.only_over:
        rows.etag_checked(old, new.only_over)
    freed = old.held if old and row.versioning != Versioning.ENABLED else 0
    quota_checked(account, row.pk, row.metadata, quotas, 0 if old else 1, size - freed)
    return row


def _marks_checked(ctx: RequestContext, place: Container, name: str, new: New, facts: Values) -> None:
    """Raise Forbidden, Invalid for what may not be said of an object here, or not by this caller."""
    needed = {
        "s3:PutObjectTagging": new.tags,
        "s3:PutObjectAcl": new.acl,
        "s3:PutObjectRetention": new.lock_mode or new.retain_until,
        "s3:PutObjectLegalHold": new.legal_hold,
    }
    for action in (action for action, value in needed.items() if value):
        require(ctx, place.account_id, place, action, name, facts=facts)
    acl_checked(bucket_of(place), new.acl)
    lock.wanted_checked(bucket_of(place), new.lock_mode, new.retain_until, hold=new.legal_hold)


class _Intake:
    """Bytes on their way into a draft, encrypted if they shall be, and what is learnt of them."""

    def __init__(self, draft: Draft | plain.Held | None, digests: Digests | None, secret: Secret | None) -> None:
        self._draft, self._digests, self._secret = draft, digests, secret
        self.total = 0
        self._sealer = Sealer(secret.key) if secret else None
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sealed_md5 = hashlib.md5(usedforsecurity=False) if secret and secret.is_customers else None

    def write(self, piece: bytes) -> None:
        self.total += len(piece)
        self._md5.update(piece)
        if self._digests is not None:
            self._digests.update(piece)
        for record in self._sealer.records(piece) if self._sealer else (piece,):
            self._keep(record)

    def _keep(self, record: bytes) -> None:
        assert self._draft is not None
        if self._sealed_md5 is not None:
            self._sealed_md5.update(record)
        self._draft.write(record)

    def publish(self, announced: str) -> Body:
        """The bytes, safe, if they are those that were announced. Raises Unprocessable, NoRoomError.

        Of what a caller's key protects the ETag tells nothing: it is that of the encrypted bytes.
        """
        etag = self._md5.hexdigest()
        if announced and announced != etag:
            problem = f"The bytes have the MD5 {etag}, which is not the ETag that was announced."
            raise Unprocessable(problem, code="BadDigest")
        if self._sealer is not None and self.total:
            self._keep(self._sealer.last())
        draft = self._draft if self.total else None
        return Body(
            etag=(self._sealed_md5 or self._md5).hexdigest(),
            bytes=self.total,
            checksums=self._digests.values() if self._digests is not None else None,
            stored=None if draft is None or isinstance(draft, plain.Held) else draft.publish(),
            encryption=self._envelope(),
            held=draft if isinstance(draft, plain.Held) else None,
        )

    def _envelope(self) -> Envelope | None:
        if self._secret is None or self._sealer is None:
            return None
        return self._secret.envelope | {"salt": self._sealer.salt}


@internal("moves bytes for those who looked at the caller's rights", atomic=False)
def receive(
    policy: str,
    source: Incoming,
    size: int | None,
    *,
    etag: str = "",
    digests: Digests | None = None,
    secret: Secret | None = None,
    held: plain.Held | None = None,
) -> Body:
    """Move the bytes, if any, into a blob, or what may hold them until then. Raises as `object_put`.

    Nothing is left of them if that fails.
    """
    most = MAX_FILE_BYTES + 1 if size is None else size
    draft: Draft | plain.Held | None = held
    try:
        if most and draft is None:
            draft = backends.store(policy).draft(_kept_size(size, secret))
        intake = _Intake(draft, digests, secret)
        while intake.total < most and (piece := source.read(min(PIECE, most - intake.total))):
            intake.write(piece)
        if size is not None and intake.total < size:
            raise Invalid(f"The upload was cut off after {intake.total} of {size} bytes.", code="IncompleteBody")
        if size is None and intake.total == most:
            raise TooLarge(
                f"An object has at most {MAX_FILE_BYTES} bytes.", hint="Upload it in segments.", code="EntityTooLarge"
            )
        return intake.publish(etag)
    except (NoRoomError, WrongMachineError) as error:
        raise _words(error) from error
    finally:
        if draft is not None:
            draft.discard()


def drop(policy: str, body: Body) -> None:
    """Remove bytes that were received and are refused; if that fails now, the collector does it later."""
    if body.stored is not None:
        with contextlib.suppress(OSError, WrongMachineError):
            backends.store(policy).remove(body.stored.id, body.stored.places)


def _kept_size(size: int | None, secret: Secret | None) -> int:
    """How many bytes a body becomes in a back end; 0 for nobody knows."""
    return sealed_size(size or 0) if secret else size or 0


def _replaces_nothing(new: New) -> bool:
    """As far as its caller says."""
    return not new.only_new and not new.only_over


def _commit(place: Container, name: str, body: Body, new: New) -> Object:
    received = body.stored or body.held
    if received and _replaces_nothing(new) and plain.is_plain(place):
        made = _object_of(place, name, body, new)
        try:
            kept = plain.put(place, made, received)
        except (NoRoomError, WrongMachineError) as error:
            raise _words(error) from error
        if kept.at:
            made.created_at = kept.at
            return made
        body = replace(body, stored=kept.stored, held=None)
    try:
        return commit_put(place, name, body, new)
    except KumoError:  # refused, hence not committed; after any other error nobody knows
        drop(place.policy, body)
        raise


@internal("last part of an upload")
def commit_put(place: Container, name: str, body: Body, new: New, *, counted: int = 0) -> Object:
    """The row, the totals and the replaced bytes, at once. `counted` of the bytes are in the totals already.

    The key share keeps the container from being deleted, and lets other writers of it go on.
    """
    state = rows.shared(place.pk)
    made = _object_of(place, name, body, new)
    made.version_id = history.next_id(state)
    made.created_at = history.begin(place, state, name) if state.keeps else state.now
    if not made.lock_mode:
        made.lock_mode, made.retain_until = lock.default_of(bucket_of(place), made.created_at)
    lock.body_checked(bucket_of(place), has_others_bytes=lock.has_others_bytes(made))
    if body.stored:
        rows.keep(body.stored, place.policy)
    old = rows.put(made, only_new=new.only_new, only_over=new.only_over)
    if state.keeps:
        history.replaced(place, state, name, old)
        more = (1, made.held - counted)
    else:
        more = (0 if old else 1, made.held - counted - (old.held if old else 0))
    quota_checked(place.account_id, place.pk, state.metadata, state.quotas, *more)
    rows.count(place, *more)
    if old is not None and not state.keeps:
        lock.release_checked(old)
        rows.release(old)
    return made


def _object_of(place: Container, name: str, body: Body, new: New) -> Object:
    """The row of an object that is put, but for what is known at its commit."""
    return Object(
        container_id=place.pk,
        name=name,
        blob_id=body.stored.id if body.stored else None,
        bytes=body.bytes,
        etag=body.etag,
        content_type=new.content_type,
        metadata=dict(new.metadata),
        delete_at=new.delete_at,
        segments=None if body.segments is None else list(body.segments),
        parts=None if body.parts is None else list(body.parts),
        upload_id=body.upload_id,
        links=dict(new.links) if new.links is not None else None,
        checksums=dict(body.checksums) if body.checksums else None,
        encryption=body.encryption,
        tags=dict(new.tags) if new.tags else None,
        acl=dict(new.acl) if new.acl else None,
        lock_mode=new.lock_mode,
        retain_until=new.retain_until,
        legal_hold=new.legal_hold,
    )


def quota_checked(
    account: str, container_id: UUID, metadata: Mapping[str, str], quotas: Mapping[str, str], objects: int, size: int
) -> None:
    """Raise TooLarge where a quota would be passed. Inside a transaction nobody else counts until it ends."""
    if _has_quota(metadata):
        _alone(f"objectstore/{container_id}")
        _fits(metadata, container_totals(container_id), objects, size)
    if _has_quota(quotas):
        _alone(f"objectstore/{account}")
        _fits(quotas, account_totals(account), objects, size)
        _fits_policy(account, container_id, quotas, objects, size)


def _has_quota(metadata: Mapping[str, str]) -> bool:
    return any(name.startswith("Quota-") for name in metadata)


def _alone(key: str) -> None:
    if connection.in_atomic_block:
        rows.alone(key)


def _fits_policy(account: str, container_id: UUID, quotas: Mapping[str, str], objects: int, size: int) -> None:
    """The same for what the account may keep under the container's storage policy. Names of headers have no case."""
    if not any("-Policy-" in name for name in quotas):
        return
    policy = Container.objects.values_list("policy", flat=True).get(pk=container_id)
    ending = f"-Policy-{policy}".lower()
    own = {name[: -len(ending)]: value for name, value in quotas.items() if name.lower().endswith(ending)}
    _fits(own, policy_totals(account).get(policy, Totals(0, 0)), objects, size)


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
) -> Object:
    """Replace an object's metadata; without a content type it keeps its own. No version comes of it.

    Raises Forbidden, NotFound.
    """
    place = container_row(account, container)
    require_write(ctx, account, place, name)
    return _describe(place, name, content_type, metadata, delete_at)


@internal("second part of object_post, after the rule")
def _describe(
    place: Container | None,
    name: str,
    content_type: str,
    metadata: Mapping[str, str],
    delete_at: datetime.datetime | None,
) -> Object:
    if place is None:
        raise NotFound("object", name)
    now = rows.shared(place.pk).now
    found = _locked(place, name)
    lock.release_checked(found)
    found.metadata, found.delete_at = dict(metadata), delete_at
    found.content_type = content_type or found.content_type
    found.created_at = max(now, found.created_at + TICK)
    changed = {name: getattr(found, name) for name in ("metadata", "delete_at", "content_type", "created_at")}
    Object.objects.filter(container_id=found.container_id, name=name).update(**changed)
    return found


@streaming("object_store:public")
def object_delete(
    ctx: RequestContext, *, account: str, container: str, name: str, etag: str = "", null_marker: bool = False
) -> Removed:
    """Remove an object, if it has this ETag; its bytes go when the grace time is over.

    A container with versions keeps it, and a marker is left.
    `null_marker`: where keeping versions is suspended S3 leaves a marker too, Swift none. Raises Forbidden; NotFound
    where there was no object, unless a marker is left; PreconditionFailed.
    """
    place = container_row(account, container)
    require_write(ctx, account, place, name, "s3:DeleteObject")
    removed = _delete(place, name, etag, null_marker)
    if not removed.found and not removed.is_marker:
        raise NotFound("object", name)
    return removed


@internal("second part of object_delete, after the rule")
def _delete(place: Container | None, name: str, etag: str, null_marker: bool) -> Removed:
    if place is None:
        raise NotFound("object", name)
    return history.delete(place, name, etag=etag, null_marker=null_marker)


@internal("the collector, for objects whose time is over")
def object_expire(container_id: UUID, name: str) -> bool:
    """Remove an object whose time is over; whether there was one."""
    place = Container.objects.filter(pk=container_id).first()
    return place is not None and history.expire(place, name)


def _locked(place: Container, name: str) -> Object:
    if object_row(place.pk, name) is None:
        raise NotFound("object", name)
    found = Object.objects.select_for_update().filter(container_id=place.pk, name=name).first()
    if found is None:
        raise NotFound("object", name)
    return found


# --- bytes out -------------------------------------------------------------------------------------


def stored_of(blob: Blob) -> Stored:
    """A blob's row as its back end wants it."""
    return Stored(blob.pk, blob.size, bytes(blob.checksums), tuple(blob.places), blob.missing)


def object_pieces(found: ObjectFields, start: int, end: int, key: bytes = b"") -> Iterator[bytes]:
    """An object's bytes from `start` up to `end`. The first piece is there when this returns.

    `key` is the caller's for an object that is encrypted with one. Raises as `secret_of`, NotFound where a blob is
    gone, Unavailable where no good copy can be reached.
    """
    if start >= end:
        return iter(())
    pieces = _pieces(found, start, end, key)
    first = next(pieces, b"")
    if end - start > CHUNK:
        let_go_of_connection()
    return _chained(first, pieces)


_BLOBS_AT_ONCE = 16  # rows of blobs that are looked up together: one has up to 20 KiB of checksums


def _pieces(found: ObjectFields, start: int, end: int, key: bytes) -> Iterator[bytes]:
    secret = secret_of(found.encryption, key) if found.encryption else None
    wanted = list(_overlaps(extents_of(found), start, end))
    for at in range(0, len(wanted), _BLOBS_AT_ONCE):
        batch = wanted[at : at + _BLOBS_AT_ONCE]
        blobs = Blob.objects.in_bulk([extent.blob_id for extent, _, _ in batch])
        if at:
            let_go_of_connection()
        for extent, low, high in batch:
            if extent.blob_id not in blobs:
                raise NotFound("object", found.name)
            yield from _blob_pieces(blobs[extent.blob_id], extent, low, high, secret)


def _overlaps(extents: Sequence[Extent], start: int, end: int) -> Iterator[tuple[Extent, int, int]]:
    """Those that have some of the bytes from `start` up to `end`, with where in them."""
    at = 0
    for extent in extents:
        low, high = max(start - at, 0), min(end - at, extent.bytes)
        at += extent.bytes
        if low < high:
            yield extent, low, high


def _blob_pieces(blob: Blob, extent: Extent, start: int, end: int, secret: Secret | None) -> Iterator[bytes]:
    low, high = sealed_span(start, end, extent.bytes) if secret else (start, end)
    try:
        pieces = backends.store(blob.policy).read(stored_of(blob), low, high, partial(_copy_damaged, blob.pk))
        if secret:
            pieces = opened(pieces, secret.key, extent.salt, start, end, extent.bytes)
        yield from pieces
    except (BlobLostError, WrongMachineError) as error:
        raise Unavailable("No good copy of the object can be reached.", hint="Tell your administrator.") from error


def lent_links() -> Path:
    """The directory with a link for each disk, which nginx serves copies from."""
    return settings.CONFIG.state / "copies"


def object_lent(found: ObjectFields) -> str:
    """Where below `lent_links` nginx finds all of an object's bytes in one copy; nothing where there is no such."""
    extents = extents_of(found)
    if found.encryption or len(extents) != 1 or extents[0].bytes != found.bytes:
        return ""
    blob = Blob.objects.filter(pk=extents[0].blob_id).first()
    store = backends.store(blob.policy) if blob else None
    if blob is None or blob.size != found.bytes or not isinstance(store, DiskStore):
        return ""
    try:
        return store.lend(stored_of(blob), lent_links(), partial(_copy_damaged, blob.pk))
    except WrongMachineError:
        return ""


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


@internal("whoever read a copy and found it bad or missing", atomic=False)
def copy_damaged(blob_id: UUID, place: int) -> bool:
    """Count a copy as missing, so that it is made again; the last one is never given up. Whether it was counted."""
    found = Blob.objects.filter(pk=blob_id, places__contains=[place], places__len__gt=1)
    removed = Func(F("places"), Value(place), function="array_remove")
    return bool(found.update(places=removed, missing=F("missing") + 1))


def _copy_damaged(blob_id: UUID, place: int) -> None:
    copy_damaged(blob_id, place)
    let_go_of_connection()
