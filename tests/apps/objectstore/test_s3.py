"""The S3 API: buckets and objects, one call after the other."""

from __future__ import annotations

import hashlib
import os
from urllib.parse import quote

import pytest

from apps.objectstore.models import Blob, Bucket, Container, Object
from tests.apps.objectstore.conftest import content
from tests.kit.s3 import code_of

MIB = 2**20


def test_an_object_goes_in_and_comes_out(alice_s3, bucket):
    body = os.urandom(2 * MIB + 5)
    headers = {"x_amz_meta_color": "blue", "Content_Type": "image/png", "Cache_Control": "no-store"}
    made = alice_s3("PUT", "/photos/a/b", body, **headers)
    assert (made.status_code, made.content) == (200, b"")
    assert made["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    answer = alice_s3("GET", "/photos/a/b")
    assert (answer.status_code, content(answer)) == (200, body)
    told = ("Content-Type", "x-amz-meta-color", "Cache-Control", "ETag", "Accept-Ranges")
    assert [answer[name] for name in told] == ["image/png", "blue", "no-store", made["ETag"], "bytes"]
    assert (answer["Content-Security-Policy"], answer["X-Content-Type-Options"]) == ("sandbox", "nosniff")
    assert answer["x-amz-request-id"].startswith("req-")
    head = alice_s3("HEAD", "/photos/a/b")
    assert (head.status_code, head["Content-Length"], head["ETag"]) == (200, str(len(body)), made["ETag"])
    assert head["Last-Modified"] == answer["Last-Modified"]
    assert alice_s3("DELETE", "/photos/a/b").status_code == 204
    gone = alice_s3("GET", "/photos/a/b")
    assert (gone.status_code, code_of(gone)) == (404, "NoSuchKey")
    assert alice_s3("DELETE", "/photos/a/b").status_code == 204


def test_both_apis_see_the_same(alice, alice_s3, bucket):
    alice_s3("PUT", "/photos/a", b"1", x_amz_meta_color="blau")
    assert alice.bytes("/photos/a") == b"1"
    assert alice("HEAD", "/photos/a")["X-Object-Meta-Color"] == "blau"
    alice.put("/photos/b", b"22", X_Object_Meta_Color="rot")
    answer = alice_s3("GET", "/photos/b")
    assert (content(answer), answer["x-amz-meta-color"]) == (b"22", "rot")
    assert alice("HEAD", "/photos")["X-Container-S3-Bucket"] == "photos"


def test_buckets_are_listed_and_removed(alice_s3, bob_s3, bucket):
    alice_s3("PUT", "/archive")
    bob_s3("PUT", "/of-bob")
    names = [e.text for e in alice_s3.xml("GET", "/").iter("Name")]
    assert names == ["archive", "photos"]
    first = alice_s3.xml("GET", "/?max-buckets=1")
    assert [e.text for e in first.iter("Name")] == ["archive"]
    second = alice_s3.xml("GET", f"/?max-buckets=1&continuation-token={first.findtext('ContinuationToken')}")
    assert ([e.text for e in second.iter("Name")], second.find("ContinuationToken")) == (["photos"], None)
    assert alice_s3("HEAD", "/photos")["x-amz-bucket-region"] == "RegionOne"
    assert alice_s3.xml("GET", "/photos?location").text == "RegionOne"
    alice_s3("PUT", "/photos/a", b"1")
    refused = alice_s3("DELETE", "/photos")
    assert (refused.status_code, code_of(refused)) == (409, "BucketNotEmpty")
    alice_s3("DELETE", "/photos/a")
    assert alice_s3("DELETE", "/photos").status_code == 204
    assert alice_s3("HEAD", "/photos").status_code == 404
    assert sorted(Bucket.objects.values_list("name", flat=True)) == ["archive", "of-bob"]


@pytest.mark.parametrize(
    ("constraint", "policy"),
    [
        ("RegionOne", "default"),
        ("RegionOne:far", "far"),
        (":far", "far"),
        ("", "default"),
        ("RegionOne:gold", None),
        ("RegionOne:", None),
        ("elsewhere:far", None),
        ("far", None),
    ],
)
def test_a_bucket_may_ask_for_a_storage_policy(alice_s3, settings, constraint, policy):
    policies = settings.KUMO_DRIVERS["object_store"] | {"far": {"BACKEND": "disks"}}
    settings.KUMO_DRIVERS = settings.KUMO_DRIVERS | {"object_store": policies}
    told = (
        f"<CreateBucketConfiguration><LocationConstraint>{constraint}</LocationConstraint></CreateBucketConfiguration>"
    )
    answer = alice_s3("PUT", "/photos", told.encode())
    if policy is None:
        assert (answer.status_code, code_of(answer)) == (400, "InvalidLocationConstraint")
        assert not Container.objects.exists()
    else:
        assert answer.status_code == 200
        assert Container.objects.get().policy == policy


def test_names_of_buckets_are_one_for_all(alice, alice_s3, bob_s3, bucket):
    assert code_of(alice_s3("PUT", "/photos")) == "BucketAlreadyOwnedByYou"
    assert code_of(bob_s3("PUT", "/photos")) == "BucketAlreadyExists"
    assert not Container.objects.filter(account_id="bob").exists()
    alice.put("/Photos of mine")
    assert alice("HEAD", "/Photos of mine")["X-Container-S3-Bucket"] == "none"
    alice.put("/from-swift")
    assert code_of(bob_s3("PUT", "/from-swift")) == "BucketAlreadyExists"
    assert alice_s3("HEAD", "/from-swift").status_code == 200


@pytest.mark.parametrize(
    "name", ["ab", "A-b", "a_b", "-abc", "abc-", "a..b", "a.-b", "192.168.0.1", "x" * 64, "xn--abc", "a b"]
)
def test_names_that_are_none_of_dns_are_refused(alice_s3, name):
    answer = alice_s3("PUT", f"/{name}")
    assert (answer.status_code, code_of(answer)) == (400, "InvalidBucketName")
    assert not Container.objects.exists()


def test_others_may_not(alice_s3, bob_s3, nobody_s3, bucket):
    alice_s3("PUT", "/photos/a", b"1")
    for caller in (bob_s3, nobody_s3):
        for method, path in (
            ("GET", "/photos"), ("GET", "/photos/a"), ("PUT", "/photos/a"), ("DELETE", "/photos/a"),
            ("DELETE", "/photos"), ("GET", "/photos?location"), ("GET", "/photos?logging"),
        ):  # fmt: skip
            answer = caller(method, path)
            assert (answer.status_code, code_of(answer)) == (403, "AccessDenied"), (method, path)
    assert nobody_s3("GET", "/").status_code == nobody_s3("PUT", "/mine").status_code == 403
    assert content(alice_s3("GET", "/photos/a")) == b"1"
    assert Bucket.objects.count() == 1


@pytest.mark.parametrize("name", ["ü/日本", "a//b", "/a", "a b", "a+b", "q?&#=", "..", "../../x", "'\"<>~*!()"])
def test_keys_are_kept_as_they_are(alice_s3, bucket, name):
    assert alice_s3("PUT", f"/photos/{quote(name, safe='/~')}", b"1").status_code == 200
    assert Object.objects.get().name == name
    assert content(alice_s3("GET", f"/photos/{quote(name, safe='/~')}")) == b"1"
    assert [e.text for e in alice_s3.xml("GET", "/photos").iter("Key")] == [name]


@pytest.mark.parametrize(
    ("header", "status", "body"),
    [
        ("bytes=0-1", 206, b"01"), ("bytes=-2", 206, b"89"), ("bytes=8-", 206, b"89"), ("bytes=8-99", 206, b"89"),
        ("bytes=0-1,4-5", 200, b"0123456789"), ("lines=1-2", 200, b"0123456789"), ("bytes=5-1", 200, b"0123456789"),
    ],
)  # fmt: skip
def test_ranges(alice_s3, bucket, header, status, body):
    alice_s3("PUT", "/photos/a", b"0123456789")
    answer = alice_s3("GET", "/photos/a", Range=header)
    assert (answer.status_code, content(answer)) == (status, body)


def test_range_behind_the_end(alice_s3, bucket):
    alice_s3("PUT", "/photos/a", b"0123456789")
    answer = alice_s3("GET", "/photos/a", Range="bytes=10-")
    assert (answer.status_code, code_of(answer), answer["Content-Range"]) == (416, "InvalidRange", "bytes */10")


def test_conditions_of_reads(alice_s3, bucket):
    etag = alice_s3("PUT", "/photos/a", b"1")["ETag"]
    assert alice_s3("GET", "/photos/a", If_Match=etag).status_code == 200
    assert code_of(alice_s3("GET", "/photos/a", If_Match='"other"')) == "PreconditionFailed"
    unchanged = alice_s3("GET", "/photos/a", If_None_Match=etag)
    assert (unchanged.status_code, unchanged.content, unchanged["ETag"]) == (304, b"", etag)
    assert alice_s3("HEAD", "/photos/a", If_Modified_Since="Fri, 01 Jan 2100 00:00:00 GMT").status_code == 304


def test_conditional_writes(alice_s3, bucket):
    etag = alice_s3("PUT", "/photos/a", b"1", If_None_Match="*")["ETag"]
    again = alice_s3("PUT", "/photos/a", b"2", If_None_Match="*")
    assert (again.status_code, code_of(again)) == (412, "PreconditionFailed")
    assert code_of(alice_s3("PUT", "/photos/a", b"2", If_None_Match=etag)) == "NotImplemented"
    assert code_of(alice_s3("PUT", "/photos/a", b"2", If_Match='"0"')) == "PreconditionFailed"
    assert code_of(alice_s3("PUT", "/photos/none", b"2", If_Match=etag)) == "NoSuchKey"
    assert code_of(alice_s3("DELETE", "/photos/a", If_Match='"0"')) == "PreconditionFailed"
    assert code_of(alice_s3("DELETE", "/photos/none", If_Match="*")) == "PreconditionFailed"
    for method in ("PUT", "DELETE"):
        assert code_of(alice_s3(method, "/photos/a", If_Match='""')) == "PreconditionFailed"
    assert code_of(alice_s3("DELETE", "/photos/a", x_amz_if_match_size="9")) == "NotImplemented"
    assert content(alice_s3("GET", "/photos/a")) == b"1"
    assert Blob.objects.filter(unused_since=None).count() == 1
    assert alice_s3("PUT", "/photos/a", b"2", If_Match=etag).status_code == 200
    assert alice_s3("DELETE", "/photos/a", If_Match="*").status_code == 204


def test_an_answer_is_told_as_the_caller_wishes(alice_s3, nobody_s3, alice, bucket):
    alice_s3("PUT", "/photos/a", b"1")
    alice("POST", "/photos", X_Container_Read=".r:*")
    answer = alice_s3("GET", "/photos/a?response-content-type=text%2Fplain&response-expires=0")
    assert (answer["Content-Type"], answer["Expires"]) == ("text/plain", "0")
    assert code_of(nobody_s3("GET", "/photos/a?response-content-type=text%2Fplain")) == "InvalidRequest"
    assert code_of(alice_s3("GET", "/photos/a?response-content-type=a%0D%0Ab")) == "InvalidArgument"
    assert content(nobody_s3("GET", "/photos/a")) == b"1"


@pytest.mark.parametrize("query", ["torrent", "restore", "uploads&acl", "renameObject", "session"])
def test_what_is_not_there_says_so(alice_s3, bucket, query):
    for method in ("PUT", "POST"):
        answer = alice_s3(method, f"/photos/a?{query}", b"1")
        assert (answer.status_code, code_of(answer)) == (501, "NotImplemented")
    assert not Object.objects.exists()


def test_a_header_that_promises_is_refused(alice_s3, bucket):
    answer = alice_s3("PUT", "/photos/a", b"1", x_amz_mfa="123")
    assert (answer.status_code, code_of(answer)) == (501, "NotImplemented")
    assert code_of(alice_s3("PUT", "/photos/a", b"1", x_amz_expected_bucket_owner="bob")) == "AccessDenied"
    assert not Object.objects.exists()
    assert alice_s3("PUT", "/photos/a", b"1", x_amz_expected_bucket_owner="alice").status_code == 200
