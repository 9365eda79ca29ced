"""Objects that arrive in parts (S3's multipart uploads).

A part is a blob that its row owns from the moment it is acknowledged; completing hands the blobs over to the object,
so no byte is moved twice. Bytes of parts count in the container's totals, and in its quota, as soon as they have
arrived; the object counts when it is complete. Parts hold a key share of their upload while they are committed,
completing and aborting take its row alone: whichever comes first, each blob ends with exactly one owner or unused.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models.functions import Now

from apps.core.context import RequestContext
from apps.core.errors import Invalid, KumoError, NotFound, TooLarge
from apps.core.ids import timed_uuid
from apps.core.transactions import internal, streaming
from apps.objectstore.models import Container, Object, Upload, UploadPart, Version
from apps.objectstore.selectors import container_row
from apps.objectstore.selectors.access import PUT, bucket_of, require
from apps.objectstore.selectors.conditions import Values
from apps.objectstore.selectors.uploads import no_upload, upload_row
from apps.objectstore.services import checksums, rows
from apps.objectstore.services.checksums import COMPOSITE, FULL, Digests
from apps.objectstore.services.encryption import AES256, Secret, secret_new, secret_of, wish_of
from apps.objectstore.services.errors import Unprocessable
from apps.objectstore.services.marks import facts_of
from apps.objectstore.services.objects import (
    Body,
    Incoming,
    New,
    begin_put,
    commit_put,
    drop,
    let_go_of_connection,
    md5_of,
    quota_checked,
    receive,
)
from apps.objectstore.states import CHUNK, MAX_FILE_BYTES, MAX_PARTS, MAX_UPLOAD_BYTES, MIN_PART_BYTES

DEFAULT_ALGORITHM = "CRC64NVME"


@dataclass(frozen=True, slots=True)
class Sums:
    """Which checksum an upload keeps. What callers did not ask for is not asked of their parts either."""

    algorithm: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """A part as the completing caller names it."""

    number: int
    etag: str
    checksums: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Whole:
    """What the completing caller says of the object."""

    checksums: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    size: int | None = None


# --- beginning -------------------------------------------------------------------------------------


@streaming("object_store:public")
def upload_create(
    ctx: RequestContext, *, account: str, container: str, name: str, new: New, sums: Sums | None = None
) -> Upload:
    """Begin an object that comes in parts. Raises Forbidden, NotFound for the container, Invalid for the checksum."""
    place = begin_put(ctx, account, container, name, 0, replace(new, only_new=False, only_over=""))
    wanted = _kept(new) | {"sums": _sums(sums or Sums()), "initiator": ctx.user_id or ctx.project_id}
    if wish := wish_of(place, new.encryption):
        wanted["encryption"] = secret_new(wish).envelope
    return _begin(place, name, wanted)


@internal("second part of upload_create, after the rule")
def _begin(place: Container, name: str, wanted: dict[str, Any]) -> Upload:
    rows.shared(place.pk)
    return Upload.objects.create(id=timed_uuid(), container=place, name=name, wanted=wanted)


def _sums(asked: Sums) -> dict[str, Any]:
    """Source: table of checksum algorithms and types in the Amazon S3 User Guide."""
    algorithm = asked.algorithm or DEFAULT_ALGORITHM
    if not asked.algorithm and asked.kind:
        raise Invalid("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
    if algorithm not in checksums.ALGORITHMS:
        raise Invalid("Checksum algorithm provided is unsupported.", code="InvalidRequest")
    kind = asked.kind or (FULL if algorithm in checksums.ONLY_FULL else COMPOSITE)
    impossible = {FULL: checksums.ONLY_COMPOSITE, COMPOSITE: checksums.ONLY_FULL}
    if algorithm in impossible.get(kind, checksums.ALGORITHMS):
        raise Invalid(
            f"The {kind} checksum type cannot be used with the {algorithm} checksum algorithm.", code="InvalidRequest"
        )
    return {"algorithm": algorithm, "kind": kind, "asked": bool(asked.algorithm)}


_TIMES = ("delete_at", "retain_until")
_PASSING = ("etag", "only_new", "only_over", "digests", "encryption")  # said of one request, or kept in another form


def _kept(new: New) -> dict[str, Any]:
    """What an object shall be, as JSON."""
    found = {name: getattr(new, name) for name in New.__slots__ if name not in _PASSING}
    return {"new": {name: value.isoformat() if name in _TIMES and value else value for name, value in found.items()}}


def new_of(upload: Upload) -> New:
    """What the object of an upload shall be."""
    found = dict(upload.wanted["new"])
    for name in _TIMES:
        if found.get(name):
            found[name] = datetime.datetime.fromisoformat(found[name])
    return New(**found)


# --- parts -----------------------------------------------------------------------------------------


@streaming("object_store:public")
def upload_part_put(
    ctx: RequestContext,
    *,
    account: str,
    container: str,
    name: str,
    upload_id: UUID,
    number: int,
    source: Incoming,
    size: int,
    etag: str = "",
    digests: Digests | None = None,
    key: bytes = b"",
) -> UploadPart:
    """Keep one part's `size` bytes, in place of what came under that number before.

    `etag` is the MD5 that the bytes must have, `key` the caller's key of an upload that is encrypted with one. Raises
    as `object_put`, NotFound for an upload that is not in progress (any more), Invalid for a number out of bounds.
    """
    place = _place(ctx, account, container, name, upload_id)
    if not 1 <= number <= MAX_PARTS:
        raise Invalid(f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive", code="InvalidArgument")
    if size > MAX_FILE_BYTES:
        raise TooLarge("Your proposed upload exceeds the maximum allowed object size.", code="EntityTooLarge")
    upload = upload_row(place, name, upload_id)
    digests = _digests(upload, digests or Digests(()))
    secret = _secret(upload, key)
    before = UploadPart.objects.filter(upload=upload, number=number).values_list("bytes", flat=True).first() or 0
    quota_checked(account, place.pk, place.metadata, place.account.metadata, 0, size - before)
    if size > CHUNK:
        let_go_of_connection()
    body = receive(place.policy, source, size, etag=etag, digests=digests, secret=secret)
    try:
        return _part_commit(place, upload_id, number, body)
    except KumoError:  # refused, hence not committed; after any other error nobody knows
        drop(place.policy, body)
        raise


def _place(
    ctx: RequestContext, account: str, container: str, name: str, upload_id: UUID, action: str = PUT
) -> Container:
    place = container_row(account, container)
    require(ctx, account, place, action, name, facts=_facts(place, name, upload_id))
    if place is None:
        raise NotFound("container", container)
    return place


def _facts(place: Container | None, name: str, upload_id: UUID) -> Values:
    """What conditions of policies can say of an upload's requests: what was said of the object when it began."""
    bucket = bucket_of(place)
    if bucket is None or "policy" not in bucket.documents:
        return {}
    upload = Upload.objects.filter(pk=upload_id, container=place, name=name).first()
    if upload is None:
        return {}
    new, method = new_of(upload), "s3:x-amz-server-side-encryption"
    facts = facts_of(new.tags, new.lock_mode, new.retain_until, new.legal_hold or None)
    if envelope := upload.wanted.get("encryption"):
        facts = {**facts, method if envelope["mode"] == AES256 else f"{method}-customer-algorithm": [AES256]}
    return facts


def _digests(upload: Upload, digests: Digests) -> Digests:
    sums = upload.wanted["sums"]
    if sums["asked"] and (others := digests.algorithms - {sums["algorithm"]}):
        raise Invalid(
            f"Checksum Type mismatch occurred, expected checksum Type: {sums['algorithm'].lower()}, "
            f"actual checksum Type: {min(others).lower()}",
            code="InvalidRequest",
        )
    return digests.also(sums["algorithm"])


def _secret(upload: Upload, key: bytes) -> Secret | None:
    envelope = upload.wanted.get("encryption")
    if envelope is None:
        if key:
            raise Invalid("The multipart upload was not initiated with a key.", code="InvalidRequest")
        return None
    return secret_of(envelope, key)


@internal("last part of upload_part_put")
def _part_commit(place: Container, upload_id: UUID, number: int, body: Body) -> UploadPart:
    state = rows.shared(place.pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM objectstore_upload WHERE id = %s FOR KEY SHARE", [upload_id])
        if cursor.fetchone() is None:
            raise no_upload(upload_id)
    if body.stored:
        rows.keep(body.stored, place.policy)
    facts = {
        "blob_id": body.stored.id if body.stored else None,
        "bytes": body.bytes,
        "etag": body.etag,
        "checksums": dict(body.checksums) if body.checksums else None,
        "salt": (body.encryption or {}).get("salt", ""),
    }
    same = UploadPart.objects.select_for_update()
    row, is_new = same.get_or_create(upload_id=upload_id, number=number, defaults=facts)
    more = body.bytes - (0 if is_new else row.bytes)
    if not is_new:
        rows.release(row)
        same.filter(upload_id=upload_id, number=number).update(**facts, created_at=Now())
        row.refresh_from_db()
    quota_checked(place.account_id, place.pk, state.metadata, state.quotas, 0, more)
    rows.count(place, 0, more)
    return row


# --- the end ---------------------------------------------------------------------------------------


@streaming("object_store:public")
def upload_complete(
    ctx: RequestContext,
    *,
    account: str,
    container: str,
    name: str,
    upload_id: UUID,
    listed: Sequence[Listed],
    whole: Whole | None = None,
    only_new: bool = False,
    only_over: str = "",
) -> Object | Version:
    """Make the object of the parts that are listed; the others' bytes are given up. Again, it answers the same.

    Raises as `object_put`; NotFound for an upload that is not in progress, Invalid for parts that did not arrive, are
    not in order or too small, Unprocessable where a checksum of the whole is another. Then the upload goes on.
    """
    place = _place(ctx, account, container, name, upload_id)
    return _complete(place, name, upload_id, listed, whole or Whole(), New(only_new=only_new, only_over=only_over))


@internal("second part of upload_complete, after the rule")
def _complete(
    place: Container, name: str, upload_id: UUID, listed: Sequence[Listed], whole: Whole, conditions: New
) -> Object | Version:
    rows.shared(place.pk)
    upload = _locked(place, name, upload_id)
    if upload is None:
        return _completed(place, name, upload_id)
    arrived = {part.number: part for part in UploadPart.objects.filter(upload=upload)}
    chosen = _chosen(listed, arrived)
    body = _body(upload, chosen, whole)
    _asked_checked(upload, listed)
    new = replace(new_of(upload), only_new=conditions.only_new, only_over=conditions.only_over)
    made = commit_put(place, name, body, new, counted=body.bytes)
    taken = {part.number for part in chosen}
    _end(place, upload, [part for number, part in arrived.items() if number not in taken])
    return made


def _locked(place: Container, name: str, upload_id: UUID) -> Upload | None:
    return Upload.objects.select_for_update().filter(pk=upload_id, container=place, name=name).first()


def _completed(place: Container, name: str, upload_id: UUID) -> Object | Version:
    """The object that an upload became: whoever did not hear of it asks again."""
    for model in (Object, Version):
        found = model.objects.filter(container_id=place.pk, name=name, upload_id=upload_id).first()
        if found is not None:
            return found
    raise no_upload(upload_id)


def _chosen(listed: Sequence[Listed], arrived: Mapping[int, UploadPart]) -> list[UploadPart]:
    """The parts that are listed. Raises Invalid unless they are in order, have arrived so, and are large enough."""
    numbers = [part.number for part in listed]
    if not numbers or any(later <= earlier for earlier, later in pairwise(numbers)):
        raise Invalid(
            "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
            code="InvalidPartOrder",
        )
    chosen = []
    for part in listed:
        found = arrived.get(part.number)
        if found is None or found.etag != part.etag or not _same(part.checksums, found.checksums or {}):
            raise Invalid(
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the "
                "specified entity tag may not match the part's entity tag.",
                hint=f"It is part {part.number}.",
                code="InvalidPart",
            )
        chosen.append(found)
    if any(part.bytes < MIN_PART_BYTES for part in chosen[:-1]):
        raise Invalid("Your proposed upload is smaller than the minimum allowed object size.", code="EntityTooSmall")
    if sum(part.bytes for part in chosen) > MAX_UPLOAD_BYTES:
        raise Invalid("Your proposed upload exceeds the maximum allowed object size.", code="EntityTooLarge")
    return chosen


def _same(said: Mapping[str, str], found: Mapping[str, Any]) -> bool:
    return all(found.get(algorithm) == value for algorithm, value in said.items())


def _asked_checked(upload: Upload, listed: Sequence[Listed]) -> None:
    """Who chose a checksum of checksums has to name those of the parts."""
    sums = upload.wanted["sums"]
    missing = [part.number for part in listed if sums["algorithm"] not in part.checksums]
    if sums["asked"] and sums["kind"] == COMPOSITE and missing:
        raise Invalid(
            f"The upload was created using a {sums['algorithm'].lower()} checksum. The complete request must include "
            f"the checksum for each part. It was missing for part {missing[0]} in the request.",
            code="InvalidRequest",
        )


def _body(upload: Upload, chosen: Sequence[UploadPart], whole: Whole) -> Body:
    """The object's bytes and what is known of them. Raises Invalid, Unprocessable where the caller says otherwise."""
    sums = upload.wanted["sums"]
    algorithm, kind = sums["algorithm"], sums["kind"]
    size = sum(part.bytes for part in chosen)
    if whole.kind and whole.kind != kind:
        raise Invalid(f"The upload was created using the {kind} checksum type.", code="InvalidRequest")
    if whole.size is not None and whole.size != size:
        problem = "The provided 'x-amz-mp-object-size' header does not match what was computed."
        raise Invalid(problem, code="InvalidRequest")
    value = checksums.of_parts(algorithm, kind, [((part.checksums or {})[algorithm], part.bytes) for part in chosen])
    for said, wanted in whole.checksums.items():
        if said != algorithm or wanted not in {value, value.partition("-")[0]}:
            raise Unprocessable(f"The {said} you specified did not match the calculated checksum.", code="BadDigest")
    return Body(
        etag=f"{md5_of(b''.join(bytes.fromhex(part.etag) for part in chosen))}-{len(chosen)}",
        bytes=size,
        parts=[owned_part(part) for part in chosen],
        upload_id=upload.pk,
        checksums={checksums.TYPE: kind, algorithm: value},
        encryption=upload.wanted.get("encryption"),
    )


def owned_part(part: UploadPart) -> dict[str, Any]:
    """A part as the object's row has it."""
    blob = {"blob": str(part.blob_id)} if part.blob_id else {}
    salt = {"salt": part.salt} if part.salt else {}
    return {"number": part.number, "bytes": part.bytes, "etag": part.etag, "checksums": part.checksums} | blob | salt


@streaming("object_store:public")
def upload_abort(ctx: RequestContext, *, account: str, container: str, name: str, upload_id: UUID) -> None:
    """Give up an upload and the parts of it that have arrived. Raises Forbidden, NotFound."""
    place = _place(ctx, account, container, name, upload_id, "s3:AbortMultipartUpload")
    if not upload_expire(place, name, upload_id):
        raise no_upload(upload_id)


@internal("uploads that their owner, or the rules of their bucket, give up")
def upload_expire(place: Container, name: str, upload_id: UUID) -> bool:
    """Give up an upload and its parts; whether it was still in progress."""
    rows.shared(place.pk)
    upload = _locked(place, name, upload_id)
    if upload is None:
        return False
    _end(place, upload, list(UploadPart.objects.filter(upload=upload)))
    return True


@internal("the container goes, and its row is locked")
def uploads_end(place: Container) -> None:
    """Give up all uploads of a container that is deleted."""
    for upload in Upload.objects.select_for_update().filter(container=place).order_by("pk"):
        _end(place, upload, list(UploadPart.objects.filter(upload=upload)))


def _end(place: Container, upload: Upload, given_up: Sequence[UploadPart]) -> None:
    rows.release(*given_up)
    rows.count(place, 0, -sum(part.bytes for part in given_up))
    UploadPart.objects.filter(upload=upload).delete()
    upload.delete()
