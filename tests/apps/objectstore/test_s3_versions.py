"""Versions through the S3 API, by its calls and by boto3."""

from __future__ import annotations

from typing import Any

import pytest

from apps.objectstore.models import Blob, Container
from apps.objectstore.states import Versioning
from tests.apps.objectstore.conftest import content
from tests.kit.s3 import S3, code_of

ENABLED = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
SUSPENDED = ENABLED.replace(b"Enabled", b"Suspended")


@pytest.fixture
def kept(alice_s3: S3, bucket: str) -> str:
    """The bucket keeps versions."""
    assert alice_s3("PUT", "/photos?versioning", ENABLED).status_code == 200
    return bucket


def put(s3: S3, key: str, body: bytes) -> str:
    answer = s3("PUT", f"/photos/{key}", body)
    assert answer.status_code == 200, answer.content
    return str(answer.headers.get("x-amz-version-id", ""))


def listed(s3: S3, query: str = "") -> list[tuple[str, str, str, str]]:
    """Lines of the listing: element, key, id, whether it is the latest."""
    root = s3.xml("GET", f"/photos?versions{query}")
    return [
        (e.tag, e.findtext("Key", ""), e.findtext("VersionId", ""), e.findtext("IsLatest", ""))
        for e in root
        if e.tag in {"Version", "DeleteMarker"}
    ]


def test_a_bucket_says_whether_it_keeps_versions(alice_s3, bucket):
    assert list(alice_s3.xml("GET", "/photos?versioning")) == []
    alice_s3("PUT", "/photos?versioning", ENABLED)
    assert alice_s3.xml("GET", "/photos?versioning").findtext("Status") == "Enabled"
    alice_s3("PUT", "/photos?versioning", SUSPENDED)
    assert alice_s3.xml("GET", "/photos?versioning").findtext("Status") == "Suspended"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (ENABLED.replace(b"Enabled", b"On"), "MalformedXML"),
        (b"<VersioningConfiguration/>", "MalformedXML"),
        (ENABLED.replace(b"<Status>", b"<Other/><Status>"), "MalformedXML"),
        (ENABLED.replace(b"<Status>", b"<MfaDelete>Enabled</MfaDelete><Status>"), "NotImplemented"),
        (b"", "MissingRequestBodyError"),
    ],
)
def test_settings_that_are_refused(alice_s3, bob_s3, bucket, body, code):
    assert code_of(alice_s3("PUT", "/photos?versioning", body)) == code
    assert code_of(bob_s3("PUT", "/photos?versioning", ENABLED)) == "AccessDenied"
    assert code_of(bob_s3("GET", "/photos?versioning")) == "AccessDenied"
    assert Container.objects.get().versioning == Versioning.NEVER


def test_versions_are_put_read_and_listed(alice_s3, kept):
    first, second = put(alice_s3, "a", b"one"), put(alice_s3, "a", b"three")
    now = alice_s3("GET", "/photos/a")
    assert (content(now), now["x-amz-version-id"]) == (b"three", second)
    was = alice_s3("GET", f"/photos/a?versionId={first}")
    assert (content(was), was["x-amz-version-id"]) == (b"one", first)
    assert alice_s3("HEAD", f"/photos/a?versionId={first}")["Content-Length"] == "3"
    assert listed(alice_s3) == [("Version", "a", second, "true"), ("Version", "a", first, "false")]
    for name in ("nonsense", "0" * 31 + "1", "null"):
        answer = alice_s3("GET", f"/photos/a?versionId={name}")
        assert code_of(answer) == ("InvalidArgument" if name == "nonsense" else "NoSuchVersion")
    assert code_of(alice_s3("PUT", f"/photos/a?versionId={first}", b"x")) == "NotImplemented"
    assert content(alice_s3("GET", "/photos/a")) == b"three"


def test_a_delete_leaves_a_marker_and_removing_that_brings_the_object_back(alice_s3, kept):
    made = put(alice_s3, "a", b"one")
    gone = alice_s3("DELETE", "/photos/a")
    marker = gone["x-amz-version-id"]
    assert (gone.status_code, gone["x-amz-delete-marker"]) == (204, "true")
    missing = alice_s3("GET", "/photos/a")
    assert (missing.status_code, code_of(missing)) == (404, "NoSuchKey")
    assert (missing["x-amz-delete-marker"], missing["x-amz-version-id"]) == ("true", marker)
    named = alice_s3("GET", f"/photos/a?versionId={marker}")
    assert (named.status_code, code_of(named), named["Allow"]) == (405, "MethodNotAllowed", "DELETE")
    heads = [alice_s3("HEAD", f"/photos/a{query}").status_code for query in ("", f"?versionId={marker}")]
    assert heads == [404, 405]
    assert listed(alice_s3) == [("DeleteMarker", "a", marker, "true"), ("Version", "a", made, "false")]
    assert alice_s3.xml("GET", "/photos").find("Contents") is None
    removed = alice_s3("DELETE", f"/photos/a?versionId={marker}")
    assert (removed.status_code, removed["x-amz-delete-marker"], removed["x-amz-version-id"]) == (204, "true", marker)
    assert content(alice_s3("GET", "/photos/a")) == b"one"
    again = alice_s3("DELETE", f"/photos/a?versionId={marker}")
    assert (again.status_code, "x-amz-delete-marker" in again) == (204, False)


def test_suspended_there_is_one_null_version(alice_s3, kept):
    first = put(alice_s3, "a", b"one")
    alice_s3("PUT", "/photos?versioning", SUSPENDED)
    assert put(alice_s3, "a", b"2") == put(alice_s3, "a", b"33") == ""
    assert [line[2] for line in listed(alice_s3)] == ["null", first]
    assert alice_s3("HEAD", "/photos/a")["x-amz-version-id"] == "null"
    gone = alice_s3("DELETE", "/photos/a")
    assert (gone["x-amz-version-id"], gone["x-amz-delete-marker"]) == ("null", "true")
    assert listed(alice_s3) == [("DeleteMarker", "a", "null", "true"), ("Version", "a", first, "false")]
    alice_s3("DELETE", "/photos/a?versionId=null")
    assert listed(alice_s3) == [("Version", "a", first, "true")]


def test_an_old_version_is_copied_over_the_new(alice_s3, kept):
    first = put(alice_s3, "a", b"one")
    put(alice_s3, "a", b"three")
    copied = alice_s3("PUT", "/photos/a", x_amz_copy_source=f"photos/a?versionId={first}")
    assert (copied.status_code, copied["x-amz-copy-source-version-id"]) == (200, first)
    assert content(alice_s3("GET", "/photos/a")) == b"one"
    assert listed(alice_s3)[0][2] == copied["x-amz-version-id"] != first
    assert code_of(alice_s3("PUT", "/photos/b", x_amz_copy_source="photos/a?versionId=x")) == "InvalidArgument"
    assert code_of(alice_s3("PUT", "/photos/b", x_amz_copy_source="photos/a?other=x")) == "InvalidArgument"
    marker = alice_s3("DELETE", "/photos/a")["x-amz-version-id"]
    assert code_of(alice_s3("PUT", "/photos/b", x_amz_copy_source="photos/a")) == "NoSuchKey"
    assert alice_s3("PUT", "/photos/b", x_amz_copy_source=f"photos/a?versionId={marker}").status_code >= 400


def test_many_versions_are_removed_at_once(alice_s3, kept):
    first, second = put(alice_s3, "a", b"one"), put(alice_s3, "b", b"two")
    body = (
        f"<Delete><Object><Key>a</Key><VersionId>{first}</VersionId></Object><Object><Key>b</Key></Object></Delete>"
    ).encode()
    rows = alice_s3.xml("POST", "/photos?delete", body).findall("Deleted")
    assert [(r.findtext("Key"), r.findtext("VersionId"), r.findtext("DeleteMarker")) for r in rows] == [
        ("a", first, None), ("b", None, "true"),
    ]  # fmt: skip
    marker = rows[1].findtext("DeleteMarkerVersionId")
    assert [(line[0], line[2]) for line in listed(alice_s3)] == [("DeleteMarker", marker), ("Version", second)]


def test_a_bucket_with_versions_is_not_deleted(alice_s3, kept):
    first = put(alice_s3, "a", b"one")
    marker = alice_s3("DELETE", "/photos/a")["x-amz-version-id"]
    assert code_of(alice_s3("DELETE", "/photos")) == "BucketNotEmpty"
    for version in (first, marker):
        alice_s3("DELETE", f"/photos/a?versionId={version}")
    assert alice_s3("DELETE", "/photos").status_code == 204
    assert not Blob.objects.filter(unused_since=None).exists()


def test_a_listing_in_pages_of_versions_and_groups(alice_s3, kept):
    for key in ("a", "b/1", "b/2", "c"):
        for body in (b"1", b"22"):
            put(alice_s3, key, body)
    every = listed(alice_s3)
    got, query = [], "&max-keys=3"
    while True:
        root = alice_s3.xml("GET", f"/photos?versions{query}")
        got += listed(alice_s3, query)
        if root.findtext("IsTruncated") == "false":
            break
        query = f"&max-keys=3&key-marker={root.findtext('NextKeyMarker')}"
        query += f"&version-id-marker={root.findtext('NextVersionIdMarker')}"
    assert got == every
    root = alice_s3.xml("GET", "/photos?versions&delimiter=/&max-keys=3")
    assert root.findtext("CommonPrefixes/Prefix") == root.findtext("NextKeyMarker") == "b/"
    rest = alice_s3.xml("GET", "/photos?versions&delimiter=/&key-marker=b/")
    assert [e.findtext("Key") for e in rest.findall("Version")] == ["c", "c"]
    assert code_of(alice_s3("GET", "/photos?versions&version-id-marker=null")) == "InvalidArgument"
    assert code_of(alice_s3("GET", "/photos?versions&key-marker=a&version-id-marker=x")) == "InvalidArgument"


def test_both_apis_see_the_same_versions(alice, alice_s3, kept):
    first = put(alice_s3, "a", b"one")
    second = alice.put("/photos/a", b"two")["X-Object-Version-Id"]
    assert [row["version_id"] for row in alice("GET", "/photos?versions").json()] == [second, first]
    assert content(alice_s3("GET", f"/photos/a?versionId={second}")) == b"two"
    assert alice.bytes(f"/photos/a?version-id={first}") == b"one"


def test_a_symbolic_link_gives_its_targets_bytes(alice, alice_s3, bob_s3, bucket):
    alice_s3("PUT", "/photos/a", b"one")
    alice.put("/photos/link", X_Symlink_Target="photos/a")
    answer = alice_s3("GET", "/photos/link")
    assert (content(answer), answer["ETag"]) == (b"one", alice_s3("HEAD", "/photos/a")["ETag"])
    bob_s3("PUT", "/of-bob")
    assert code_of(bob_s3("GET", "/photos/link")) == "AccessDenied"


# --- the unmodified client -------------------------------------------------------------------------


def test_boto3_deletes_all_versions(alice_s3: Any, kept: str) -> None:
    for key in ("a", "b"):
        for _ in range(3):
            put(alice_s3, key, b"x")
        alice_s3("DELETE", f"/photos/{key}")
    lines = listed(alice_s3)
    assert len(lines) == 8
    body = "".join(f"<Object><Key>{k}</Key><VersionId>{v}</VersionId></Object>" for _, k, v, _ in lines)
    assert alice_s3("POST", "/photos?delete", f"<Delete>{body}<Quiet>true</Quiet></Delete>".encode()).status_code == 200
    assert listed(alice_s3) == []
    assert alice_s3("DELETE", "/photos").status_code == 204
