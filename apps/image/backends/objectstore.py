"""Images as objects of the cloud's own object store, in an account that belongs to no project.

A draft is an upload in parts; publishing it completes the upload in the caller's transaction, so that image and object
become visible together. What the object store promises of bytes (copies, checksums, storage policies, mending) holds
for images then, and any web process may serve them where the policy's back end allows.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Generator, Iterator
from typing import Any, BinaryIO

from django.db.models import F
from django.db.models.functions import Now

from apps.core.context import RequestContext, system
from apps.core.errors import KumoError, NotFound, TooLarge
from apps.image.backends import BlobMissingError, Kept, StoreFullError
from apps.objectstore import selectors, services
from apps.objectstore.models import Object, Upload, UploadPart
from apps.objectstore.selectors import container_row
from apps.objectstore.services.errors import InsufficientStorage
from apps.objectstore.services.uploads import (
    Listed,
    owned_part,
    upload_complete,
    upload_create,
    upload_expire,
    upload_part_put,
)
from apps.objectstore.states import MAX_PARTS

ACCOUNT = ".images"  # no project's id looks like this
CONTAINER = "image_files"  # no name that S3 could reach
PART_BYTES = 16 * 2**20  # what a draft holds in memory
ATTEMPT = "Attempt"  # in the metadata of an upload


class ObjectStore:
    """`policy` is the storage policy of images; empty: the default one. It is settled when the first image comes."""

    api = 1

    def __init__(self, policy: str = "") -> None:
        self._policy = policy
        self._container = f"{CONTAINER}_{policy}" if policy else CONTAINER

    def draft(self, name: str, attempt: str, size: int) -> ObjectDraft:
        if container_row(ACCOUNT, self._container) is None:
            services.container_put(_ctx(), account=ACCOUNT, container=self._container, policy=self._policy, changes={})
        new = services.New(metadata={ATTEMPT: attempt})
        upload = upload_create(_ctx(), account=ACCOUNT, container=self._container, name=name, new=new)
        return ObjectDraft(self._container, upload, max(PART_BYTES, -(-size // MAX_PARTS)))

    def resume(self, name: str, attempt: str) -> ObjectDraft:
        found = self._uploads().filter(name=name, **{f"wanted__new__metadata__{ATTEMPT}": attempt}).first()
        if found is None:
            raise BlobMissingError(name)
        return ObjectDraft(self._container, found, PART_BYTES)

    def open(self, name: str) -> BinaryIO:
        try:
            found = selectors.object_get(_ctx(), account=ACCOUNT, container=self._container, name=name)
        except NotFound:
            raise BlobMissingError(name) from None
        return _file(found)

    def delete(self, name: str) -> None:
        with contextlib.suppress(NotFound):
            services.object_delete(_ctx(), account=ACCOUNT, container=self._container, name=name)

    def discard(self, name: str, attempt: str) -> None:
        with contextlib.suppress(BlobMissingError):
            self.resume(name, attempt).discard()

    def kept(self) -> Iterator[Kept]:
        for upload in self._uploads().annotate(age=Now() - F("created_at")).order_by("pk").iterator():
            yield Kept(upload.name, upload.wanted["new"]["metadata"].get(ATTEMPT, ""), upload.age.total_seconds())
        place = container_row(ACCOUNT, self._container)
        if place is not None:
            objects = Object.objects.filter(container_id=place.pk).annotate(age=Now() - F("created_at"))
            for name, age in objects.order_by("name").values_list("name", "age").iterator():
                yield Kept(name, "", age.total_seconds())

    def _uploads(self) -> Any:
        return Upload.objects.filter(container__account_id=ACCOUNT, container__name=self._container)


class ObjectDraft:
    """An upload in parts, one of which is held in memory."""

    def __init__(self, container: str, upload: Upload, part_bytes: int) -> None:
        self._where: dict[str, Any] = {
            "account": ACCOUNT,
            "container": container,
            "name": upload.name,
            "upload_id": upload.pk,
        }
        self._upload, self._part_bytes = upload, part_bytes
        self._held = bytearray()
        self._sent = 0

    def write(self, piece: bytes) -> None:
        self._held += piece
        while len(self._held) > self._part_bytes:
            part = bytes(memoryview(self._held)[: self._part_bytes])
            del self._held[: self._part_bytes]
            self._send(part)

    def _send(self, part: bytes) -> None:
        self._sent += 1
        try:
            upload_part_put(_ctx(), **self._where, number=self._sent, source=io.BytesIO(part), size=len(part))
        except (InsufficientStorage, TooLarge) as error:
            raise StoreFullError from error

    def finish(self) -> None:
        part = bytes(self._held)
        self._held.clear()
        self._send(part)

    def reader(self) -> BinaryIO:
        parts = [owned_part(part) for part in self._parts()]
        return _file(Object(name=self._upload.name, parts=parts, bytes=sum(part["bytes"] for part in parts)))

    def publish(self) -> None:
        listed = [Listed(part.number, part.etag) for part in self._parts()]
        try:
            upload_complete(_ctx(), **self._where, listed=listed)
        except NotFound:
            raise BlobMissingError(self._upload.name) from None

    def _parts(self) -> list[UploadPart]:
        return list(UploadPart.objects.filter(upload_id=self._upload.pk).order_by("number"))

    def discard(self) -> None:
        self._held.clear()
        with contextlib.suppress(NotFound):
            upload_expire(self._upload.container, self._upload.name, self._upload.pk)

    def close(self) -> None:
        self._held.clear()


class _ObjectFile(io.RawIOBase):
    """An object's bytes as a file that is only read."""

    def __init__(self, found: Object) -> None:
        self._object, self._at = found, 0
        self._pieces: Iterator[bytes] | None = None  # from `_at` on, behind what is in `_rest`
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._object.bytes}[whence]
        if base + offset != self._at:
            self._let_go()
            self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Raises OSError where no good copy of the bytes can be had."""
        if not self._rest and self._at < self._object.bytes:
            self._rest = memoryview(self._next())
        some = self._rest[: len(buffer)]
        buffer[: len(some)] = some
        self._rest = self._rest[len(some) :]
        self._at += len(some)
        return len(some)

    def _next(self) -> bytes:
        try:
            if self._pieces is None:
                self._pieces = services.object_pieces(self._object, self._at, self._object.bytes)
            return next(self._pieces, b"")
        except KumoError as error:
            raise OSError(f"the bytes of image {self._object.name} cannot be had: {error}") from error

    def _let_go(self) -> None:
        pieces, self._pieces, self._rest = self._pieces, None, memoryview(b"")
        if isinstance(pieces, Generator):
            pieces.close()

    def close(self) -> None:
        self._let_go()
        super().close()


def _file(found: Object) -> BinaryIO:
    return io.BufferedReader(_ObjectFile(found), 2**20)


def _ctx() -> RequestContext:
    """The image service keeps what it was given by callers whose rights it has looked at."""
    return system()
