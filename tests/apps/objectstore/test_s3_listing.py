"""Listings, deletions of many and copies through S3."""

from __future__ import annotations

from xml.sax.saxutils import escape

import pytest

from apps.objectstore.models import Blob, Object
from tests.apps.objectstore.conftest import content
from tests.kit.s3 import code_of, plain

KEYS = ("a", "b/1", "b/2", "b/c/3", "d e+f", "ü")


@pytest.fixture
def filled(alice_s3, bucket):
    for key in KEYS:
        assert alice_s3("PUT", f"/photos/{key}", key.encode()).status_code == 200
    return alice_s3


def names(document):
    keys = [e.findtext("Key") for e in document.findall("Contents")]
    return keys, [e.findtext("Prefix") for e in document.findall("CommonPrefixes")]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["", "list-type=2&"])
@pytest.mark.parametrize(
    ("query", "keys", "prefixes"),
    [
        ("", list(KEYS), []),
        ("prefix=b/", ["b/1", "b/2", "b/c/3"], []),
        ("delimiter=/", ["a", "d e+f", "ü"], ["b/"]),
        ("prefix=b/&delimiter=/", ["b/1", "b/2"], ["b/c/"]),
        ("prefix=b&delimiter=/", [], ["b/"]),
        ("prefix=none", [], []),
        ("delimiter=none", list(KEYS), []),
        ("max-keys=0", [], []),
    ],
)
def test_what_is_listed(filled, version, query, keys, prefixes):
    found = filled.xml("GET", f"/photos?{version}{query}")
    assert (found.tag, names(found), found.findtext("IsTruncated")) == ("ListBucketResult", (keys, prefixes), "false")


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 3, 6])
@pytest.mark.parametrize("delimiter", ["", "&delimiter=/"])
def test_pages_of_both_versions_join_to_the_whole(filled, size, delimiter):
    whole = names(filled.xml("GET", f"/photos?max-keys=1000{delimiter}"))
    first: tuple[list[str], list[str]] = ([], [])
    second: tuple[list[str], list[str]] = ([], [])
    marker = token = ""
    while True:
        page = filled.xml("GET", f"/photos?max-keys={size}{delimiter}&marker={marker}")
        for so_far, more in zip(first, names(page), strict=True):
            so_far += more
        if page.findtext("IsTruncated") == "false":
            assert page.find("NextMarker") is None
            break
        # Without a delimiter the last key goes on, as Amazon has it.
        marker = (page.findtext("NextMarker") or names(page)[0][-1]).replace(" ", "%20").replace("+", "%2B")
    while True:
        page = filled.xml("GET", f"/photos?list-type=2&max-keys={size}{delimiter}{token}")
        for so_far, more in zip(second, names(page), strict=True):
            so_far += more
        assert int(page.findtext("KeyCount")) == sum(map(len, names(page))) <= size
        if page.findtext("IsTruncated") == "false":
            break
        token = f"&continuation-token={page.findtext('NextContinuationToken').replace('=', '%3D')}"
    assert first == second == whole


def test_what_an_entry_tells(filled):
    found = filled.xml("GET", "/photos?list-type=2&prefix=b/1")
    entry = found.find("Contents")
    head = filled("HEAD", "/photos/b/1")
    assert (entry.findtext("ETag"), entry.findtext("Size"), entry.findtext("StorageClass")) == (
        head["ETag"], "3", "STANDARD",
    )  # fmt: skip
    assert entry.findtext("LastModified").endswith(".000Z")
    assert entry.find("Owner") is None
    assert filled.xml("GET", "/photos?list-type=2&fetch-owner=true").findtext("Contents/Owner/ID") == "alice"
    assert filled.xml("GET", "/photos").findtext("Contents/Owner/ID") == "alice"


def test_names_are_encoded_on_request(filled):
    assert names(filled.xml("GET", "/photos?encoding-type=url&prefix=d"))[0] == ["d%20e%2Bf"]
    found = filled.xml("GET", "/photos?encoding-type=url&delimiter=%20&start-after=b&list-type=2")
    assert (found.findtext("Delimiter"), names(found)[1]) == ("%20", ["d%20"])
    assert filled("PUT", "/photos/x%01%0A").status_code == 200
    assert names(filled.xml("GET", "/photos?encoding-type=url&prefix=x"))[0] == ["x%01%0A"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        "max-keys=-1", "max-keys=x", "max-keys=9999999999", "encoding-type=none", "list-type=3",
        "list-type=2&continuation-token=%21", "list-type=2&continuation-token=", "delimiter=%F4%8F%BF%BF",
    ],
)  # fmt: skip
def test_parameters_that_are_wrong(filled, query):
    answer = filled("GET", f"/photos?{query}")
    assert (answer.status_code, code_of(answer)) == (400, "InvalidArgument")


def test_a_page_has_at_most_a_thousand(filled):
    assert filled.xml("GET", "/photos?max-keys=5000").findtext("MaxKeys") == "1000"


# --- many at once ----------------------------------------------------------------------------------


def test_many_are_deleted_each_with_an_outcome(filled, bob_s3):
    def asked(*keys: str, quiet: bool = False) -> bytes:
        members = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
        more = "<Quiet>true</Quiet>" if quiet else ""
        return f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{members}{more}</Delete>'.encode()

    refused = plain(bob_s3("POST", "/photos?delete", asked("a", "ü")).content)
    assert [e.findtext("Code") for e in refused.findall("Error")] == ["AccessDenied"] * 2
    assert Object.objects.count() == len(KEYS)
    done = filled.xml("POST", "/photos?delete", asked("a", "none", "d e+f", "x" * 1025))
    assert [e.findtext("Key") for e in done.findall("Deleted")] == ["a", "none", "d e+f"]
    assert [e.findtext("Code") for e in done.findall("Error")] == ["KeyTooLongError"]
    assert len(filled.xml("POST", "/photos?delete", asked("ü", quiet=True))) == 0
    conditional = b"<Delete><Object><Key>b/1</Key><ETag>other</ETag></Object></Delete>"
    assert filled.xml("POST", "/photos?delete", conditional).findtext("Error/Code") == "PreconditionFailed"
    assert names(filled.xml("GET", "/photos"))[0] == ["b/1", "b/2", "b/c/3"]


# --- copies ----------------------------------------------------------------------------------------


@pytest.fixture
def original(alice_s3, bucket):
    alice_s3(
        "PUT", "/photos/a+ü", b"12345", x_amz_meta_color="blue", Content_Type="image/png", Cache_Control="no-store"
    )
    return {"x_amz_copy_source": "/photos/a%2B%C3%BC"}


def test_a_copy_has_all_of_its_source(alice_s3, original):
    made = plain(alice_s3("PUT", "/photos/b", **original).content)
    got = alice_s3("GET", "/photos/b")
    assert (content(got), got["x-amz-meta-color"], got["Content-Type"]) == (b"12345", "blue", "image/png")
    assert (got["Cache-Control"], made.findtext("ETag")) == ("no-store", got["ETag"])
    replaced = alice_s3(
        "PUT", "/photos/b", x_amz_metadata_directive="REPLACE", x_amz_meta_size="5", Content_Type="a/b", **original
    )
    assert replaced.status_code == 200
    got = alice_s3("HEAD", "/photos/b")
    assert ("x-amz-meta-color" in got, got["x-amz-meta-size"], got["Content-Type"]) == (False, "5", "a/b")
    assert "Cache-Control" not in got


def test_a_copy_onto_itself_must_change_something(alice_s3, original):
    assert code_of(alice_s3("PUT", "/photos/a+ü", **original)) == "InvalidRequest"
    answer = alice_s3("PUT", "/photos/a+ü", x_amz_metadata_directive="REPLACE", x_amz_meta_x="1", **original)
    assert answer.status_code == 200
    got = alice_s3("GET", "/photos/a+ü")
    assert (content(got), got["x-amz-meta-x"], "x-amz-meta-color" in got) == (b"12345", "1", False)


def test_copies_that_cannot_be(alice_s3, bob_s3, original):
    bob_s3("PUT", "/of-bob")
    etag = alice_s3("HEAD", "/photos/a+ü")["ETag"]
    for headers, code in (
        ({"x_amz_copy_source": "photos"}, "InvalidArgument"),
        ({"x_amz_copy_source": "/photos/"}, "InvalidArgument"),
        ({"x_amz_copy_source": "/photos/%FF"}, "InvalidArgument"),
        ({"x_amz_copy_source": "/none/a"}, "NoSuchBucket"),
        ({"x_amz_copy_source": "/photos/none"}, "NoSuchKey"),
        (original | {"x_amz_metadata_directive": "KEEP"}, "InvalidArgument"),
        (original | {"x_amz_source_expected_bucket_owner": "bob"}, "AccessDenied"),
        (original | {"x_amz_copy_source_if_match": '"0"'}, "PreconditionFailed"),
        (original | {"x_amz_copy_source_if_none_match": etag}, "PreconditionFailed"),
        (original | {"x_amz_copy_source_if_unmodified_since": "Thu, 01 Jan 2015 00:00:00 GMT"}, "PreconditionFailed"),
        (original | {"x_amz_copy_source_if_modified_since": "Thu, 01 Jan 2099 00:00:00 GMT"}, "PreconditionFailed"),
    ):
        assert code_of(alice_s3("PUT", "/photos/b", **headers)) == code, headers
    assert code_of(bob_s3("PUT", "/of-bob/b", **original)) == "AccessDenied"
    assert Object.objects.count() == Blob.objects.count() == 1
    right = {"x_amz_copy_source_if_match": etag, "x_amz_source_expected_bucket_owner": "alice"}
    assert alice_s3("PUT", "/photos/b", **right, **original).status_code == 200
