"""Versions through Swift's API, in its three manners."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from apps.objectstore.models import Blob, Bucket, Object, Version
from tests.apps.objectstore.conftest import Swift, content

MARKER = "application/x-deleted;swift_versions_deleted=1"


@pytest.fixture
def kept(alice: Swift, box: str) -> str:
    """The container keeps versions."""
    assert alice("POST", box, X_Versions_Enabled="true").status_code == 204
    return box


def version(answer: Any) -> str:
    """The id that an answer tells."""
    assert answer.status_code in {200, 201, 204}, answer.content
    return str(answer["X-Object-Version-Id"])


def listed(alice: Swift, query: str = "", path: str = "/box") -> list[dict[str, Any]]:
    return list(alice("GET", f"{path}?versions&{query}").json())


def test_a_container_says_whether_it_keeps_versions(alice, box):
    assert "X-Versions-Enabled" not in alice("HEAD", box)
    assert alice.put("/new", X_Versions_Enabled="true").status_code == 201
    assert alice("HEAD", "/new")["X-Versions-Enabled"] == "True"
    assert alice("POST", "/new").status_code == 204
    assert alice("HEAD", "/new")["X-Versions-Enabled"] == "True"
    alice("POST", "/new", X_Versions_Enabled="no")
    assert alice("GET", "/new")["X-Versions-Enabled"] == "False"
    assert {"object_versioning", "versioned_writes", "symlink"} <= set(
        json.loads(alice.client.get("/object-store/info").content)
    )


def test_puts_give_ids_and_each_can_be_read(alice, kept):
    first = version(alice.put("/box/a", b"one", media="text/css", X_Object_Meta_N="1"))
    second = version(alice.put("/box/a", b"three"))
    now = alice("GET", "/box/a")
    assert (content(now), now["X-Object-Version-Id"]) == (b"three", second)
    was = alice("GET", f"/box/a?version-id={first}")
    assert (content(was), version(was), was["Content-Type"], was["X-Object-Meta-N"]) == (b"one", first, "text/css", "1")
    assert alice("HEAD", f"/box/a?version-id={second}")["Content-Length"] == "5"
    assert alice.bytes(f"/box/a?version-id={first}", Range="bytes=1-") == b"ne"
    head = alice("HEAD", "/box")
    assert (head["X-Container-Object-Count"], head["X-Container-Bytes-Used"]) == ("1", "8")
    assert alice.names("/box") == ["a"]


@pytest.mark.parametrize(("asked", "status"), [("nonsense", 400), ("0" * 31 + "1", 404), ("null", 404)])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT"])
def test_versions_that_are_none(alice, kept, asked, status, method):
    alice.put("/box/a", b"one")
    assert alice(method, f"/box/a?version-id={asked}").status_code == status
    assert alice.bytes("/box/a") == b"one"


def test_what_came_before_is_the_null_version(alice, box):
    alice.put("/box/a", b"one")
    assert "X-Object-Version-Id" not in alice("HEAD", "/box/a")
    assert alice.bytes("/box/a?version-id=null") == b"one"
    alice("POST", box, X_Versions_Enabled="true")
    assert alice("HEAD", "/box/a")["X-Object-Version-Id"] == "null"
    alice.put("/box/a", b"two")
    assert [row["version_id"] == "null" for row in listed(alice)] == [False, True]
    assert alice.bytes("/box/a?version-id=null") == b"one"


def test_a_delete_leaves_a_marker_that_its_id_removes(alice, kept):
    made = version(alice.put("/box/a", b"one"))
    marker = version(alice("DELETE", "/box/a"))
    assert alice("GET", "/box/a").status_code == 404
    gone = alice("GET", f"/box/a?version-id={marker}")
    assert (gone.status_code, gone["X-Object-Version-Id"], gone["Content-Type"]) == (404, marker, MARKER)
    assert [(r["version_id"], r["is_latest"], r["content_type"] == MARKER) for r in listed(alice)] == [
        (marker, True, True), (made, False, False),
    ]  # fmt: skip
    again = alice("DELETE", "/box/a")
    assert again.status_code == 404
    assert again["X-Object-Version-Id"] == listed(alice)[0]["version_id"] != marker
    removed = alice("DELETE", f"/box/a?version-id={made}")
    assert (removed.status_code, removed["X-Object-Version-Id"], removed["X-Object-Current-Version-Id"]) == (
        204, made, "null",
    )  # fmt: skip
    assert alice("HEAD", "/box")["X-Container-Bytes-Used"] == "0"
    assert not Blob.objects.filter(unused_since=None).exists()


def test_a_version_is_made_current_and_copied(alice, kept):
    first = version(alice.put("/box/a", b"one"))
    second = version(alice.put("/box/a", b"two"))
    restored = alice.put(f"/box/a?version-id={first}")
    assert (restored.status_code, version(restored)) == (201, first)
    assert alice.bytes("/box/a") == b"one"
    assert [r["version_id"] for r in listed(alice) if r["is_latest"]] == [first]
    assert alice.put(f"/box/a?version-id={second}", b"body").status_code == 400
    assert alice("COPY", f"/box/a?version-id={second}", Destination="box/b").status_code == 201
    assert alice.bytes("/box/b") == b"two"
    assert alice.put(f"/box/c?version-id={second}", X_Copy_From="box/a").status_code == 201
    assert alice.bytes("/box/c") == b"two"
    again = version(alice("COPY", f"/box/a?version-id={second}", Destination="box/a"))
    assert again not in {first, second}
    assert (alice.bytes("/box/a"), len(listed(alice, "prefix=a"))) == (b"two", 3)


def test_a_post_changes_the_object_that_is_current(alice, kept):
    made = version(alice.put("/box/a", b"one"))
    assert alice("POST", "/box/a", X_Object_Meta_N="2").status_code == 202
    assert alice("POST", f"/box/a?version-id={made}", X_Object_Meta_N="3").status_code == 400
    head = alice("HEAD", "/box/a")
    assert (head["X-Object-Version-Id"], head["X-Object-Meta-N"], len(listed(alice))) == (made, "2", 1)


def test_a_listing_of_versions_in_pages(alice, kept):
    for name in ("a", "b", "d/1", "d/2"):
        for body in (b"1", b"22"):
            alice.put(f"/box/{name}", body)
    every = listed(alice)
    assert [(r["name"], r["bytes"], r["is_latest"]) for r in every[:4]] == [
        ("a", 2, True), ("a", 1, False), ("b", 2, True), ("b", 1, False),
    ]  # fmt: skip
    got: list[dict[str, Any]] = []
    query = "limit=3"
    while page := listed(alice, query):
        got += page
        query = f"limit=3&marker={page[-1]['name']}&version_marker={page[-1]['version_id']}"
    assert got == every
    assert listed(alice, "marker=a")[0]["name"] == "b"
    assert [r.get("subdir", r.get("name")) for r in listed(alice, "delimiter=/")] == ["a", "a", "b", "b", "d/"]
    assert listed(alice, "reverse=on&prefix=b") == [r for r in reversed(every) if r["name"] == "b"]
    assert alice("GET", f"/box?versions&version_marker={every[0]['version_id']}").status_code == 400
    assert alice("GET", "/box?versions&marker=a&version_marker=x").status_code == 400
    assert alice("GET", "/box?versions", Accept="text/plain").status_code == 406
    assert alice("GET", "/box?versions&format=xml").status_code == 406


def test_versions_are_read_and_removed_with_the_rights_to_the_container(alice, bob, stranger, kept):
    first = version(alice.put("/box/a", b"one"))
    alice.put("/box/a", b"two")
    for caller, status in ((bob, 403), (stranger, 401)):
        for method, path in (("GET", "/box/a"), ("HEAD", "/box/a"), ("DELETE", "/box/a"), ("PUT", "/box/a")):
            assert caller(method, f"{path}?version-id={first}").status_code == status
        assert caller("GET", "/box?versions").status_code == status
    alice("POST", "/box", X_Container_Read=".r:*")
    assert content(stranger("GET", f"/box/a?version-id={first}")) == b"one"
    assert stranger("GET", "/box?versions").status_code == 401
    assert len(listed(alice)) == 2


def test_a_container_with_versions_is_not_deleted(alice, kept):
    made = version(alice.put("/box/a", b"one"))
    marker = version(alice("DELETE", "/box/a"))
    assert alice("DELETE", "/box").status_code == 409
    for one in (made, marker):
        assert alice("DELETE", f"/box/a?version-id={one}").status_code == 204
    assert alice("DELETE", "/box").status_code == 204


def test_bulk_deletes_and_large_objects_leave_versions(alice, kept):
    alice.put("/box/a", b"one")
    answer = alice("POST", "?bulk-delete", b"box/a\nbox/none", Accept="application/json", media="text/plain").json()
    assert (answer["Number Deleted"], answer["Number Not Found"]) == (1, 1)
    alice.put("/seg")
    alice.put("/seg/1", b"one")
    alice.put("/box/big?multipart-manifest=put", json.dumps([{"path": "/seg/1"}]).encode())
    first = alice("HEAD", "/box/big")["X-Object-Version-Id"]
    alice.put("/box/big", b"small")
    assert alice.bytes(f"/box/big?version-id={first}") == b"one"
    assert alice("HEAD", "/box")["X-Container-Bytes-Used"] == "8"


# --- archives --------------------------------------------------------------------------------------


@pytest.fixture
def old(alice: Swift, box: str) -> str:
    """A container for earlier versions."""
    assert alice.put("/old").status_code == 201
    return "/old"


def held(alice: Swift) -> tuple[str, str, str]:
    """Bytes in the container, the archive and the account."""
    paths = (("/box", "Container"), ("/old", "Container"), ("", "Account"))
    return tuple(alice("HEAD", path)[f"X-{noun}-Bytes-Used"] for path, noun in paths)


def test_a_stack_gives_back_what_was_there_before(alice, old):
    assert alice("POST", "/box", X_Versions_Location="old").status_code == 204
    assert alice("HEAD", "/box")["X-Versions-Location"] == "old"
    for body in (b"1", b"22", b"333"):
        alice.put("/box/a", body, X_Object_Meta_N=str(len(body)))
    names = alice.names("/old")
    assert [re.sub(r"\d{10}\.\d{5}$", "T", name) for name in names] == ["001a/T", "001a/T"]
    assert alice.bytes(f"/old/{names[0]}") == b"1"
    assert held(alice) == ("3", "3", "6")
    assert alice("DELETE", "/box/a").status_code == 204
    assert (alice.bytes("/box/a"), alice("HEAD", "/box/a")["X-Object-Meta-N"]) == (b"22", "2")
    assert (held(alice), len(alice.names("/old"))) == (("2", "1", "3"), 1)
    alice("DELETE", "/box/a")
    assert alice.bytes("/box/a") == b"1"
    alice("DELETE", "/box/a")
    assert alice("DELETE", "/box/a").status_code == 404
    assert (held(alice), alice.names("/box"), alice.names("/old")) == (("0", "0", "0"), [], [])
    assert not Blob.objects.filter(unused_since=None).exists()


def test_a_history_keeps_deletes_too(alice, old):
    alice("POST", "/box", X_History_Location="old")
    assert alice("HEAD", "/box")["X-History-Location"] == "old"
    alice.put("/box/ü", b"1")
    alice.put("/box/ü", b"22")
    assert alice("DELETE", "/box/ü").status_code == 204
    assert alice("GET", "/box/ü").status_code == 404
    assert alice("DELETE", "/box/ü").status_code == 404
    rows = alice("GET", "/old?format=json").json()
    assert {row["name"][:5] for row in rows} == {"002ü/"}
    assert [(row["bytes"], row["content_type"] == MARKER) for row in rows] == [
        (1, False), (2, False), (0, True), (0, True),
    ]  # fmt: skip
    assert held(alice) == ("0", "3", "3")
    assert alice("COPY", f"/old/{rows[0]['name']}", Destination="box/%C3%BC").status_code == 201
    assert alice.bytes("/box/ü") == b"1"


def test_a_stack_above_a_marker(alice, old):
    """What a container left that was a history before."""
    alice("POST", "/box", X_History_Location="old")
    alice.put("/box/a", b"1")
    alice("DELETE", "/box/a")
    alice("POST", "/box", X_Versions_Location="old")
    alice.put("/box/a", b"22")
    assert alice("DELETE", "/box/a").status_code == 204
    assert (alice("GET", "/box/a").status_code, len(alice.names("/old"))) == (404, 2)
    assert alice("DELETE", "/box/a").status_code == 204
    assert (alice.bytes("/box/a"), alice.names("/old")) == (b"1", [])


def test_an_archive_that_cannot_take_it_lets_nothing_be_replaced(alice, box):
    alice.put("/box/a", b"1")
    alice("POST", "/box", X_Versions_Location="none")
    assert alice.put("/box/a", b"22").status_code == 412
    assert alice.bytes("/box/a") == b"1"
    alice.put("/kept", X_Versions_Enabled="true")
    alice("POST", "/box", X_History_Location="kept")
    assert alice.put("/box/a", b"22").status_code == 412
    assert alice("DELETE", "/box/a").status_code == 412
    assert alice.bytes("/box/a") == b"1"
    assert alice("POST", "/box", X_Remove_Versions_Location="x").status_code == 204
    assert alice.put("/box/a", b"22").status_code == 201
    assert (Version.objects.count(), Object.objects.count()) == (0, 1)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X_Versions_Location": "old", "X_History_Location": "old"}, 400),
        ({"X_Versions_Location": "old/a"}, 412),
        ({"X_Versions_Location": "a" * 257}, 400),
        ({"X_History_Location": "%E6%97%A5" * 86}, 400),
        ({"X_Versions_Location": "old", "X_Versions_Enabled": "true"}, 400),
        ({"X_Versions_Location": "old", "X_History_Location": ""}, 204),
        ({"X_Versions_Location": "", "X_History_Location": ""}, 204),
    ],
)
def test_manners_that_do_not_go_together(alice, old, headers, status):
    assert alice("POST", "/box", **headers).status_code == status
    if status >= 400:
        assert not {"X-Versions-Location", "X-History-Location", "X-Versions-Enabled"} & set(
            alice("HEAD", "/box").headers
        )


def test_versions_and_an_archive_exclude_each_other(alice, old):
    alice("POST", "/box", X_Versions_Location="old")
    assert alice("POST", "/box", X_Versions_Enabled="true").status_code == 400
    assert alice("HEAD", "/box")["X-Versions-Location"] == "old"
    alice("POST", "/box", X_Remove_History_Location="x")
    assert alice("POST", "/box", X_Versions_Enabled="true").status_code == 204
    assert alice("POST", "/box", X_Versions_Location="old").status_code == 400


def test_a_buckets_policy_may_deny_a_change_of_what_it_keeps(alice, box):
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutBucketVersioning", "Resource": "arn:aws:s3:::box"}
    alice("POST", box, X_Versions_Enabled="true")
    Bucket.objects.update(documents={"policy": {"Version": "2012-10-17", "Statement": [statement]}})
    assert alice("POST", box, X_Versions_Enabled="false").status_code == 403
    assert alice("HEAD", box)["X-Versions-Enabled"] == "True"
    assert alice("POST", box, X_Container_Meta_A="1").status_code == 204


def test_what_has_ended_in_an_archive_does_not_come_back(alice, old):
    alice("POST", "/box", X_Versions_Location="old")
    for body in (b"1", b"22", b"333"):
        alice.put("/box/a", body)
    Object.objects.filter(bytes=2).update(delete_at=datetime(2020, 1, 1, tzinfo=UTC))
    alice("DELETE", "/box/a")
    assert alice.bytes("/box/a") == b"1"
