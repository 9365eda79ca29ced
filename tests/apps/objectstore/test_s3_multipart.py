"""S3: objects in parts, checksums and encryption, call by call."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth

from apps.objectstore.models import Blob, Bucket, Object, Upload, UploadPart
from apps.objectstore.services import checksums, uploads
from tests.apps.objectstore.conftest import content
from tests.kit.http import context
from tests.kit.s3 import REGION, S3, code_of, plain

MOST = 2000  # bytes that parts but the last have at least, here
KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MIN_PART_BYTES", MOST)


def data(seed: int, size: int = MOST) -> bytes:
    return random.Random(seed).randbytes(size)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def customer(key: bytes = KEY, prefix: str = "x_amz_server_side_encryption_customer") -> dict[str, str]:
    digest = b64(hashlib.md5(key).digest())
    return {f"{prefix}_algorithm": "AES256", f"{prefix}_key": b64(key), f"{prefix}_key_MD5": digest}


SOURCE = "x_amz_copy_source_server_side_encryption_customer"


def begin(caller: S3, path: str = "/photos/big", **headers: Any) -> str:
    return caller.xml("POST", f"{path}?uploads", **headers).findtext("UploadId", "")


def part(caller: S3, upload: str, number: int, body: bytes, path: str = "/photos/big", **headers: Any) -> str:
    answer = caller("PUT", f"{path}?partNumber={number}&uploadId={upload}", body, **headers)
    assert answer.status_code == 200, answer.content
    return str(answer["ETag"])


def listing(*etags: str, sums: str = "") -> bytes:
    inner = "".join(
        f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag>{sums}</Part>" for n, etag in enumerate(etags, 1)
    )
    return f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>".encode()


def complete(caller: S3, upload: str, *etags: str, path: str = "/photos/big", **headers: Any) -> Any:
    return caller("POST", f"{path}?uploadId={upload}", listing(*etags), **headers)


def made(caller: S3, *bodies: bytes, path: str = "/photos/big", **headers: Any) -> Any:
    """An object of parts; returns the answer that completed it."""
    upload = begin(caller, path, **headers)
    keys = {name: value for name, value in headers.items() if "customer" in name}
    etags = [part(caller, upload, number, body, path, **keys) for number, body in enumerate(bodies, 1)]
    answer = complete(caller, upload, *etags, path=path)
    assert answer.status_code == 200, answer.content
    return answer


# --- parts -----------------------------------------------------------------------------------------


def test_an_object_of_parts(alice, alice_s3, bucket):
    upload = begin(alice_s3, x_amz_meta_color="blue")
    bodies = [data(1), data(2), data(3, 5)]
    etags = [part(alice_s3, upload, number, body) for number, body in enumerate(bodies, 1)]
    assert code_of(alice_s3("GET", "/photos/big")) == "NoSuchKey"
    answer = complete(alice_s3, upload, *etags)
    etag = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies)).hexdigest() + "-3"
    assert plain(answer.content).findtext("ETag") == f'"{etag}"'
    got = alice_s3("GET", "/photos/big")
    assert content(got) == b"".join(bodies)
    assert (got["ETag"], got["x-amz-meta-color"]) == (f'"{etag}"', "blue")
    assert alice.bytes("/photos/big", Range="bytes=1999-2000") == bodies[0][-1:] + bodies[1][:1]
    assert complete(alice_s3, upload, *etags).status_code == 200
    assert code_of(alice_s3("DELETE", f"/photos/big?uploadId={upload}")) == "NoSuchUpload"


def test_one_part_is_read_by_its_number(alice_s3, bucket):
    bodies = [data(1), data(2), data(3, 5)]
    made(alice_s3, *bodies)
    for number, body in enumerate(bodies, 1):
        got = alice_s3("GET", f"/photos/big?partNumber={number}")
        assert (got.status_code, content(got), got["x-amz-mp-parts-count"]) == (206, body, "3")
    head = alice_s3("HEAD", "/photos/big?partNumber=3")
    assert (head.status_code, head["Content-Length"]) == (206, "5")
    assert head["Content-Range"] == "bytes 4000-4004/4005"
    assert code_of(alice_s3("GET", "/photos/big?partNumber=4")) == "InvalidPartNumber"
    for wrong in ("0", "x", "10001", ""):
        assert code_of(alice_s3("GET", f"/photos/big?partNumber={wrong}")) == "InvalidArgument"
    assert code_of(alice_s3("GET", "/photos/big?partNumber=1", Range="bytes=0-1")) == "InvalidRequest"
    assert code_of(alice_s3("PUT", "/photos/big?partNumber=1", b"x")) == "InvalidArgument"
    alice_s3("PUT", "/photos/small", b"12")
    got = alice_s3("GET", "/photos/small?partNumber=1")
    assert (got.status_code, content(got)) == (206, b"12")
    assert "x-amz-mp-parts-count" not in got


def test_a_static_large_object_is_one_of_parts(alice, alice_s3, bucket):
    for number in (1, 2):
        alice.put(f"/photos/s/{number}", data(number, 50))
    manifest = b'[{"path": "/photos/s/1"}, {"path": "/photos/s/2", "range": "0-9"}]'
    assert alice.put("/photos/slo?multipart-manifest=put", manifest).status_code == 201
    got = alice_s3("GET", "/photos/slo")
    assert (content(got), got["ETag"].endswith('-2"')) == (data(1, 50) + data(2, 50)[:10], True)
    got = alice_s3("GET", "/photos/slo?partNumber=2")
    assert (content(got), got["x-amz-mp-parts-count"]) == (data(2, 50)[:10], "2")
    whole = alice_s3("HEAD", "/photos/slo")
    listed = alice_s3.xml("GET", "/photos?prefix=slo")
    assert listed.findtext("Contents/ETag") == whole["ETag"]
    assert alice_s3("GET", "/photos/slo", If_None_Match=whole["ETag"]).status_code == 304
    assert alice_s3("PUT", "/photos/slo", b"1", If_Match=whole["ETag"]).status_code == 200


def test_an_object_of_parts_has_a_manifest_of_ranges_of_itself(alice, alice_s3, bucket):
    made(alice_s3, data(1), data(2, 5))
    head = alice("HEAD", "/photos/big")
    assert "X-Static-Large-Object" not in head
    shown = alice("GET", "/photos/big?multipart-manifest=get").json()
    assert [(s["name"], s["range"], s["bytes"]) for s in shown] == [
        ("/photos/big", "0-1999", MOST),
        ("/photos/big", "2000-2004", 5),
    ]
    assert shown[1]["hash"] == hashlib.md5(data(2, 5)).hexdigest()
    raw = alice("GET", "/photos/big?multipart-manifest=get&format=raw").content
    assert alice.put("/photos/again?multipart-manifest=put", raw).status_code == 201
    assert alice.bytes("/photos/again") == data(1) + data(2, 5)
    assert alice("COPY", "/photos/big", Destination="photos/copy").status_code == 201
    assert alice.bytes("/photos/copy") == data(1) + data(2, 5)
    assert alice("HEAD", "/photos/copy")["Etag"] == hashlib.md5(data(1) + data(2, 5)).hexdigest()


def test_parts_may_be_copied(alice_s3, bucket):
    alice_s3("PUT", "/photos/source", data(1, 5000))
    upload = begin(alice_s3)
    path = f"/photos/big?partNumber=%s&uploadId={upload}"
    copy = {"x_amz_copy_source": "/photos/source"}
    first = alice_s3.xml("PUT", path % 1, **copy)
    second = alice_s3.xml("PUT", path % 2, **copy, x_amz_copy_source_range="bytes=10-19")
    etags = [document.findtext("ETag", "") for document in (first, second)]
    assert etags[1] == f'"{hashlib.md5(data(1, 5000)[10:20]).hexdigest()}"'
    for wrong in ("bytes=10-", "bytes=-5", "10-19", "bytes=9-8", "bytes=0-5000", "bytes=5000-5001"):
        assert code_of(alice_s3("PUT", path % 3, **copy, x_amz_copy_source_range=wrong)) == "InvalidArgument"
    assert code_of(alice_s3("PUT", path % 3, x_amz_copy_source="/photos/none")) == "NoSuchKey"
    assert complete(alice_s3, upload, *etags).status_code == 200
    assert content(alice_s3("GET", "/photos/big")) == data(1, 5000) + data(1, 5000)[10:20]


def test_parts_and_uploads_are_listed(alice_s3, bucket):
    upload, other = begin(alice_s3), begin(alice_s3, "/photos/a/1")
    part(alice_s3, upload, 2, b"22")
    part(alice_s3, upload, 7, b"7")
    found = alice_s3.xml("GET", f"/photos/big?uploadId={upload}&max-parts=1")
    assert [found.findtext(n) for n in ("Part/PartNumber", "Part/Size", "IsTruncated", "NextPartNumberMarker")] == [
        "2", "2", "true", "2",
    ]  # fmt: skip
    found = alice_s3.xml("GET", f"/photos/big?uploadId={upload}&part-number-marker=2")
    assert [e.text for e in found.iter("PartNumber")] == ["7"]
    found = alice_s3.xml("GET", "/photos?uploads")
    assert [e.text for e in found.iter("UploadId")] == [other, upload]
    found = alice_s3.xml("GET", "/photos?uploads&delimiter=%2F&max-uploads=1")
    assert (found.findtext("CommonPrefixes/Prefix"), found.findtext("NextKeyMarker")) == ("a/", "a/")
    found = alice_s3.xml("GET", "/photos?uploads&delimiter=%2F&key-marker=a%2F")
    assert [e.text for e in found.iter("Key")] == ["big"]
    assert code_of(alice_s3("GET", "/photos?uploads&key-marker=a&upload-id-marker=x")) == "InvalidArgument"
    assert alice_s3("DELETE", f"/photos/big?uploadId={upload}").status_code == 204
    assert code_of(alice_s3("GET", f"/photos/big?uploadId={upload}")) == "NoSuchUpload"


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<x/>",
        b"<CompleteMultipartUpload/>",
        b"<CompleteMultipartUpload><Part/></CompleteMultipartUpload>",
        b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber><ETag>1</ETag></Part></CompleteMultipartUpload>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><CompleteMultipartUpload>&b;</CompleteMultipartUpload>",
        listing(*["e"] * 10_001),
    ],
)
def test_lists_that_are_no_lists_are_refused(alice_s3, bucket, body):
    upload = begin(alice_s3)
    part(alice_s3, upload, 1, b"1")
    assert code_of(alice_s3("POST", f"/photos/big?uploadId={upload}", body)) in {
        "MalformedXML", "MissingRequestBodyError",
    }  # fmt: skip
    assert (Upload.objects.count(), Object.objects.count()) == (1, 0)


def test_a_part_beyond_the_last_number_is_refused(alice_s3, bucket):
    upload = begin(alice_s3)
    for number in ("10001", "0", "-1", "x", ""):
        answer = alice_s3("PUT", f"/photos/big?partNumber={number}&uploadId={upload}", b"x")
        assert (answer.status_code, code_of(answer)) == (400, "InvalidArgument")
    for wrong in ("x", "0" * 32):
        assert code_of(alice_s3("PUT", f"/photos/big?partNumber=1&uploadId={wrong}", b"x")) == "NoSuchUpload"
    assert not Blob.objects.exists()


def test_uploads_are_of_their_project(alice_s3, bob_s3, nobody_s3, bucket):
    upload = begin(alice_s3)
    etag = part(alice_s3, upload, 1, b"1")
    for caller in (bob_s3, nobody_s3):
        for method, path in (
            ("POST", "/photos/big?uploads"), ("PUT", f"/photos/big?partNumber=2&uploadId={upload}"),
            ("GET", f"/photos/big?uploadId={upload}"), ("DELETE", f"/photos/big?uploadId={upload}"),
            ("GET", "/photos?uploads"), ("GET", "/photos/big?attributes"),
        ):  # fmt: skip
            assert caller(method, path, x_amz_object_attributes="ETag").status_code == 403, (method, path)
        assert complete(caller, upload, etag).status_code == 403
    assert (Upload.objects.count(), UploadPart.objects.count(), Object.objects.count()) == (1, 1, 0)


def test_completing_has_conditions(alice_s3, bucket):
    upload = begin(alice_s3)
    etag = part(alice_s3, upload, 1, b"1")
    assert code_of(complete(alice_s3, upload, etag, If_Match='"x"')) == "NoSuchKey"
    old = alice_s3("PUT", "/photos/big", b"old")["ETag"]
    assert code_of(complete(alice_s3, upload, etag, If_None_Match="*")) == "PreconditionFailed"
    assert code_of(complete(alice_s3, upload, etag, If_Match='"x"')) == "PreconditionFailed"
    assert content(alice_s3("GET", "/photos/big")) == b"old"
    assert complete(alice_s3, upload, etag, If_Match=old).status_code == 200


def test_what_is_said_at_the_beginning_holds_at_the_end(alice_s3, s3_keys):
    alice_s3("PUT", "/locked", x_amz_bucket_object_lock_enabled="true")
    until = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    lock = {"x_amz_object_lock_mode": "COMPLIANCE", "x_amz_object_lock_retain_until_date": until.isoformat()}
    upload = begin(alice_s3, "/locked/a", x_amz_tagging="color=blue", **lock, x_amz_object_lock_legal_hold="ON")
    etag = part(alice_s3, upload, 1, b"1", "/locked/a")
    answer = complete(alice_s3, upload, etag, path="/locked/a")
    found = Object.objects.get()
    assert (found.tags, found.lock_mode, found.retain_until, found.legal_hold) == (
        {"color": "blue"}, "COMPLIANCE", until, True,
    )  # fmt: skip
    refused = alice_s3("DELETE", f"/locked/a?versionId={answer['x-amz-version-id']}")
    assert code_of(refused) == "AccessDenied"
    assert content(alice_s3("GET", f"/locked/a?versionId={answer['x-amz-version-id']}&partNumber=1")) == b"1"


def test_attributes(alice_s3, bucket):
    made(alice_s3, data(1), data(2, 5), x_amz_checksum_algorithm="CRC32", x_amz_checksum_type="FULL_OBJECT")
    wanted = {"x_amz_object_attributes": "ETag,Checksum,ObjectParts,StorageClass,ObjectSize"}
    found = alice_s3.xml("GET", "/photos/big?attributes", **wanted)
    whole = checksums.digests_of(data(1) + data(2, 5), ["CRC32"])["CRC32"]
    assert (found.findtext("Checksum/ChecksumCRC32"), found.findtext("Checksum/ChecksumType")) == (whole, "FULL_OBJECT")
    assert (found.findtext("ObjectSize"), found.findtext("ETag", "")[-2:]) == ("2005", "-2")
    assert (found.findtext("ObjectParts/PartsCount"), [e.text for e in found.iter("Size")]) == ("2", ["2000", "5"])
    found = alice_s3.xml("GET", "/photos/big?attributes", **wanted, x_amz_max_parts="1", x_amz_part_number_marker="1")
    assert ([e.text for e in found.iter("PartNumber")], found.findtext("ObjectParts/IsTruncated")) == (["2"], "false")
    assert code_of(alice_s3("GET", "/photos/big?attributes", x_amz_object_attributes="Colour")) == "InvalidArgument"
    alice_s3("PUT", "/photos/small", b"1")
    found = alice_s3.xml("GET", "/photos/small?attributes", **wanted)
    assert (found.find("ObjectParts"), found.findtext("ObjectSize")) == (None, "1")


# --- checksums -------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", checksums.ALGORITHMS)
def test_a_checksum_is_compared_kept_and_given_back(alice_s3, bucket, algorithm):
    header = f"x_amz_checksum_{algorithm.lower()}"
    value = checksums.digests_of(b"bytes", [algorithm])[algorithm]
    answer = alice_s3("PUT", "/photos/a", b"bytes", **{header: value}, x_amz_sdk_checksum_algorithm=algorithm)
    name = header.replace("_", "-")
    assert (answer[name], answer["x-amz-checksum-type"]) == (value, "FULL_OBJECT")
    refused = alice_s3("PUT", "/photos/a", b"other", **{header: value})
    assert code_of(refused) == "BadDigest"
    got = alice_s3("GET", "/photos/a", x_amz_checksum_mode="ENABLED")
    assert (content(got), got[name]) == (b"bytes", value)
    assert name not in alice_s3("GET", "/photos/a")
    assert name not in alice_s3("GET", "/photos/a", Range="bytes=0-1", x_amz_checksum_mode="ENABLED")
    assert alice_s3("HEAD", "/photos/a", x_amz_checksum_mode="ENABLED")[name] == value
    copied = alice_s3.xml("PUT", "/photos/b", x_amz_copy_source="photos/a")
    assert copied.findtext(f"Checksum{algorithm}") == value


def test_without_one_the_store_keeps_its_own(alice_s3, bucket):
    alice_s3("PUT", "/photos/a", b"bytes")
    got = alice_s3("HEAD", "/photos/a", x_amz_checksum_mode="ENABLED")
    assert got["x-amz-checksum-crc64nvme"] == checksums.digests_of(b"bytes", ["CRC64NVME"])["CRC64NVME"]
    copied = alice_s3.xml("PUT", "/photos/b", x_amz_copy_source="photos/a", x_amz_checksum_algorithm="SHA256")
    assert copied.findtext("ChecksumSHA256") == b64(hashlib.sha256(b"bytes").digest())


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x_amz_checksum_crc32": "x"}, "InvalidRequest"),
        ({"x_amz_checksum_crc32": "AAAAAA==", "x_amz_checksum_crc32c": "AAAAAA=="}, "InvalidRequest"),
        ({"x_amz_checksum_crc32": "AAAAAA==", "x_amz_sdk_checksum_algorithm": "SHA1"}, "InvalidRequest"),
        ({"x_amz_sdk_checksum_algorithm": "SHA1"}, "InvalidRequest"),
        ({"x_amz_sdk_checksum_algorithm": "MD5"}, "InvalidRequest"),
        ({"x_amz_checksum_sha1": b64(bytes(20))}, "BadDigest"),
        ({"Content_MD5": b64(bytes(16))}, "BadDigest"),
        ({"Content_MD5": "x"}, "InvalidDigest"),
    ],
)
def test_checksums_that_are_wrong_keep_nothing(alice_s3, bucket, headers, code):
    assert code_of(alice_s3("PUT", "/photos/a", b"bytes", **headers)) == code
    upload = begin(alice_s3)
    assert code_of(alice_s3("PUT", f"/photos/big?partNumber=1&uploadId={upload}", b"bytes", **headers)) == code
    assert not Blob.objects.exists()


class Trailing(S3SigV4Auth):
    """Signs a request whose body comes in chunks that are not signed."""

    def payload(self, request: Any) -> str:
        return "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


@pytest.fixture
def chunks_s3(s3_keys: None) -> S3:
    """Alice, sending bodies in chunks."""
    return S3(context("alice"), signer=lambda key: Trailing(key, "s3", REGION))


def trailing(caller: S3, path: str, body: bytes, algorithm: str, value: str, **headers: Any) -> Any:
    """A PUT whose checksum comes behind the body."""
    name = f"x-amz-checksum-{algorithm.lower()}"
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    wire = chunk + f"0\r\n{name}:{value}\r\n\r\n".encode()
    said: dict[str, Any] = {
        "x_amz_decoded_content_length": str(len(body)),
        "x_amz_trailer": name,
        "Content_Encoding": "aws-chunked",
    }
    return caller("PUT", path, wire, **said, **headers)


@pytest.mark.slow
@pytest.mark.parametrize("body", [b"bytes", b""])
@pytest.mark.parametrize("algorithm", checksums.ALGORITHMS)
def test_a_checksum_behind_the_body(alice_s3, chunks_s3, bucket, algorithm, body):
    right, wrong = (checksums.digests_of(data, [algorithm])[algorithm] for data in (body, b"other"))
    upload = begin(alice_s3)
    for path in ("/photos/a", f"/photos/big?partNumber=1&uploadId={upload}"):
        answer = trailing(chunks_s3, path, body, algorithm, wrong)
        assert code_of(answer) == "BadDigest", answer.content
        assert code_of(trailing(chunks_s3, path, body, algorithm, "x")) == "InvalidRequest"
        assert not Blob.objects.exists()
    assert (Object.objects.count(), UploadPart.objects.count()) == (0, 0)
    answer = trailing(chunks_s3, "/photos/a", body, algorithm, right, x_amz_sdk_checksum_algorithm=algorithm)
    assert answer[f"x-amz-checksum-{algorithm.lower()}"] == right
    got = alice_s3("GET", "/photos/a", x_amz_checksum_mode="ENABLED")
    assert (content(got), got[f"x-amz-checksum-{algorithm.lower()}"]) == (body, right)
    assert "Content-Encoding" not in got


def test_a_trailer_that_nobody_knows_is_refused(chunks_s3, bucket):
    answer = chunks_s3(
        "PUT", "/photos/a", b"1\r\n1\r\n0\r\nx-amz-colour:1\r\n\r\n", x_amz_decoded_content_length="1",
        x_amz_trailer="x-amz-colour",
    )  # fmt: skip
    assert code_of(answer) == "InvalidRequest"
    assert not Blob.objects.exists()


def test_composite_checksums_of_parts(alice_s3, bucket):
    upload = begin(alice_s3, x_amz_checksum_algorithm="SHA256")
    digest = hashlib.sha256(data(1)).digest()
    etag = part(alice_s3, upload, 1, data(1), x_amz_checksum_sha256=b64(digest))
    assert code_of(complete(alice_s3, upload, etag)) == "InvalidRequest"
    body = listing(etag, sums=f"<ChecksumSHA256>{b64(digest)}</ChecksumSHA256>")
    found = alice_s3.xml("POST", f"/photos/big?uploadId={upload}", body)
    value = f"{b64(hashlib.sha256(digest).digest())}-1"
    assert (found.findtext("ChecksumSHA256"), found.findtext("ChecksumType")) == (value, "COMPOSITE")
    got = alice_s3("HEAD", "/photos/big", x_amz_checksum_mode="ENABLED")
    assert (got["x-amz-checksum-sha256"], got["x-amz-checksum-type"]) == (value, "COMPOSITE")
    one = alice_s3("HEAD", "/photos/big?partNumber=1", x_amz_checksum_mode="ENABLED")
    assert (one["x-amz-checksum-sha256"], one["x-amz-checksum-type"]) == (b64(digest), "COMPOSITE")


def test_conditions_on_the_object_hold_for_its_parts(alice_s3, bucket):
    """Requests with parts do not say again how the object is encrypted and tagged."""
    wanted = {"StringNotEquals": {"s3:x-amz-server-side-encryption": "AES256"}}
    tagged = {"StringNotEquals": {"s3:RequestObjectTag/team": "red"}}
    everything = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::photos/*"}
    found = {"Version": "2012-10-17", "Statement": [everything | {"Condition": one} for one in (wanted, tagged)]}
    assert alice_s3("PUT", "/photos?policy", json.dumps(found).encode()).status_code == 204
    assert alice_s3("POST", "/photos/big?uploads", x_amz_tagging="team=red").status_code == 403
    upload = begin(alice_s3, "/photos/big", x_amz_server_side_encryption="AES256", x_amz_tagging="team=red")
    etag = part(alice_s3, upload, 1, data(1))
    assert complete(alice_s3, upload, etag).status_code == 200
    assert Object.objects.get().tags == {"team": "red"}


# --- encryption ------------------------------------------------------------------------------------

SECRET = b"This is what nobody else shall read. " * 100


def on_disk(disks: list[Path]) -> bytes:
    return b"".join(file.read_bytes() for disk in disks for file in disk.rglob("*") if file.is_file())


def test_with_keys_of_the_store(alice, alice_s3, bucket, disks):
    answer = alice_s3("PUT", "/photos/a", SECRET, x_amz_server_side_encryption="AES256")
    assert answer["x-amz-server-side-encryption"] == "AES256"
    assert answer["ETag"] == f'"{hashlib.md5(SECRET).hexdigest()}"'
    assert len(on_disk(disks)) > 3 * len(SECRET)
    assert b"nobody else" not in on_disk(disks)
    got = alice_s3("GET", "/photos/a", Range="bytes=8-35")
    assert (content(got), got["x-amz-server-side-encryption"]) == (SECRET[8:36], "AES256")
    assert alice.bytes("/photos/a") == SECRET
    assert alice("HEAD", "/photos")["X-Container-Bytes-Used"] == str(len(SECRET))


def test_with_the_callers_keys(alice, alice_s3, bucket, disks):
    answer = alice_s3("PUT", "/photos/a", SECRET, **customer())
    told = "x-amz-server-side-encryption-customer-key-MD5"
    assert answer[told] == b64(hashlib.md5(KEY).digest())
    assert answer["ETag"] != f'"{hashlib.md5(SECRET).hexdigest()}"'
    assert b"nobody else" not in on_disk(disks)
    assert b64(KEY) not in str(Object.objects.values().get())
    got = alice_s3("GET", "/photos/a", Range="bytes=8-35", **customer())
    assert (content(got), got[told]) == (SECRET[8:36], answer[told])
    assert alice_s3("HEAD", "/photos/a", **customer()).status_code == 200
    for method in ("GET", "HEAD"):
        assert alice_s3(method, "/photos/a").status_code == 400
        assert alice_s3(method, "/photos/a", **customer(bytes(32))).status_code == 403
        assert alice(method, "/photos/a").status_code == 400
    assert alice("COPY", "/photos/a", Destination="photos/b").status_code == 400
    alice_s3("PUT", "/photos/open", b"1")
    assert code_of(alice_s3("GET", "/photos/open", **customer())) == "InvalidRequest"
    assert Object.objects.count() == 2


@pytest.mark.parametrize("size", [0, 1])
def test_small_ones_too(alice_s3, bucket, size):
    for headers in (customer(), {"x_amz_server_side_encryption": "AES256"}):
        assert alice_s3("PUT", "/photos/a", b"x" * size, **headers).status_code == 200
        keys = headers if "customer" in str(headers) else {}
        assert content(alice_s3("GET", "/photos/a", **keys)) == b"x" * size


@pytest.mark.slow
def test_copies_between_ways_of_encryption(alice_s3, bucket, disks):
    alice_s3("PUT", "/photos/0", SECRET)
    ways: list[dict[str, str]] = [{}, {"x_amz_server_side_encryption": "AES256"}, customer(), customer(bytes(32))]
    reading: list[dict[str, str]] = [{}, {}, customer(), customer(bytes(32))]
    source: list[dict[str, str]] = [{}, {}, customer(KEY, SOURCE), customer(bytes(32), SOURCE)]
    for number, (way, key) in enumerate(zip(ways, reading, strict=True)):
        assert alice_s3("PUT", f"/photos/{number}", SECRET, **way).status_code == 200
        for target, (other, opens) in enumerate(zip(ways, reading, strict=True)):
            copied = alice_s3(
                "PUT", f"/photos/to{target}", x_amz_copy_source=f"photos/{number}", **other, **source[number]
            )
            assert copied.status_code == 200, copied.content
            assert content(alice_s3("GET", f"/photos/to{target}", **opens)) == SECRET
        assert content(alice_s3("GET", f"/photos/{number}", **key)) == SECRET
    assert alice_s3("PUT", "/photos/x", x_amz_copy_source="photos/2").status_code == 400
    changed = alice_s3("PUT", "/photos/0", x_amz_copy_source="photos/0", x_amz_server_side_encryption="AES256")
    assert changed.status_code == 200
    assert alice_s3("HEAD", "/photos/0")["x-amz-server-side-encryption"] == "AES256"


def test_copies_of_what_is_encrypted_are_encrypted(alice, alice_s3, bucket, disks):
    alice_s3("PUT", "/photos/a", SECRET, x_amz_server_side_encryption="AES256")
    alice_s3("PUT", "/photos/b", SECRET, **customer())
    alice.put("/photos/slo?multipart-manifest=put", b'[{"path": "/photos/a"}]')
    for name in ("a", "slo"):
        alice("COPY", f"/photos/{name}", Destination=f"photos/swift-{name}")
        alice_s3("PUT", f"/photos/s3-{name}", x_amz_copy_source=f"photos/{name}")
    alice_s3("PUT", "/photos/s3-b", x_amz_copy_source="photos/b", **customer(KEY, SOURCE))
    for name in ("swift-a", "swift-slo", "s3-a", "s3-slo", "s3-b"):
        got = alice_s3("GET", f"/photos/{name}")
        assert (content(got), got["x-amz-server-side-encryption"]) == (SECRET, "AES256")
    assert b"nobody else" not in on_disk(disks)


@pytest.mark.parametrize("headers", [{"x_amz_server_side_encryption": "AES256"}, customer()])
def test_parts_are_encrypted(alice_s3, bucket, disks, headers):
    keys = headers if "customer" in str(headers) else {}
    bodies = [SECRET, SECRET[:100]]
    made(alice_s3, *bodies, **headers)
    path = f"/photos/other?partNumber=1&uploadId={begin(alice_s3, '/photos/other', **headers)}"
    one = alice_s3("PUT", path, SECRET, **keys)
    told = "x-amz-server-side-encryption" + ("-customer-algorithm" if keys else "")
    assert one[told] == "AES256"
    refused = alice_s3("PUT", path, SECRET, x_amz_server_side_encryption="AES256")
    assert code_of(refused) == "InvalidArgument"
    assert b"nobody else" not in on_disk(disks)
    assert content(alice_s3("GET", "/photos/big", **keys)) == b"".join(bodies)
    assert content(alice_s3("GET", "/photos/big?partNumber=2", **keys)) == bodies[1]
    if keys:
        assert alice_s3("GET", "/photos/big").status_code == 400
        upload = begin(alice_s3, **headers)
        refused = alice_s3("PUT", f"/photos/big?partNumber=1&uploadId={upload}", b"x")
        assert code_of(refused) == "InvalidRequest"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x_amz_server_side_encryption": "aws:kms"}, "NotImplemented"),
        (
            {"x_amz_server_side_encryption": "AES256", "x_amz_server_side_encryption_aws_kms_key_id": "k"},
            "NotImplemented",
        ),
        ({"x_amz_server_side_encryption": "ROT13"}, "InvalidArgument"),
        ({"x_amz_server_side_encryption": "AES256"} | customer(), "InvalidArgument"),
        (customer(b"short"), "InvalidArgument"),
        (customer() | {"x_amz_server_side_encryption_customer_key_MD5": b64(bytes(16))}, "InvalidArgument"),
        (customer() | {"x_amz_server_side_encryption_customer_algorithm": "DES"}, "InvalidEncryptionAlgorithmError"),
        ({"x_amz_server_side_encryption_customer_algorithm": "AES256"}, "InvalidArgument"),
        ({"x_amz_server_side_encryption_customer_key": b64(KEY)}, "InvalidArgument"),
    ],
)
def test_what_cannot_be_promised_is_refused(alice_s3, bucket, headers, code):
    assert code_of(alice_s3("PUT", "/photos/a", b"1", **headers)) == code
    assert code_of(alice_s3("POST", "/photos/a?uploads", **headers)) == code
    assert (Object.objects.count(), Upload.objects.count()) == (0, 0)


def test_a_readers_words_about_keys_of_the_store_are_refused(alice_s3, bucket):
    alice_s3("PUT", "/photos/a", b"1")
    answer = alice_s3("GET", "/photos/a", x_amz_server_side_encryption="AES256")
    assert code_of(answer) == "InvalidArgument"


def test_a_key_in_the_clear_is_refused(alice_s3, bucket):
    alice_s3.client.defaults["REMOTE_ADDR"] = "192.0.2.1"
    assert code_of(alice_s3("PUT", "/photos/a", b"1", **customer())) == "InvalidRequest"
    assert not Object.objects.exists()
    alice_s3.client.defaults["HTTP_X_FORWARDED_PROTO"] = "https"
    assert alice_s3("PUT", "/photos/a", b"1", **customer()).status_code == 200


def test_a_buckets_default_holds_for_all_who_write(alice, alice_s3, bucket, disks):
    Bucket.objects.update(documents={"encryption": {"algorithm": "AES256"}})
    alice_s3("PUT", "/photos/a", SECRET)
    alice.put("/photos/b", SECRET)
    made(alice_s3, SECRET)
    assert b"nobody else" not in on_disk(disks)
    for name in ("a", "b", "big"):
        got = alice_s3("GET", f"/photos/{name}")
        assert (content(got), got["x-amz-server-side-encryption"]) == (SECRET, "AES256")
