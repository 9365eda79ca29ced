"""Blobs as objects of any S3 service, which keeps its copies itself: one place, number 0.

A blob that is larger than one part goes up by a multipart upload, smaller ones in one request; either becomes visible
at once and whole, or not at all. Each MiB is checked against the database before it leaves, whatever the service says.
"""

from __future__ import annotations

import configparser
import contextlib
import datetime
import email.utils
import hashlib
import logging
import stat
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.core.ids import timed_uuid
from apps.objectstore.backends import BlobLostError, Kept, NoRoomError, Stored
from apps.objectstore.backends.checksums import Checksums
from apps.objectstore.backends.claims import MARK, require_own
from apps.objectstore.states import CHUNK, MIB

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

logger = logging.getLogger("kumo.objectstore")

PLACE = 0
PART_BYTES = 8 * MIB  # of a large blob, and most that a draft holds in memory
MOST_PARTS = 10_000  # S3's limit
LEFT_UPLOAD_S = 24 * 3600
CONNECTIONS = 32

Damaged = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Keys:
    access: str
    secret: str = field(repr=False)


class S3Store:
    """A bucket, or what begins with `prefix` in it.

    `credentials` names a file in the form of AWS's own (section `default`: `aws_access_key_id`,
    `aws_secret_access_key`) that only its owner may read. `ca` names a file of certificates to trust.
    Raises ImproperlyConfigured.
    """

    api = 1

    def __init__(
        self,
        policy: str,
        *,
        bucket: str,
        credentials: str,
        endpoint: str = "",
        region: str = "us-east-1",
        prefix: str = "",
        addressing: Literal["path", "virtual", "auto"] = "path",
        ca: str = "",
        connect_timeout_s: float = 5,
        read_timeout_s: float = 60,
        attempts: int = 3,
    ) -> None:
        self.policy, self.bucket, self.prefix = policy, bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._keys = _keys(Path(credentials))
        self._endpoint, self._region, self._ca = endpoint, region, ca
        self._addressing, self._timeouts = addressing, (connect_timeout_s, read_timeout_s)
        self._attempts = attempts  # of one request
        self._is_own = False

    @cached_property
    def client(self) -> S3Client:
        """Made at first use, since it must not be taken along by a fork; safe for many threads."""
        import boto3
        from botocore.config import Config

        connect_s, read_s = self._timeouts
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self._endpoint or None,
            region_name=self._region,
            aws_access_key_id=self._keys.access,
            aws_secret_access_key=self._keys.secret,
            verify=self._ca or None,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": self._addressing},
                connect_timeout=connect_s,
                read_timeout=read_s,
                max_pool_connections=CONNECTIONS,
                retries={"mode": "standard", "total_max_attempts": self._attempts},
                # Not every service knows the newer checksums. Bodies carry an MD5, and each MiB has a CRC-32 of ours.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def key(self, blob_id: UUID) -> str:
        return f"{self.prefix}{blob_id.hex}"

    def require_own(self) -> None:
        """Ask once whether the place is ours. Raises WrongMachineError, OSError."""
        if not self._is_own:
            require_own(self.policy, self._mark, self._put_mark)
            self._is_own = True

    def _mark(self) -> bytes | None:
        with contextlib.suppress(FileNotFoundError), _as_oserror():
            return self.client.get_object(Bucket=self.bucket, Key=self.prefix + MARK)["Body"].read()
        return None

    def _put_mark(self, identity: bytes) -> None:
        with _as_oserror():
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + MARK, Body=identity, ContentMD5=_md5(identity))

    # --- bytes in -----------------------------------------------------------------------------------

    def draft(self, size: int) -> S3Draft:
        with _as_no_room():
            self.require_own()
        return S3Draft(self, max(PART_BYTES, -(-size // MOST_PARTS)))

    # --- bytes out ----------------------------------------------------------------------------------

    def read(self, stored: Stored, start: int, end: int, damaged: Damaged) -> Iterator[bytes]:
        if start >= end:
            return
        verify = settings.CONFIG.objectstore.verify_reads
        last = -(-end // CHUNK)
        with contextlib.closing(_Body(self, stored, last)) as body:
            for index in range(start // CHUNK, last):
                at = index * CHUNK
                yield self._chunk(body, index, verify, damaged)[max(start - at, 0) : end - at]

    def _chunk(self, body: _Body, index: int, verify: bool, damaged: Damaged) -> bytes:
        """One chunk; what came wrong or not at all is asked for once more. Raises BlobLostError."""
        stored, reason = body.stored, ""
        for _ in range(2):
            try:
                chunk = body.chunk(index)
            except FileNotFoundError:
                damaged(PLACE)
                raise BlobLostError(f"blob {stored.id} is missing") from None
            except OSError as error:
                reason = str(error)
            else:
                if stored.is_right(index, chunk, verify=verify):
                    return chunk
                reason = "wrong bytes"
            body.close()
        logger.error("bytes could not be had", extra={"blob": str(stored.id), "chunk": index, "reason": reason})
        if reason == "wrong bytes":
            damaged(PLACE)
        raise BlobLostError(f"chunk {index} of blob {stored.id}: {reason}")

    def verify(self, stored: Stored, pause: Callable[[int], None]) -> dict[int, bool]:
        with contextlib.closing(_Body(self, stored, len(stored.checksums) // 4)) as body:
            try:
                if not stored.size:
                    return {PLACE: self._size(stored.id) == 0}
                for index in range(len(stored.checksums) // 4):
                    chunk = body.chunk(index)
                    pause(len(chunk))
                    if not stored.is_right(index, chunk):
                        return {PLACE: False}
            except FileNotFoundError:
                return {PLACE: False}
            except OSError:
                return {}
        return {PLACE: True}

    def repair(self, stored: Stored) -> Stored:
        """The service mends its own copies; what it has lost, nobody can bring back."""
        if not self.verify(stored, lambda size: None).get(PLACE):
            raise BlobLostError(f"blob {stored.id} cannot be had from the service that keeps it")
        return replace(stored, places=(PLACE,), missing=0)

    def remove(self, blob_id: UUID, places: tuple[int, ...]) -> None:
        self.require_own()
        with _as_oserror():
            self.client.delete_object(Bucket=self.bucket, Key=self.key(blob_id))

    def kept(self) -> Iterator[Kept]:
        """Ages are by the service's own clock."""
        self.require_own()
        with _as_oserror():
            self._abort_left()
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
            for page in pages:
                now = email.utils.parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
                for entry in page.get("Contents", ()):
                    with contextlib.suppress(ValueError):  # no id: something else that is kept there
                        blob_id = UUID(hex=entry["Key"].removeprefix(self.prefix))
                        if self.key(blob_id) == entry["Key"]:
                            yield Kept(blob_id, PLACE, (now - entry["LastModified"]).total_seconds())

    def _abort_left(self) -> None:
        """End uploads whose writer must have died."""
        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self.prefix)
        for page in pages:
            now = email.utils.parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
            for left in page.get("Uploads", ()):
                if now - left["Initiated"] > datetime.timedelta(seconds=LEFT_UPLOAD_S):
                    self.abort(left["Key"], left["UploadId"])

    def abort(self, key: str, upload: str) -> None:
        """End a multipart upload; an absent one is success. Raises OSError."""
        with contextlib.suppress(FileNotFoundError), _as_oserror():
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)

    def _size(self, blob_id: UUID) -> int:
        """Bytes of a blob. Raises FileNotFoundError, OSError."""
        with _as_oserror():
            return self.client.head_object(Bucket=self.bucket, Key=self.key(blob_id))["ContentLength"]

    def is_whole(self, blob_id: UUID, size: int) -> bool:
        """Whether a blob of that size is there. Raises OSError."""
        try:
            return self._size(blob_id) == size
        except FileNotFoundError:
            return False


class _Body:
    """The bytes of a blob from some chunk on, asked for in one request as long as they are wanted in order."""

    def __init__(self, store: S3Store, stored: Stored, last: int) -> None:
        self.stored = stored
        self._store, self._end = store, min(last * CHUNK, stored.size)
        self._next = -1
        self._stream: contextlib.ExitStack | None = None
        self._read: Callable[[int], bytes] = bytes

    def chunk(self, index: int) -> bytes:
        """A chunk as it comes. Raises FileNotFoundError, OSError."""
        with _as_oserror():
            if self._stream is None or index != self._next:
                self._open(index)
            self._next = index + 1
            return self._read(self.stored.chunk_size(index))

    def _open(self, index: int) -> None:
        self.close()
        store = self._store
        found = store.client.get_object(
            Bucket=store.bucket, Key=store.key(self.stored.id), Range=f"bytes={index * CHUNK}-{self._end - 1}"
        )
        self._read = found["Body"].read
        self._stream = contextlib.ExitStack()
        self._stream.callback(found["Body"].close)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class S3Draft:
    """A blob on its way to the service; at most one part is held in memory."""

    def __init__(self, store: S3Store, part_bytes: int) -> None:
        self.id = timed_uuid()
        self._store, self._part_bytes = store, part_bytes
        self._held = bytearray()  # what is not sent yet
        self._checksums = Checksums()
        self._upload = ""
        self._parts: list[CompletedPartTypeDef] = []

    def write(self, piece: bytes) -> None:
        self._checksums.add(piece)
        self._held += piece
        while len(self._held) > self._part_bytes:  # the last part is sent by publish
            part = bytes(memoryview(self._held)[: self._part_bytes])
            del self._held[: self._part_bytes]
            self._send(part)

    def _send(self, part: bytes) -> None:
        store, where = self._store, self._where
        with _as_no_room():
            if not self._upload:
                self._upload = store.client.create_multipart_upload(**where)["UploadId"]
            number = len(self._parts) + 1
            done = store.client.upload_part(
                **where, UploadId=self._upload, PartNumber=number, Body=part, ContentMD5=_md5(part)
            )
        self._parts.append({"ETag": done["ETag"], "PartNumber": number})

    @property
    def _where(self) -> dict[str, Any]:
        return {"Bucket": self._store.bucket, "Key": self._store.key(self.id)}

    def publish(self) -> Stored:
        last = bytes(self._held)
        self._held.clear()
        try:
            if self._upload:
                self._send(last)
                self._complete()
            else:
                with _as_no_room():
                    self._store.client.put_object(**self._where, Body=last, ContentMD5=_md5(last))
        except NoRoomError:
            self._withdraw()
            raise
        return Stored(self.id, self._checksums.size, bytes(self._checksums), (PLACE,))

    def _complete(self) -> None:
        """The answer of a request that was done may have been lost, and its repetition refused: the blob tells."""
        try:
            with _as_no_room():
                self._store.client.complete_multipart_upload(
                    **self._where, UploadId=self._upload, MultipartUpload={"Parts": self._parts}
                )
        except NoRoomError:
            with _as_no_room():
                whole = self._store.is_whole(self.id, self._checksums.size)
            if not whole:
                raise
        self._upload = ""

    def _withdraw(self) -> None:
        """What was not acknowledged shall not stay; if it cannot be removed now, the collector does it later."""
        with contextlib.suppress(OSError):
            self._store.remove(self.id, (PLACE,))

    def discard(self) -> None:
        self._held.clear()
        upload, self._upload = self._upload, ""
        if upload:
            with contextlib.suppress(OSError):
                self._store.abort(self._store.key(self.id), upload)


def _md5(part: bytes) -> str:
    return b64encode(hashlib.md5(part, usedforsecurity=False).digest()).decode()


@contextlib.contextmanager
def _as_oserror() -> Iterator[None]:
    """Errors of the service and of the way there as OSError; FileNotFoundError for what is not there.

    Answers of the service are told by their code alone: its words may repeat what was sent.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in {"NoSuchKey", "NoSuchUpload", "404"}:
            raise FileNotFoundError(code) from None
        raise OSError(f"the S3 service answered {code}") from None
    except BotoCoreError as error:
        raise OSError(f"the S3 service could not be reached: {type(error).__name__}") from error


@contextlib.contextmanager
def _as_no_room() -> Iterator[None]:
    try:
        with _as_oserror():
            yield
    except OSError as error:
        raise NoRoomError(str(error)) from error


def _keys(path: Path) -> _Keys:
    """The access key and its secret. Raises ImproperlyConfigured for a file that others may read, or a wrong one."""
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise ImproperlyConfigured(f"{path}: others may read it; its mode must be 0600")
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(path.read_text())
        section = parser["default"]
        return _Keys(section["aws_access_key_id"], section["aws_secret_access_key"])
    except OSError as error:
        raise ImproperlyConfigured(f"{path}: cannot be read: {error.strerror}") from error
    except (configparser.Error, KeyError, UnicodeDecodeError):
        raise ImproperlyConfigured(
            f"{path}: needs a section [default] with aws_access_key_id and aws_secret_access_key"
        ) from None
