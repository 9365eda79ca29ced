"""Bytes in and out.

An upload is: a short transaction (rule, quota, status); the bytes, with neither transaction nor connection held,
hashed on the way into a draft of the store; inspection by a child process; a short transaction that makes the
image active. A crash anywhere leaves a draft that nobody refers to, and `uploads_expire` and `store_sweep` collect.
"""

from __future__ import annotations

import datetime
import hashlib
import logging
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Protocol
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound, OverQuota, TooLarge, UnsupportedMedia
from apps.core.transactions import internal, streaming
from apps.identity.services import quota_claim
from apps.image import backends, selectors
from apps.image.backends import BlobMissingError, Draft, Kept, StoreFullError
from apps.image.backends.inspection import UnsafeError, inspect
from apps.image.models import Image, Upload
from apps.image.services.common import announce
from apps.image.states import ACCEPTED_CONTENT, MAX_VIRTUAL_BYTES, ImageStatus

logger = logging.getLogger("kumo.image")

PIECE = 2**20
GIB = 2**30
RENEW_S = 10  # how often a writer says that it is still there


class Incoming(Protocol):
    """Where bytes come from: returns b"" at the end."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Measured:
    """What was found out about bytes while they passed."""

    size: int
    md5: str
    sha256: str
    sha512: str


@dataclass(frozen=True, slots=True)
class Download:
    """An image's bytes, ready to be read from any place."""

    image: Image
    file: BinaryIO

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` up to `end`; closes the file."""
        with self.file as file:
            file.seek(start)
            left = end - start
            while left > 0 and (piece := file.read(min(PIECE, left))):
                left -= len(piece)
                yield piece


class _AbandonedError(Exception):
    """The upload this writer belongs to is over: the image was deleted, or the writer was thought dead."""


# --- bytes in --------------------------------------------------------------------------------------


@streaming("upload_image", writes=True)
def image_upload(
    ctx: RequestContext, *, image_id: UUID | str, source: Incoming, size: int, store: str = "default"
) -> None:
    """Take an image's `size` bytes, inspect them, and make the image active.

    Raises NotFound; Conflict in other states than queued; Invalid without formats or when cut off;
    TooLarge over a limit or when the store is full; UnsupportedMedia for content that is refused. After any of
    these the image is queued again and nothing is left.
    """
    upload = _begin(ctx, image_id, ImageStatus.SAVING, size, store)
    draft: Draft | None = None
    try:
        draft, measured = _receive(upload, source, size)
        virtual_bytes = _inspected(upload, draft)
        _activate(ctx, upload, draft, measured, virtual_bytes, ImageStatus.SAVING)
    except BaseException as error:
        _give_up(upload, draft)
        raise _words(error, upload) from error


@streaming("upload_image", writes=True)
def image_stage(ctx: RequestContext, *, image_id: UUID | str, source: Incoming, size: int) -> None:
    """Take an image's bytes without making it active; `image_import` does that. Raises as `image_upload`."""
    upload = _begin(ctx, image_id, ImageStatus.UPLOADING, size, "default")
    draft: Draft | None = None
    try:
        draft, measured = _receive(upload, source, size)
        _keep_staged(upload, measured)
    except BaseException as error:
        _give_up(upload, draft)
        raise _words(error, upload) from error


@streaming("upload_image", writes=True)
def image_import(ctx: RequestContext, *, image_id: UUID | str) -> None:
    """Inspect what was staged and make the image active.

    Raises NotFound, Conflict where nothing is staged, UnsupportedMedia for content that is refused: the image is
    then queued again and what was staged is gone.
    """
    upload = _begin_import(ctx, image_id)
    assert upload.staged is not None
    measured = Measured(**upload.staged)  # type: ignore[arg-type]
    draft: Draft | None = None
    try:
        draft = backends.store(upload.store).resume(str(upload.image_id), str(upload.attempt))
        virtual_bytes = _inspected(upload, draft)
        _activate(ctx, upload, draft, measured, virtual_bytes, ImageStatus.IMPORTING)
    except BaseException as error:
        _give_up(upload, draft)
        raise _words(error, upload) from error


@internal("first part of an upload, after the rule")
def _begin(ctx: RequestContext, image_id: UUID | str, status: ImageStatus, size: int, store: str) -> Upload:
    image = _locked(ctx, image_id)
    if image.status != ImageStatus.QUEUED:
        raise Conflict(
            f"Image {image.pk} cannot take bytes in status '{image.status}'.",
            hint="Bytes are given once, to a queued image.",
        )
    if not image.container_format or not image.disk_format:
        missing = [n for n in ("disk_format", "container_format") if not getattr(image, n)]
        raise Invalid(f"Properties {', '.join(missing)} must be set prior to saving data.", field=missing[0])
    if store not in backends.store_keys():
        raise Invalid(f"There is no image store named {store}; there are: {', '.join(backends.store_keys())}.")
    if size > settings.CONFIG.image.max_size_gib * GIB:
        raise TooLarge(f"The image is larger than this cloud takes: {settings.CONFIG.image.max_size_gib} GiB.")
    _claim_bytes(ctx, image.project_id, size)
    Image.objects.filter(pk=image.pk).update(status=status, updated_at=Now())
    announce(image)
    return Upload.objects.create(image=image, store=store, reserved_bytes=size)


@internal("first part of an import, after the rule")
def _begin_import(ctx: RequestContext, image_id: UUID | str) -> Upload:
    image = _locked(ctx, image_id)
    upload = Upload.objects.filter(image=image).first()
    if image.status != ImageStatus.UPLOADING or upload is None or upload.staged is None:
        raise Conflict(
            f"Image {image.pk} has no staged bytes; its status is '{image.status}'.",
            hint="Stage them first with PUT …/stage.",
        )
    Image.objects.filter(pk=image.pk).update(status=ImageStatus.IMPORTING, updated_at=Now())
    Upload.objects.filter(pk=image.pk).update(seen_at=Now())
    return upload


def _receive(upload: Upload, source: Incoming, size: int) -> tuple[Draft, Measured]:
    """Move the bytes into a draft. The draft is discarded here if that fails."""
    _let_go_of_connection()
    draft = backends.store(upload.store).draft(str(upload.image_id), str(upload.attempt), size)
    try:
        md5 = hashlib.md5(usedforsecurity=False)
        sha256, sha512 = hashlib.sha256(), hashlib.sha512()
        total, renewed = 0, time.monotonic()
        while total < size and (piece := source.read(min(PIECE, size - total))):
            total += len(piece)
            for digest in (md5, sha256, sha512):
                digest.update(piece)
            draft.write(piece)
            if time.monotonic() - renewed > RENEW_S:
                _renew(upload)
                renewed = time.monotonic()
        if total < size:
            raise Invalid(f"The upload was cut off after {total} of {size} bytes.")
        draft.finish()
    except BaseException:
        draft.discard()
        raise
    return draft, Measured(total, md5.hexdigest(), sha256.hexdigest(), sha512.hexdigest())


def _inspected(upload: Upload, draft: Draft) -> int:
    """The size of the disk, if the content is what was declared and harmless. Raises UnsupportedMedia."""
    with draft.reader() as file:
        try:
            content = inspect(file, upload.reserved_bytes, partial(_renew, upload))
        except UnsafeError as error:
            raise UnsupportedMedia(
                f"The image was refused: {error}.",
                hint="Convert it to a plain qcow2 or raw image without references to other files.",
            ) from error
    declared = upload.image.disk_format
    assert declared is not None
    if set(content.formats) not in ACCEPTED_CONTENT[declared]:
        found = " and ".join(sorted(content.formats))
        raise UnsupportedMedia(
            f"The content is {found}, but the declared disk format is {declared}.",
            hint="Declare the format that it has.",
        )
    if upload.reserved_bytes == 0 == content.virtual_bytes:
        return 0  # legal though useless: clients without a file send nothing
    if not 0 < content.virtual_bytes <= MAX_VIRTUAL_BYTES:
        raise UnsupportedMedia(f"The image says that its disk has {content.virtual_bytes} bytes, which cannot be.")
    return content.virtual_bytes


@internal("last part of an upload")
def _activate(
    ctx: RequestContext, upload: Upload, draft: Draft, measured: Measured, virtual_bytes: int, status: ImageStatus
) -> None:
    """The row first, the rename while it is locked: a crash between leaves a blob that the sweep knows as unused."""
    image = Image.objects.select_for_update(no_key=True).filter(pk=upload.image_id, status=status).first()
    if image is None or not Upload.objects.filter(pk=upload.pk, attempt=upload.attempt).delete()[0]:
        raise _AbandonedError
    draft.publish()
    Image.objects.filter(pk=image.pk).update(
        status=ImageStatus.ACTIVE,
        size=measured.size,
        virtual_size=virtual_bytes,
        checksum=measured.md5,
        sha256=measured.sha256,
        hash_value=measured.sha512,
        store=upload.store,
        updated_at=Now(),
    )
    announce(image)


@internal("last part of staging")
def _keep_staged(upload: Upload, measured: Measured) -> None:
    kept = Upload.objects.filter(pk=upload.pk, attempt=upload.attempt).update(
        staged={"size": measured.size, "md5": measured.md5, "sha256": measured.sha256, "sha512": measured.sha512},
        seen_at=Now(),
    )
    if not kept:
        raise _AbandonedError


def _give_up(upload: Upload, draft: Draft | None) -> None:
    """Back to queued with nothing left. What cannot be done now, `uploads_expire` does later."""
    try:
        if draft is not None:
            draft.discard()
        _requeue(upload)
    except (OSError, DatabaseError):
        logger.exception("upload could not be taken back", extra={"image": str(upload.image_id)})


@internal("after a failed upload, or one whose writer is gone")
def _requeue(upload: Upload) -> bool:
    image = Image.objects.select_for_update(no_key=True).filter(pk=upload.image_id).first()
    ours = Upload.objects.filter(pk=upload.image_id, attempt=upload.attempt).delete()[0]
    if image is None or not ours:
        return False
    Image.objects.filter(pk=image.pk).update(status=ImageStatus.QUEUED, updated_at=Now())
    announce(image)
    return True


def _words(error: BaseException, upload: Upload) -> BaseException:
    """The error as the caller shall see it."""
    if isinstance(error, StoreFullError):
        return TooLarge(
            "There is no room for the image in the store.", hint="Tell your administrator, or delete images."
        )
    if isinstance(error, _AbandonedError):
        return Conflict(f"Image {upload.image_id} was deleted or changed while its bytes came.")
    if isinstance(error, BlobMissingError):
        return Conflict("What was staged is gone; stage it again.")
    return error


def _renew(upload: Upload) -> None:
    alive = Upload.objects.filter(pk=upload.pk, attempt=upload.attempt).update(seen_at=Now())
    _let_go_of_connection()
    if not alive:
        raise _AbandonedError


def _let_go_of_connection() -> None:
    """Slow clients must not hold database connections."""
    if not connection.in_atomic_block:
        connection.close()


def _locked(ctx: RequestContext, image_id: UUID | str) -> Image:
    seen = selectors.image_get(ctx, image_id=image_id)
    image = Image.objects.select_for_update(no_key=True).filter(pk=seen.pk).first()
    if image is None:
        raise NotFound("image", image_id)
    policy.enforce(ctx, "upload_image", selectors.target(image, ctx.project_id))
    return image


def _claim_bytes(ctx: RequestContext, project_id: str, size: int) -> None:
    """The limit is in GiB; what is used is counted in bytes and rounded up as a whole."""
    try:
        quota_claim(
            ctx,
            project_id=project_id,
            service="image",
            resource="image_size_total_gib",
            wanted=1,
            used=lambda: math.ceil((selectors.bytes_used(project_id) + size) / GIB) - 1,
            used_in=lambda projects: math.ceil((selectors.bytes_used(*projects) + size) / GIB) - 1,
        )
    except OverQuota as error:
        raise TooLarge(f"The project's images would have more than {error.limit} GiB.", hint=error.hint) from error


# --- bytes out -------------------------------------------------------------------------------------


@streaming("get_images")
def image_download(ctx: RequestContext, *, image_id: UUID | str) -> Download | None:
    """An image's bytes; None where it has none yet. Raises NotFound, and Forbidden for a deactivated image."""
    image = selectors.image_get(ctx, image_id=image_id)
    policy.enforce(ctx, "download_image", selectors.target(image, ctx.project_id))
    if image.status == ImageStatus.DEACTIVATED and not ctx.is_admin:
        raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
    if image.status not in {ImageStatus.ACTIVE, ImageStatus.DEACTIVATED}:
        return None
    return _opened(image)


@internal("hosts, for images of servers placed on them; the caller has checked that")
def image_bytes(ctx: RequestContext, *, image_id: UUID | str) -> Download:
    """The same for a host: deactivating an image does not stop servers that were already placed. Raises NotFound."""
    image = Image.objects.filter(pk=image_id, sha256__isnull=False).first() if selectors.is_uuid(image_id) else None
    if image is None:
        raise NotFound("image", image_id)
    return _opened(image)


def _opened(image: Image) -> Download:
    try:
        return Download(image, backends.store(image.store).open(str(image.pk)))
    except BlobMissingError:
        logger.exception("an active image has no bytes", extra={"image": str(image.pk)})
        raise NotFound("image data", image.pk) from None


# --- collection ------------------------------------------------------------------------------------

DEAD_AFTER_S = 120  # a writer renews every few seconds
STAGED_FOR_S = 7 * 24 * 3600  # what was staged and never imported
UNUSED_FOR_S = 3600  # a blob or draft that no row names


@internal("the collector")
def uploads_expire(ctx: RequestContext) -> int:
    """End uploads whose writer is gone, and staged bytes that nobody imported; returns how many."""
    ended = 0
    for upload in Upload.objects.select_related("image").annotate(age=Now() - F("seen_at")):
        waits = upload.staged is not None and upload.image.status == ImageStatus.UPLOADING
        age: datetime.timedelta = upload.age
        if age.total_seconds() > (STAGED_FOR_S if waits else DEAD_AFTER_S) and _requeue(upload):
            name, attempt = str(upload.image_id), str(upload.attempt)
            transaction.on_commit(partial(backends.store(upload.store).discard, name, attempt))
            logger.warning("upload ended without its writer", extra={"image": name})
            ended += 1
    return ended


@internal("the collector", atomic=False)
def store_sweep(ctx: RequestContext, *, only_tell: bool = False) -> list[str]:
    """Remove blobs and drafts that no row names and that are old enough not to be on their way; returns their names.

    Only names in the form of our ids are touched. With `only_tell` nothing is.
    """
    found = []
    for key in backends.store_keys():
        old = [k for k in backends.store(key).kept() if k.age_s > UNUSED_FOR_S and selectors.is_uuid(k.name)]
        found += [kept.name for kept in old if _swept(key, kept, only_tell)]
    return found


@internal("the collector")
def _swept(key: str, kept: Kept, only_tell: bool) -> bool:
    """The image's row stays locked until the file is gone, so that no upload makes it a used one meanwhile."""
    image = Image.objects.select_for_update(no_key=True).filter(pk=kept.name).first()
    if kept.attempt:
        uploads = Upload.objects.filter(image_id=kept.name, store=key)
        used = selectors.is_uuid(kept.attempt) and uploads.filter(attempt=kept.attempt).exists()
    else:
        used = image is not None and image.store == key
    if used or only_tell:
        return not used
    if kept.attempt:
        backends.store(key).discard(kept.name, kept.attempt)
    else:
        backends.store(key).delete(kept.name)
    logger.info("unused image file removed", extra={"image": kept.name, "attempt": kept.attempt})
    return True


@internal("doctor compares the store with the rows", atomic=False)
def bytes_missing(ctx: RequestContext) -> list[str]:
    """Sentences about images whose bytes are gone or have another size than recorded."""
    found = []
    for image in Image.objects.filter(sha256__isnull=False).order_by("pk").iterator():
        try:
            with backends.store(image.store).open(str(image.pk)) as file:
                size = file.seek(0, os.SEEK_END)
        except (BlobMissingError, KeyError):
            found.append(f"image {image.pk} ({image.name}): its bytes are gone from store {image.store}")
            continue
        if size != image.size:
            found.append(f"image {image.pk} ({image.name}): {size} bytes are kept, {image.size} are recorded")
    return found
