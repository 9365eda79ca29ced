"""Bodies of S3 requests: plain and in chunks, whole or not what they were announced to be."""

from __future__ import annotations

import base64
import hashlib
import io
from functools import partial
from typing import Any

import pytest

from apps.core.context import RequestContext
from apps.objectstore.api.s3 import signatures
from apps.objectstore.api.s3.chunked import Body, body_of
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.api.s3.signatures import Chain, Signed, signing_key
from apps.objectstore.models import Blob, Object
from tests.kit.s3 import code_of

KIB = 2**10
CTX = RequestContext()

# --- Amazon's published example (S3 API reference, "Transferring payload in multiple chunks") ---

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SCOPE = "20130524/us-east-1/s3/aws4_request"
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
CHAIN = Chain(signing_key(SECRET, SCOPE), "20130524T000000Z", SCOPE, SEED)
EXAMPLE_SIGNATURES = (
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
)
EXAMPLE = b"".join(
    b"%x;chunk-signature=%s\r\n%s\r\n" % (len(data), signature.encode(), data)
    for data, signature in zip((b"a" * 64 * KIB, b"a" * KIB, b""), EXAMPLE_SIGNATURES, strict=True)
)


def read(body: Body, piece: int = 10_000) -> bytes:
    found = b""
    while got := body.read(piece):
        assert len(got) <= piece
        found += got
    return found


def chunked(
    wire: bytes, size: int, kind: str, *, chain: Chain | None = CHAIN, trailer: str = "", **headers: str
) -> Body:
    announced = {"Content-Length": str(len(wire)), "X-Amz-Decoded-Content-Length": str(size), "X-Amz-Trailer": trailer}
    signed = Signed(CTX, "AWS4-HMAC-SHA256", "REST-HEADER", None, "", kind, chain)
    return body_of(announced | headers, signed, io.BytesIO(wire))


@pytest.mark.parametrize("piece", [1, 1000, 2**20])
def test_amazons_example_of_signed_chunks(piece: int) -> None:
    body = chunked(EXAMPLE, 65 * KIB, signatures.STREAMING_SIGNED)
    assert (body.size, read(body, piece)) == (65 * KIB, b"a" * 65 * KIB)


# Amazon's example with trailers: the same chunks with other signatures, and a checksum signed behind them.
TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
TRAILER_SIGNATURES = (
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
)
TRAILER = b"x-amz-checksum-crc32c:sOO8/Q==\n"
TRAILER_SIGNATURE = b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"


def test_amazons_example_of_signed_trailers() -> None:
    data = (b"a" * 64 * KIB, b"a" * KIB)
    wire = b"".join(
        b"%x;chunk-signature=%s\r\n%s\r\n" % (len(chunk), signature.encode(), chunk)
        for chunk, signature in zip(data, TRAILER_SIGNATURES[:2], strict=True)
    )
    wire += b"0;chunk-signature=%s\r\n" % TRAILER_SIGNATURES[2].encode() + TRAILER
    wire += b"x-amz-trailer-signature:" + TRAILER_SIGNATURE + b"\r\n\r\n"
    chain = Chain(CHAIN.key, CHAIN.stamp, SCOPE, TRAILER_SEED)
    kind = signatures.STREAMING_SIGNED_TRAILER
    body = chunked(wire, 65 * KIB, kind, chain=chain, trailer="x-amz-checksum-crc32c")
    assert read(body) == b"a" * 65 * KIB
    assert body.trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}
    for wrong in (wire.replace(b"sOO8", b"sOO9"), wire.replace(TRAILER_SIGNATURE, b"0" * 64)):
        with pytest.raises(S3Error, match="signature"):
            read(chunked(wrong, 65 * KIB, kind, chain=chain, trailer="x-amz-checksum-crc32c"))


def test_unsigned_chunks_with_a_trailer() -> None:
    wire = b"5\r\nhello\r\n6\r\n world\r\n0\r\nX-Amz-Checksum-Crc32: DUoRhQ==\r\n\r\n"
    kind = signatures.STREAMING_UNSIGNED_TRAILER
    body = chunked(wire, 11, kind, chain=None, trailer="x-amz-checksum-crc32")
    assert (read(body, 3), body.trailers) == (b"hello world", {"x-amz-checksum-crc32": "DUoRhQ=="})


def test_chunks_of_every_size_in_pieces_of_every_size() -> None:
    data = [bytes([n % 256]) * (n % 7 + 1) for n in range(10_000)] + [b"x" * 200_000]
    wire = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in data) + b"0\r\na:1\r\n\r\n"
    whole = b"".join(data)
    for piece in (5, 2**20):
        body = chunked(wire, len(whole), signatures.STREAMING_UNSIGNED_TRAILER, chain=None, trailer="a")
        assert b"".join(iter(partial(body.read, piece), b"")) == whole
        assert body.trailers == {"a": "1"}


UNSIGNED_WRONG = [
    (b"5\r\nhello\r\n", 5, "a", "IncompleteBody"),
    (b"5\r\nhel", 5, "a", "IncompleteBody"),
    (b"", 5, "a", "IncompleteBody"),
    (b"5\r\nhello\r\n0\r\n\r\n", 6, "a", "IncompleteBody"),
    (b"5\r\nhello\r\n0\r\n\r\n", 4, "a", "IncompleteBody"),
    (b"0\r\n\r\n", 1, "a", "IncompleteBody"),
    (b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n", 5, "a", "InvalidRequest"),
    (b"-5\r\nhello\r\n0\r\n\r\n", 5, "a", "InvalidRequest"),
    (b"five\r\nhello\r\n0\r\n\r\n", 5, "a", "InvalidRequest"),
    (b"5" * 100_000, 5, "a", "InvalidRequest"),
    (b"4\r\nhello\r\n0\r\n\r\n", 5, "a", "InvalidRequest"),
    (b"5\r\nhello\r\n0\r\nno trailer\r\n\r\n", 5, "x-amz-checksum-crc32", "MalformedTrailerError"),
    (b"5\r\nhello\r\n0\r\n\r\n", 5, "x-amz-checksum-crc32", "MalformedTrailerError"),
    (b"5\r\nhello\r\n0\r\na:1\r\na:1\r\n\r\n", 5, "a", "MalformedTrailerError"),
    (b"5\r\nhello\r\n0\r\n" + b"".join(b"a%d:1\r\n" % n for n in range(99)), 5, "a", "MalformedTrailerError"),
]


@pytest.mark.parametrize(("wire", "size", "trailer", "code"), UNSIGNED_WRONG)
def test_chunks_that_are_none(wire: bytes, size: int, trailer: str, code: str) -> None:
    """The last byte never comes out of a body that is not whole."""
    body = None
    found = b""
    with pytest.raises(S3Error) as caught:  # noqa: PT012
        body = chunked(wire, size, signatures.STREAMING_UNSIGNED_TRAILER, chain=None, trailer=trailer)
        while piece := body.read(3):
            found += piece
    assert caught.value.code == code
    assert len(found) < size


@pytest.mark.parametrize("at", range(3))
def test_a_chunk_with_another_signature(at: int) -> None:
    wrong = EXAMPLE.replace(EXAMPLE_SIGNATURES[at].encode(), b"0" * 64)
    body = chunked(wrong, 65 * KIB, signatures.STREAMING_SIGNED)
    with pytest.raises(S3Error) as caught:
        read(body)
    assert caught.value.code == "SignatureDoesNotMatch"


def test_chunks_cannot_change_places() -> None:
    data = [b"a" * KIB, b"b" * KIB]
    previous, wire = SEED, []
    for chunk in (*data, b""):
        previous = CHAIN.signature(previous, hashlib.sha256(chunk).hexdigest())
        wire.append(b"%x;chunk-signature=%s\r\n%s\r\n" % (len(chunk), previous.encode(), chunk))
    assert read(chunked(b"".join(wire), 2 * KIB, signatures.STREAMING_SIGNED)) == b"".join(data)
    with pytest.raises(S3Error, match="signature"):
        read(chunked(b"".join([wire[1], wire[0], wire[2]]), 2 * KIB, signatures.STREAMING_SIGNED))


HEADERS_WRONG: list[tuple[dict[str, Any], str]] = [
    ({"Content-Length": "", "Transfer-Encoding": "chunked"}, "MissingContentLength"),
    ({"X-Amz-Decoded-Content-Length": ""}, "MissingContentLength"),
    ({"X-Amz-Decoded-Content-Length": "-1"}, "InvalidArgument"),
    ({"X-Amz-Decoded-Content-Length": "1e3"}, "InvalidArgument"),
    ({"X-Amz-Trailer": "x-amz-checksum-crc32"}, "InvalidRequest"),
]


@pytest.mark.parametrize(("headers", "code"), HEADERS_WRONG)
def test_headers_that_do_not_fit_the_body(headers: dict[str, Any], code: str) -> None:
    with pytest.raises(S3Error) as caught:
        chunked(EXAMPLE, 65 * KIB, signatures.STREAMING_SIGNED, **headers)
    assert caught.value.code == code


# --- over HTTP -------------------------------------------------------------------------------------


def refused(answer: Any, status: int, code: str) -> None:
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert not Object.objects.exists()
    assert not Blob.objects.exists()


def test_a_body_must_have_the_hash_that_was_signed(alice_s3, bucket):
    request = alice_s3.request("PUT", "/photos/a", b"12345")
    answer = alice_s3.send(request, b"12346")
    refused(answer, 400, "XAmzContentSHA256Mismatch")
    refused(alice_s3.send(request, b""), 400, "XAmzContentSHA256Mismatch")
    unsigned = alice_s3("PUT", "/photos/a", b"12346", x_amz_content_sha256="UNSIGNED-PAYLOAD")
    assert unsigned.status_code == 200


def test_a_body_must_have_the_md5_that_was_said(alice_s3, bucket):
    right = base64.b64encode(hashlib.md5(b"12345").digest()).decode()
    refused(alice_s3("PUT", "/photos/a", b"12346", Content_MD5=right), 400, "BadDigest")
    refused(alice_s3("PUT", "/photos/a", b"12346", Content_MD5="short"), 400, "InvalidDigest")
    refused(alice_s3("PUT", "/photos/a", b"12346", Content_MD5=right[:-4] + "===="), 400, "InvalidDigest")
    assert alice_s3("PUT", "/photos/a", b"12345", Content_MD5=right).status_code == 200


def test_a_body_without_length(alice_s3, bucket):
    request = alice_s3.request("PUT", "/photos/a", b"1")
    refused(alice_s3.send(request, Content_Length=""), 411, "MissingContentLength")
    refused(alice_s3.send(request, Content_Length="-1"), 400, "InvalidArgument")


def test_documents_that_are_none(alice_s3, bucket):
    entities = b'<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">'
    bomb = b"<!DOCTYPE x [" + entities + b"]><Delete><Object><Key>&b;</Key></Object></Delete>"
    outside = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&a;</Key></Object></Delete>'
    deep = b"<Delete>" + b"<a>" * 5000 + b"</a>" * 5000 + b"</Delete>"
    for body in (
        bomb, outside, deep, b"<Delete>", b"<Other/>", b"<Delete/>", b"\xff\xfe", b"{}",
        b'<?xml version="1.0" encoding="none"?><Delete/>', b"<Delete><Object/></Delete>x",
        b"<Delete>" + b"<Object><Key>a</Key></Object>" * 1001 + b"</Delete>",
        b"<Delete><Object><Key>a</Key></Object><Else/></Delete>",
    ):  # fmt: skip
        answer = alice_s3("POST", "/photos?delete", body)
        assert (answer.status_code, code_of(answer)) == (400, "MalformedXML"), body[:80]
    assert code_of(alice_s3("POST", "/photos?delete", b"")) == "MissingRequestBodyError"
    assert code_of(alice_s3("POST", "/photos?delete", b" " * (2 * 2**20 + 1))) == "MaxMessageLengthExceeded"


def test_metadata_and_keys_that_are_too_long(alice_s3, bucket):
    refused(alice_s3("PUT", "/photos/a", b"1", x_amz_meta_a="x" * 2048), 400, "MetadataTooLarge")
    refused(alice_s3("PUT", f"/photos/{'x' * 1025}", b"1"), 400, "KeyTooLongError")
    refused(alice_s3("PUT", f"/photos/{'ü' * 513}", b"1"), 400, "KeyTooLongError")
    refused(alice_s3("PUT", "/photos/a", b"1", x_amz_storage_class="GLACIER"), 400, "InvalidStorageClass")
    assert alice_s3("PUT", f"/photos/{'ü' * 512}", b"1", x_amz_meta_a="x" * 2047).status_code == 200


def test_parameters_that_are_no_text(alice_s3, bucket):
    for query in ("prefix=%FF", "prefix=%00", "%FF", "marker=%ED%A0%80"):
        assert code_of(alice_s3("GET", f"/photos?{query}")) == "InvalidArgument"


def test_documents_must_have_the_checksums_that_were_said(alice_s3, bucket):
    alice_s3("PUT", "/photos/a", b"1")
    body = b"<Delete><Object><Key>a</Key></Object></Delete>"
    for name in ("crc32", "crc32c", "sha1", "sha256", "crc64nvme"):
        wrong = {f"x_amz_checksum_{name}": base64.b64encode(b"wrong").decode()}
        assert code_of(alice_s3("POST", "/photos?delete", body, **wrong)) == "BadDigest"
    assert code_of(alice_s3("POST", "/photos?delete", body, Content_MD5="A" * 22 + "==")) == "BadDigest"
    assert Object.objects.count() == 1
    right = base64.b64encode(hashlib.sha256(body).digest()).decode()
    assert alice_s3("POST", "/photos?delete", body, x_amz_checksum_sha256=right).status_code == 200
    assert not Object.objects.exists()
