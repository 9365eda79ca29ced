"""Blobs as objects of any S3 service, which keeps its copies itself.

A blob that is larger than one part goes up by a multipart upload, smaller ones in one request; either becomes visible
at once and whole, or not at all. Each MiB is checked against the database before it leaves, whatever the service says;
and what the service says is believed only where it is the answer to what was asked.
"""

from __future__ import annotations

import configparser
import contextlib
import datetime
import email.utils
import hashlib
import re
import stat
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured

from apps.core.ids import timed_uuid
from apps.objectstore.backends import Kept, NoRoomError, Stored
from apps.objectstore.backends.checksums import Checksums
from apps.objectstore.backends.claims import MARK
from apps.objectstore.backends.single import LEFT_S, PLACE, SinglePlaceStore, WrongBlobError, as_no_room
from apps.objectstore.states import CHUNK, MIB

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, GetObjectOutputTypeDef

PART_BYTES = 8 * MIB  # of a large blob, and most that a draft holds in memory
MOST_PARTS = 10_000  # S3's limit
CONNECTIONS = 32
_MARK_BYTES = 100  # more than ours has
_PORTION = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class _Keys:
    access: str
    secret: str = field(repr=False)


class S3Store(SinglePlaceStore):
    """A bucket, or what begins with `prefix` in it.

    `credentials` names a file in the form of AWS's own (section `default`: `aws_access_key_id`,
    `aws_secret_access_key`) that only its owner may read. `ca` names a file of certificates to trust.
    Raises ImproperlyConfigured.
    """

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
        super().__init__(policy)
        self.bucket, self.prefix = bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._keys = _keys(Path(credentials))
        self._endpoint, self._region, self._ca = endpoint, region, ca
        self._addressing, self._timeouts = addressing, (connect_timeout_s, read_timeout_s)
        self._attempts = attempts  # of one request

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

    def _id_of(self, key: str) -> UUID | None:
        """The blob of that key; None for what else is kept there."""
        with contextlib.suppress(ValueError):
            blob_id = UUID(hex=key.removeprefix(self.prefix))
            if self.key(blob_id) == key:
                return blob_id
        return None

    def _mark(self) -> bytes | None:
        with contextlib.suppress(FileNotFoundError), _as_oserror():
            return self.client.get_object(Bucket=self.bucket, Key=self.prefix + MARK)["Body"].read(_MARK_BYTES)
        return None

    def _put_mark(self, identity: bytes) -> None:
        with _as_oserror():
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + MARK, Body=identity, ContentMD5=_md5(identity))

    # --- bytes in -----------------------------------------------------------------------------------

    def draft(self, size: int) -> S3Draft:
        with as_no_room():
            self.require_own()
        return S3Draft(self, max(PART_BYTES, -(-size // MOST_PARTS)))

    # --- bytes out ----------------------------------------------------------------------------------

    def _body(self, stored: Stored, end: int) -> _Body:
        return _Body(self, stored, end)

    def _check(self, stored: Stored) -> None:
        """The bytes tell the size as they come; only of none one has to ask."""
        if not stored.size and self._size(stored.id):
            raise WrongBlobError("there are bytes")

    def remove(self, blob_id: UUID, places: tuple[int, ...]) -> None:
        self.require_own()
        with _as_oserror():
            self.client.delete_object(Bucket=self.bucket, Key=self.key(blob_id))

    def kept(self) -> Iterator[Kept]:
        """Ages are by the service's own clock."""
        self.require_own(again=True)
        with _as_oserror():
            self._abort_left()
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
            for page in pages:
                now = _time_of(page)
                for entry in page.get("Contents", ()):
                    if blob_id := self._id_of(entry["Key"]):
                        yield Kept(blob_id, PLACE, (now - entry["LastModified"]).total_seconds())

    def _abort_left(self) -> None:
        """End uploads whose writer must have died."""
        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self.prefix)
        for page in pages:
            now = _time_of(page)
            for left in page.get("Uploads", ()):
                if self._id_of(left["Key"]) and (now - left["Initiated"]).total_seconds() > LEFT_S:
                    with contextlib.suppress(OSError):  # it is tried again; blobs are to be looked at all the same
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

    def __init__(self, store: S3Store, stored: Stored, end: int) -> None:
        self._store, self._stored, self._end = store, stored, end
        self._next = -1
        self._stream: StreamingBody | None = None

    def chunk(self, index: int) -> bytes:
        """A stream that breaks in the middle, perhaps since its reader was slow, is begun anew."""
        if self._stream is not None and index == self._next:
            with contextlib.suppress(OSError):
                return self._read(index)
        self._open(index)
        return self._read(index)

    def _read(self, index: int) -> bytes:
        assert self._stream is not None
        size = self._stored.chunk_size(index)
        with _as_oserror():
            chunk = self._stream.read(size)
        if len(chunk) < size:
            raise OSError("the S3 service cut its answer off")
        self._next = index + 1
        return chunk

    def _open(self, index: int) -> None:
        self.close()
        store, start = self._store, index * CHUNK
        with _as_oserror():
            found = store.client.get_object(
                Bucket=store.bucket, Key=store.key(self._stored.id), Range=f"bytes={start}-{self._end - 1}"
            )
        self._stream = found["Body"]
        self._require_portion(found, start)

    def _require_portion(self, found: GetObjectOutputTypeDef, start: int) -> None:
        """Raise WrongBlobError for a blob of another size, OSError for other bytes of it than were asked for."""
        is_part = found["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.PARTIAL_CONTENT
        length = found.get("ContentLength", 0)
        match = _PORTION.fullmatch(found.get("ContentRange", "") if is_part else f"bytes 0-{length - 1}/{length}")
        first, last, size = (int(number) for number in match.groups()) if match else (0, 0, self._stored.size)
        if size != self._stored.size:
            raise WrongBlobError(f"{size} bytes are there, not {self._stored.size}")
        if match is None or (first, last) != (start, self._end - 1):
            raise OSError("the S3 service answered other bytes than were asked for")

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
        with as_no_room(), _as_oserror():
            if not self._upload:
                self._upload = store.client.create_multipart_upload(**where)["UploadId"]
            number = len(self._parts) + 1
            done = store.client.upload_part(
                **where, UploadId=self._upload, PartNumber=number, Body=part, ContentMD5=_md5(part)
            )
            _require_kept(done)
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
                with as_no_room(), _as_oserror():
                    _require_kept(self._store.client.put_object(**self._where, Body=last, ContentMD5=_md5(last)))
        except NoRoomError:
            self._withdraw()
            raise
        return Stored(self.id, self._checksums.size, bytes(self._checksums), (PLACE,))

    def _complete(self) -> None:
        """The answer of a request that was done may have been lost, and its repetition refused: the blob tells."""
        try:
            with as_no_room(), _as_oserror():
                _require_kept(
                    self._store.client.complete_multipart_upload(
                        **self._where, UploadId=self._upload, MultipartUpload={"Parts": self._parts}
                    )
                )
        except NoRoomError:
            with as_no_room():
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


def _require_kept(answer: Mapping[str, Any]) -> None:
    """Raise OSError for an answer without an ETag: an empty 200 may come from anybody on the way."""
    if not answer.get("ETag"):
        raise OSError("the S3 service does not say what it kept")


def _md5(part: bytes) -> str:
    return b64encode(hashlib.md5(part, usedforsecurity=False).digest()).decode()


@contextlib.contextmanager
def _as_oserror() -> Iterator[None]:
    """Errors of the service and of the way there as OSError; FileNotFoundError for what is not there.

    Answers of the service are told by their code alone: its words may repeat what was sent.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in {"NoSuchKey", "NoSuchUpload", "404"}:
            raise FileNotFoundError(code) from None
        if code in {"InvalidRange", "416"}:
            raise WrongBlobError("it has not as many bytes") from None
        raise OSError(f"the S3 service answered {code}") from None
    except BotoCoreError as error:
        raise OSError(f"the S3 service could not be reached: {type(error).__name__}") from error
    except (ResponseParserError, HTTPError, KeyError, ValueError) as error:
        raise OSError(f"the S3 service gave no proper answer: {type(error).__name__}") from None


def _time_of(page: Mapping[str, Any]) -> datetime.datetime:
    """When the service answered, by its clock. Raises KeyError, ValueError where it does not say."""
    return email.utils.parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"]).astimezone(datetime.UTC)


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
