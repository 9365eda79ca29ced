"""Signatures of S3 requests: Amazon's published examples, Amazon's own signers, and every way to be wrong."""

from __future__ import annotations

import datetime
import urllib.parse
from typing import Any

import pytest
from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth

from apps.core.context import RequestContext
from apps.identity.selectors.access_keys import AccessKey
from apps.objectstore.api.s3 import signatures
from apps.objectstore.api.s3.errors import S3Error
from apps.objectstore.api.s3.signatures import Request, signed_by
from apps.objectstore.models import Object
from tests.apps.objectstore.conftest import content
from tests.kit.http import context
from tests.kit.s3 import REGION, S3, FixedClock, code_of, fields_of

# --- Amazon's published examples (S3 API reference, "Signature calculations for the Authorization header") ---

EXAMPLE = AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", RequestContext(project_id="x"))
EXAMPLE_DAY = datetime.datetime(2013, 5, 24, tzinfo=datetime.UTC)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "access_key", lambda access: EXAMPLE if access == EXAMPLE.access else None)


def example_request(
    method: str, path: str, query: list[tuple[str, str]], signature: str, payload: str = EMPTY, **headers: str
) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named |= {"x-amz-content-sha256": payload, "x-amz-date": "20130524T000000Z"}
    names = sorted([*(n for n in named if n != "date-not-signed"), "host"])
    named["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={EXAMPLE.access}/20130524/us-east-1/s3/aws4_request,"
        f"SignedHeaders={';'.join(names)},Signature={signature}"
    )
    return Request(method, (path,), (f"/examplebucket{path}",), "examplebucket.s3.amazonaws.com", named, query)


EXAMPLES = [
    example_request(
        "GET", "/test.txt", [], "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41", range="bytes=0-9"
    ),
    example_request(
        "PUT",
        "/test$file.text",
        [],
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        date="Fri, 24 May 2013 00:00:00 GMT",
        x_amz_storage_class="REDUCED_REDUNDANCY",
    ),
    example_request(
        "GET", "/", [("lifecycle", "")], "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
    ),
    example_request(
        "GET",
        "/",
        [("max-keys", "2"), ("prefix", "J")],
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
]


@pytest.mark.parametrize("request_", EXAMPLES, ids=["get", "put", "lifecycle", "list"])
def test_amazons_examples(example: None, request_: Request) -> None:
    signed = signed_by(request_, "req-1", EXAMPLE_DAY)
    assert (signed.version, signed.place, signed.region) == ("AWS4-HMAC-SHA256", "REST-HEADER", "us-east-1")
    assert signed.ctx.project_id == "x"


PRESIGNED = Request(
    "GET",
    ("/test.txt",),
    ("/examplebucket/test.txt",),
    "examplebucket.s3.amazonaws.com",
    {},
    [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Credential", f"{EXAMPLE.access}/20130524/us-east-1/s3/aws4_request"),
        ("X-Amz-Date", "20130524T000000Z"),
        ("X-Amz-Expires", "86400"),
        ("X-Amz-SignedHeaders", "host"),
        ("X-Amz-Signature", "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"),
    ],
)


def test_amazons_example_of_a_signed_address(example: None) -> None:
    assert signed_by(PRESIGNED, "req-1", EXAMPLE_DAY).place == "REST-QUERY-STRING"
    just = EXAMPLE_DAY + datetime.timedelta(days=1)
    assert signed_by(PRESIGNED, "req-1", just).ctx.project_id == "x"
    with pytest.raises(S3Error) as caught:
        signed_by(PRESIGNED, "req-1", just + datetime.timedelta(seconds=1))
    assert (caught.value.code, caught.value.message) == ("AccessDenied", "Request has expired")
    with pytest.raises(S3Error) as caught:
        signed_by(PRESIGNED, "req-1", EXAMPLE_DAY - datetime.timedelta(minutes=16))
    assert (caught.value.code, caught.value.message) == ("AccessDenied", "Request is not yet valid")


# Amazon's examples of version 2 ("Signing and authenticating REST requests").
V2_EXAMPLES = [
    (
        "GET", "/awsexamplebucket1/photos/puppy.jpg", [], "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=",
        {"date": "Tue, 27 Mar 2007 19:36:42 +0000"},
    ),
    (
        "PUT", "/awsexamplebucket1/photos/puppy.jpg", [], "iqRzw+ileNPu1fhspnRs8nOjjIA=",
        {"date": "Tue, 27 Mar 2007 21:15:45 +0000", "content-type": "image/jpeg"},
    ),
    (
        "GET", "/awsexamplebucket1/", [("prefix", "photos"), ("max-keys", "50"), ("marker", "puppy")],
        "m0WP8eCtspQl5Ahe6L1SozdX9YA=", {"date": "Tue, 27 Mar 2007 19:42:41 +0000"},
    ),
    ("GET", "/awsexamplebucket1/", [("acl", "")], "82ZHiFIjc+WbcwFKGUVEQspPn+0=",
        {"date": "Tue, 27 Mar 2007 19:44:46 +0000"}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "resource", "query", "signature", "headers"), V2_EXAMPLES)
def test_amazons_examples_of_version_2(
    monkeypatch: pytest.MonkeyPatch, method: str, resource: str, query: list[Any], signature: str, headers: Any
) -> None:
    monkeypatch.setattr(signatures, "access_key", lambda access: EXAMPLE)
    headers = headers | {"authorization": f"AWS {EXAMPLE.access}:{signature}"}
    now = datetime.datetime(2007, 3, 27, 0, 0, tzinfo=datetime.UTC)
    hour, minute = headers["date"][17:22].split(":")
    now = now.replace(hour=int(hour), minute=int(minute))
    signed = signed_by(Request(method, (), (resource,), "", headers, query), "req-1", now)
    assert (signed.version, signed.place) == ("AWS", "REST-HEADER")


# --- Amazon's signers ------------------------------------------------------------------------------

SIGNERS: dict[str, Any] = {
    "v4": lambda key: S3SigV4Auth(key, "s3", "eu-north-7"),
    "v4-query": lambda key: S3SigV4QueryAuth(key, "s3", REGION, expires=60),
    "v2": HmacV1Auth,
    "v2-query": lambda key: HmacV1QueryAuth(key, expires=60),
}
PATHS = ("/photos/a", "/photos/ü b/c~d", "/photos/a//b", "/photos/%21%2A%27%28%29", "/photos/a%252Fb", "/photos/%2B")


@pytest.mark.slow
@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
@pytest.mark.parametrize("root", ["/s3", ""], ids=["prefix", "port"])
@pytest.mark.parametrize("path", PATHS)
def test_requests_of_amazons_signers_hold(alice_s3: S3, bucket: str, signer: Any, root: str, path: str) -> None:
    """On the port, the proxy puts the prefix before a path that was signed without."""
    caller = S3(context("alice"), root=root, signer=signer)
    for method, body in (("PUT", b"1"), ("GET", b"")):
        request = caller.request(method, path, body)
        scheme, host, where, query, _ = urllib.parse.urlsplit(str(request.url))
        request.url = urllib.parse.urlunsplit((scheme, host, where if root else f"/s3{where}", query, ""))
        answer = caller.send(request, body)
        assert answer.status_code == 200, content(answer)
    assert content(answer) == b"1"
    assert Object.objects.get().name == urllib.parse.unquote(path.removeprefix("/photos/"))


@pytest.mark.slow
@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
def test_hosts_name_buckets(alice_s3: S3, bucket: str, signer: Any) -> None:
    alice_s3("PUT", "/photos/s3/a", b"1")
    alice_s3("PUT", "/photos/a", b"2")
    caller = S3(context("alice"), root="", signer=signer)
    for path, wanted in (("/s3/a", b"1"), ("/a", b"2")):
        request = caller.request("GET", path, host="photos.s3.localhost:9000")
        if isinstance(signer(caller.key), (HmacV1Auth, HmacV1QueryAuth)):
            request = signed_for_virtual_host(caller, signer, path)
        request.url = str(request.url).replace(":9000/", ":9000/s3/", 1)
        answer = caller.send(request)
        assert (answer.status_code, content(answer)) == (200, wanted)
        # The same signature opens no other object: `/s3/a` is not `/a` below a prefix.
        request.url = str(request.url).replace(":9000/s3/", ":9000/", 1)
        if path == "/s3/a":
            assert code_of(caller.send(request)) == "SignatureDoesNotMatch"


def test_version_2_may_end_a_bucket_with_a_slash(alice_s3: S3, bucket: str) -> None:
    for signer in (SIGNERS["v2"], SIGNERS["v2-query"]):
        caller = S3(context("alice"), root="/s3", signer=signer)
        for path in ("/photos/", "/s3/photos/", "/photos"):
            request = caller.request("GET", "/photos", signed=False)
            request.auth_path = path
            signer(caller.key).add_auth(request)
            assert caller.send(request).status_code == 200


def signed_for_virtual_host(caller: S3, signer: Any, path: str) -> Any:
    """Version 2 signs the bucket with the path, which botocore is told apart from the address."""
    request = caller.request("GET", path, host="photos.s3.localhost:9000", signed=False)
    request.auth_path = f"/photos{path}"
    signer(caller.key).add_auth(request)
    return request


# --- wrong ones ------------------------------------------------------------------------------------


def refused(answer: Any, status: int, code: str) -> None:
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert not Object.objects.exists()


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
def test_what_was_changed_after_it_was_signed_is_refused(alice_s3: S3, bucket: str, signer: Any) -> None:
    caller = S3(context("alice"), signer=signer)
    request = caller.request("PUT", "/photos/a", b"1")
    request.url = str(request.url).replace("/photos/a", "/photos/b")
    answer = caller.send(request)
    refused(answer, 403, "SignatureDoesNotMatch")
    said = fields_of(answer)
    assert said["AWSAccessKeyId"] == caller.key.access_key  # type: ignore[union-attr]
    assert said["StringToSign"]
    assert said["SignatureProvided"]
    assert caller.key.secret_key not in answer.content.decode()  # type: ignore[union-attr]
    for method in ("DELETE", "POST"):
        request = caller.request("PUT", "/photos/a", b"1")
        request.method = method
        refused(caller.send(request), 403, "SignatureDoesNotMatch")
    request = caller.request("PUT", "/photos/a", b"1")
    request.url = f"{request.url}{'&' if '?' in str(request.url) else '?'}acl"
    refused(caller.send(request), 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("signer", SIGNERS.values(), ids=SIGNERS)
def test_unknown_keys_and_wrong_secrets(alice_s3: S3, bucket: str, signer: Any) -> None:
    caller = S3(context("alice"), signer=signer)
    caller.key.secret_key = "another"  # type: ignore[union-attr]
    refused(caller("PUT", "/photos/a", b"1"), 403, "SignatureDoesNotMatch")
    caller.key.access_key = "unknown"  # type: ignore[union-attr]
    answer = caller("PUT", "/photos/a", b"1")
    refused(answer, 403, "InvalidAccessKeyId")
    assert fields_of(answer)["AWSAccessKeyId"] == "unknown"


@pytest.mark.parametrize("signer", [SIGNERS["v4"], SIGNERS["v4-query"]], ids=["v4", "v4-query"])
def test_headers_of_meaning_must_be_signed(alice_s3: S3, bucket: str, signer: Any) -> None:
    caller = S3(context("alice"), signer=signer)
    answer = caller.send(caller.request("PUT", "/photos/a", b"1"), x_amz_meta_color="red")
    refused(answer, 403, "AccessDenied")
    assert fields_of(answer)["HeadersNotSigned"] == "x-amz-meta-color"
    request = caller.request("PUT", "/photos/a", b"1", x_amz_meta_color="blue")
    refused(caller.send(request, x_amz_meta_color="red"), 403, "SignatureDoesNotMatch")


def test_clocks_that_are_apart(alice_s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = alice_s3.request("PUT", "/photos/a", b"1")
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=16)
    monkeypatch.setattr("apps.objectstore.api.s3.views.datetime", FixedClock(later))
    answer = alice_s3.send(stale)
    refused(answer, 403, "RequestTimeTooSkewed")
    assert fields_of(answer)["MaxAllowedSkewMilliseconds"] == "900000"
    monkeypatch.setattr("apps.objectstore.api.s3.views.datetime", FixedClock(later - datetime.timedelta(minutes=32)))
    refused(alice_s3.send(stale), 403, "RequestTimeTooSkewed")
    old = S3(context("alice"), signer=HmacV1Auth).request("PUT", "/photos/a", b"1")
    refused(alice_s3.send(old), 403, "RequestTimeTooSkewed")


V4 = "AWS4-HMAC-SHA256"
WRONG_HEADERS = [
    ({"Authorization": "Basic YTpi"}, "InvalidRequest"),
    ({"Authorization": "AWS nonsense"}, "InvalidArgument"),
    ({"Authorization": V4}, "AuthorizationHeaderMalformed"),
    ({"Authorization": f"{V4} Credential=a/b, SignedHeaders=host, Signature=1"}, "AuthorizationHeaderMalformed"),
    (
        {"Authorization": f"{V4} Credential=a/20130101/x/ec2/aws4_request, SignedHeaders=host, Signature=1"},
        "AuthorizationHeaderMalformed",
    ),
    (
        {"Authorization": f"{V4} Credential=a/20130101/x/s3/aws4_request, SignedHeaders=host, Signature=1"},
        "AuthorizationHeaderMalformed",
    ),
    ({"x-amz-date": ""}, "AccessDenied"),
    ({"x-amz-date": "20131345T000000Z"}, "AccessDenied"),
    ({"x-amz-content-sha256": "ABC"}, "InvalidArgument"),
    ({"x-amz-content-sha256": "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}, "NotImplemented"),
    ({"x-amz-security-token": "x"}, "InvalidToken"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("headers", "code"), WRONG_HEADERS)
def test_headers_that_are_no_signature(alice_s3: S3, bucket: str, headers: dict[str, Any], code: str) -> None:
    answer = alice_s3.send(alice_s3.request("PUT", "/photos/a", b"1"), **headers)
    assert code_of(answer) == code
    assert not Object.objects.exists()


WRONG_QUERIES = [
    ({"X-Amz-Expires": "604801"}, "AuthorizationQueryParametersError"),
    ({"X-Amz-Expires": "0"}, "AuthorizationQueryParametersError"),
    ({"X-Amz-Expires": "-1"}, "AuthorizationQueryParametersError"),
    ({"X-Amz-Expires": "1e3"}, "AuthorizationQueryParametersError"),
    ({"X-Amz-Algorithm": "AWS4-ECDSA"}, "AuthorizationQueryParametersError"),
    ({"X-Amz-Credential": "x"}, "AuthorizationQueryParametersError"),
    ({"X-Amz-Date": "yesterday"}, "AuthorizationQueryParametersError"),
    ({"X-Amz-Signature": ""}, "AuthorizationQueryParametersError"),
    ({"X-Amz-SignedHeaders": "x-amz-date"}, "AccessDenied"),
    ({"X-Amz-Signature": "é"}, "SignatureDoesNotMatch"),
    ({"X-Amz-Expires": "61"}, "SignatureDoesNotMatch"),
    ({"AWSAccessKeyId": "a"}, "InvalidArgument"),
]


def test_a_scope_that_is_no_text_is_malformed(alice_s3: S3, bucket: str) -> None:
    caller = S3(context("alice"), signer=SIGNERS["v4-query"])
    request = caller.request("GET", "/photos")
    request.url = str(request.url).replace("RegionOne", "%FF")
    assert code_of(caller.send(request)) == "AuthorizationQueryParametersError"


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "code"), WRONG_QUERIES)
def test_queries_that_are_no_signature(alice_s3: S3, bucket: str, changes: dict[str, str], code: str) -> None:
    caller = S3(context("alice"), signer=SIGNERS["v4-query"])
    request = caller.request("GET", "/photos")
    where, _, query = str(request.url).partition("?")
    parameters = dict(urllib.parse.parse_qsl(query)) | changes
    request.url = f"{where}?{urllib.parse.urlencode(parameters, quote_via=urllib.parse.quote)}"
    assert code_of(caller.send(request)) == code


def test_version_2_signs_whatever_chooses_another_call() -> None:
    from apps.objectstore.api.s3.objects import OVERRIDES
    from apps.objectstore.api.s3.views import SUBRESOURCES

    assert {*SUBRESOURCES, *OVERRIDES, "versionId", "partNumber"} <= signatures.V2_SIGNED
