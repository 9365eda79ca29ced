"""The S3 API behind a real server, asked by the unmodified boto3 with a real access key."""

from __future__ import annotations

import io
import os
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from apps.identity.models import Credential
from apps.identity.services.epoch import change_epoch
from apps.objectstore.models import Blob, Bucket, Container
from tests.kit.s3 import boto, key_in_rows
from tests.kit.served import Server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.contract]

MIB = 2**20


@pytest.fixture
def alice(server: Server) -> Any:
    return boto(f"{server.url}/s3", key_in_rows("alice"))


def test_the_unmodified_client(server: Server, alice: Any) -> None:
    body = os.urandom(3 * MIB + 1)
    alice.create_bucket(Bucket="photos")
    made = alice.put_object(Bucket="photos", Key="dir/日本 1+~", Body=body, Metadata={"color": "blue"})
    got = alice.get_object(Bucket="photos", Key="dir/日本 1+~")
    assert (got["Body"].read(), got["Metadata"], got["ETag"]) == (body, {"color": "blue"}, made["ETag"])
    assert alice.get_object(Bucket="photos", Key="dir/日本 1+~", Range="bytes=5-9")["Body"].read() == body[5:10]
    alice.copy_object(Bucket="photos", Key="copy", CopySource={"Bucket": "photos", "Key": "dir/日本 1+~"})
    listed = alice.list_objects_v2(Bucket="photos", Delimiter="/")
    assert ([o["Key"] for o in listed["Contents"]], listed["CommonPrefixes"]) == (["copy"], [{"Prefix": "dir/"}])
    assert [o["Key"] for o in alice.list_objects(Bucket="photos")["Contents"]] == ["copy", "dir/日本 1+~"]
    with pytest.raises(ClientError) as caught:
        alice.delete_bucket(Bucket="photos")
    assert caught.value.response["Error"]["Code"] == "BucketNotEmpty"
    keys = [{"Key": "copy"}, {"Key": "dir/日本 1+~"}, {"Key": "none"}]
    assert len(alice.delete_objects(Bucket="photos", Delete={"Objects": keys})["Deleted"]) == 3
    alice.delete_bucket(Bucket="photos")
    assert alice.list_buckets()["Buckets"] == []


def test_addresses_that_are_signed(server: Server, alice: Any) -> None:
    alice.create_bucket(Bucket="photos")
    place = {"Bucket": "photos", "Key": "a b/ü"}
    put = urllib.request.Request(alice.generate_presigned_url("put_object", place), b"12345", method="PUT")
    with urllib.request.urlopen(put) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(alice.generate_presigned_url("get_object", place)) as answer:
        assert answer.read() == b"12345"


def test_a_stream_of_unknown_content(server: Server, alice: Any) -> None:
    body = os.urandom(3 * MIB)
    alice.create_bucket(Bucket="photos")
    alice.upload_fileobj(io.BytesIO(body), "photos", "a", Config=TransferConfig(multipart_threshold=8 * MIB))
    out = io.BytesIO()
    alice.download_fileobj("photos", "a", out)
    assert out.getvalue() == body


def test_paths_that_are_no_text(server: Server) -> None:
    for path in ("/s3/%FF", "/s3/photos/a%00b", "/s3/photos/%ED%A0%80"):
        status, _, body = server("GET", path, token="")
        assert (status, b"<Code>InvalidURI</Code>" in body) == (400, True)


def test_a_server_that_was_asked_too_much(server: Server, alice: Any) -> None:
    """Ten thousand headers end in the server, and the next request is answered."""
    headers: dict[str, Any] = {f"x_amz_meta_{n}": "1" for n in range(10_000)}
    status, *_ = server("GET", "/s3/", token="", **headers)
    assert status in {400, 431}
    assert alice.list_buckets()["Buckets"] == []


def test_keys_revoked_are_gone_at_once(server: Server) -> None:
    key = key_in_rows("alice")
    client = boto(f"{server.url}/s3", key)
    client.create_bucket(Bucket="photos")
    Credential.objects.all().delete()
    change_epoch()
    with pytest.raises(ClientError) as caught:
        client.list_buckets()
    assert caught.value.response["Error"]["Code"] == "InvalidAccessKeyId"


def outcomes(calls: list[Any]) -> Counter[str]:
    """What calls that are made at the same moment end with: S3's code, or "" for success."""
    together = Barrier(len(calls))

    def outcome(call: Any) -> str:
        together.wait()
        try:
            call()
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""

    with ThreadPoolExecutor(len(calls)) as pool:
        return Counter(pool.map(outcome, calls))


def test_one_of_many_gets_a_name(server: Server) -> None:
    clients = [boto(f"{server.url}/s3", key_in_rows(project)) for project in ("alice", "bob") for _ in range(4)]
    found = outcomes([partial(client.create_bucket, Bucket="race") for client in clients])
    assert found == {"": 1, "BucketAlreadyOwnedByYou": 3, "BucketAlreadyExists": 4}
    assert Bucket.objects.get().container.name == "race"
    assert Container.objects.count() == 1


def test_one_of_many_makes_an_object(server: Server, alice: Any) -> None:
    alice.create_bucket(Bucket="photos")
    key = key_in_rows("alice")
    clients = [boto(f"{server.url}/s3", key) for _ in range(8)]
    puts = [
        partial(client.put_object, Bucket="photos", Key="a", Body=bytes([n]) * 1000, IfNoneMatch="*")
        for n, client in enumerate(clients)
    ]
    assert outcomes(puts) == {"": 1, "PreconditionFailed": 7}
    first = alice.head_object(Bucket="photos", Key="a")["ETag"]
    puts = [
        partial(client.put_object, Bucket="photos", Key="a", Body=bytes([n]) * 2000, IfMatch=first)
        for n, client in enumerate(clients)
    ]
    assert outcomes(puts) == {"": 1, "PreconditionFailed": 7}
    assert len(alice.get_object(Bucket="photos", Key="a")["Body"].read()) == 2000
    assert Blob.objects.filter(unused_since=None).count() == 1
