"""Uploads in parts, checksums and encryption through a real server, asked by the unmodified boto3."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from apps.objectstore.models import Blob, Upload
from apps.objectstore.services import checksums
from tests.kit.s3 import boto, key_in_rows
from tests.kit.served import Server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.contract]

MIB = 2**20
PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
MARKED = b"what nobody else shall read on any disk " * 64


@pytest.fixture
def alice(server: Server) -> Any:
    client = boto(f"{server.url}/s3", key_in_rows("alice"), max_pool_connections=8)
    client.create_bucket(Bucket="photos")
    return client


def found_on_disk(tmp_path: Path, text: bytes) -> bool:
    return any(text in file.read_bytes() for file in tmp_path.glob("disk*/**/*") if file.is_file())


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.parametrize(
    "way",
    [
        {},
        {"ChecksumAlgorithm": "CRC32C"},
        {"ChecksumAlgorithm": "CRC64NVME"},
        {"ServerSideEncryption": "AES256", "ChecksumAlgorithm": "SHA256"},
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": bytes(range(32))},
    ],
)
def test_a_file_in_parts_by_many_threads(server: Server, alice: Any, tmp_path: Path, way: dict[str, Any]) -> None:
    body = MARKED + os.urandom(16 * MIB + 12_345)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(body)
    alice.upload_file(str(source), "photos", "big", ExtraArgs=way, Config=PARTS)
    reading = {name: value for name, value in way.items() if name.startswith("SSE")}
    alice.download_file("photos", "big", str(target), ExtraArgs=reading, Config=PARTS)
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(body).digest()
    head = alice.head_object(Bucket="photos", Key="big", ChecksumMode="ENABLED", **reading)
    assert (head["ContentLength"], head["ETag"].endswith('-4"')) == (len(body), True)
    is_encrypted = any(name.startswith(("SSE", "ServerSide")) for name in way)
    assert found_on_disk(tmp_path, MARKED[:200]) is not is_encrypted
    part = alice.get_object(Bucket="photos", Key="big", PartNumber=4, ChecksumMode="ENABLED", **reading)
    assert (part["Body"].read(), part["PartsCount"]) == (body[15 * MIB :], 4)
    assert Upload.objects.count() == 0


@pytest.mark.parametrize("algorithm", checksums.ALGORITHMS)
def test_every_checksum_of_the_unmodified_client(server: Server, alice: Any, algorithm: str) -> None:
    body = os.urandom(MIB + 3)
    value = checksums.digests_of(body, [algorithm])[algorithm]
    made = alice.put_object(Bucket="photos", Key="a", Body=io.BytesIO(body), ChecksumAlgorithm=algorithm)
    assert made[f"Checksum{algorithm}"] == value
    got = alice.get_object(Bucket="photos", Key="a", ChecksumMode="ENABLED")
    assert (got["Body"].read(), got[f"Checksum{algorithm}"], got["ChecksumType"]) == (body, value, "FULL_OBJECT")
    told = alice.get_object_attributes(Bucket="photos", Key="a", ObjectAttributes=["Checksum", "ObjectSize"])
    assert (told["Checksum"][f"Checksum{algorithm}"], told["ObjectSize"]) == (value, len(body))
    wrong = {f"Checksum{algorithm}": checksums.digests_of(b"", [algorithm])[algorithm]}
    assert code_of(alice.put_object, Bucket="photos", Key="b", Body=body, **wrong) == "BadDigest"


def test_the_course_of_an_upload(server: Server, alice: Any) -> None:
    at = {"Bucket": "photos", "Key": "big"}
    upload = alice.create_multipart_upload(**at, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    told = {**at, "UploadId": upload["UploadId"]}
    bodies = [os.urandom(5 * MIB), os.urandom(100)]
    parts = []
    for number, body in enumerate(bodies, 1):
        made = alice.upload_part(**told, PartNumber=number, Body=body, ChecksumAlgorithm="CRC32")
        parts.append({"PartNumber": number, "ETag": made["ETag"], "ChecksumCRC32": made["ChecksumCRC32"]})
    assert [part["Size"] for part in alice.list_parts(**told)["Parts"]] == [5 * MIB, 100]
    assert [u["UploadId"] for u in alice.list_multipart_uploads(Bucket="photos")["Uploads"]] == [upload["UploadId"]]
    assert code_of(alice.upload_part, **told, PartNumber=10_001, Body=b"x") == "InvalidArgument"
    swapped = {"Parts": [parts[1], parts[0]]}
    assert code_of(alice.complete_multipart_upload, **told, MultipartUpload=swapped) == "InvalidPartOrder"
    whole = checksums.digests_of(b"".join(bodies), ["CRC32"])["CRC32"]
    refused = {"MultipartUpload": {"Parts": parts}, "ChecksumCRC32": "AAAAAA==", "ChecksumType": "FULL_OBJECT"}
    assert code_of(alice.complete_multipart_upload, **told, **refused) == "BadDigest"
    done = alice.complete_multipart_upload(**told, **refused | {"ChecksumCRC32": whole})
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (whole, "FULL_OBJECT")
    again = alice.complete_multipart_upload(**told, MultipartUpload={"Parts": parts})
    assert again["ETag"] == done["ETag"]
    alice.copy({"Bucket": "photos", "Key": "big"}, "photos", "copy", Config=PARTS)
    assert alice.get_object(Bucket="photos", Key="copy")["Body"].read() == b"".join(bodies)


def test_an_upload_that_is_given_up_leaves_nothing(server: Server, alice: Any) -> None:
    at = {"Bucket": "photos", "Key": "big"}
    told = {**at, "UploadId": alice.create_multipart_upload(**at)["UploadId"]}
    alice.upload_part(**told, PartNumber=1, Body=os.urandom(MIB))
    alice.abort_multipart_upload(**told)
    assert code_of(alice.upload_part, **told, PartNumber=1, Body=b"x") == "NoSuchUpload"
    assert not Blob.objects.filter(unused_since=None).exists()
    alice.delete_bucket(Bucket="photos")


@pytest.mark.kill
def test_a_server_that_is_killed_while_parts_come_in(server: Server, alice: Any) -> None:
    """Every part that was answered is there with its bytes; whatever was not is as if it had never come."""
    at = {"Bucket": "photos", "Key": "big"}
    told = {**at, "UploadId": alice.create_multipart_upload(**at, ServerSideEncryption="AES256")["UploadId"]}
    bodies = {number: bytes([number]) + os.urandom(5 * MIB) for number in range(1, 13)}
    answered: dict[int, str] = {}
    first = Lock()

    def put(number: int) -> None:
        with contextlib.suppress(BotoCoreError, ClientError):
            answered[number] = alice.upload_part(**told, PartNumber=number, Body=bodies[number])["ETag"]
        if len(answered) >= 4 and first.acquire(blocking=False):
            server.kill()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, bodies))
    assert 4 <= len(answered) < len(bodies)
    server.start()
    listed = {part["PartNumber"]: part["ETag"] for part in alice.list_parts(**told)["Parts"]}
    assert answered.items() <= listed.items()
    assert all(etag == f'"{hashlib.md5(bodies[number]).hexdigest()}"' for number, etag in listed.items())
    assert Blob.objects.filter(unused_since=None).count() == len(listed)
    for number in bodies.keys() - listed.keys():
        listed[number] = alice.upload_part(**told, PartNumber=number, Body=bodies[number])["ETag"]
    parts = [{"PartNumber": number, "ETag": listed[number]} for number in sorted(listed)]
    alice.complete_multipart_upload(**told, MultipartUpload={"Parts": parts})
    assert alice.get_object(**at)["Body"].read() == b"".join(bodies[number] for number in sorted(bodies))
    assert Blob.objects.filter(unused_since=None).count() == len(bodies)
