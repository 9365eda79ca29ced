"""Accounts, containers and objects over HTTP."""

from __future__ import annotations

import hashlib
import io
import os
from urllib.parse import quote

import pytest
from django.db import connection

from apps.core.errors import Invalid
from apps.objectstore import services
from apps.objectstore.models import Blob, Container, Delta, Object
from apps.objectstore.services import deltas_fold
from tests.apps.objectstore.conftest import SYSTEM, content
from tests.kit.copies import ids_on

MIB = 2**20


def test_an_object_goes_in_and_comes_out(alice, box):
    body = os.urandom(3 * MIB + 5)
    made = alice.put("/box/a/b", body, X_Object_Meta_Color="blue", media="image/png")
    assert made.status_code == 201
    assert made["Etag"] == hashlib.md5(body).hexdigest()
    answer = alice("GET", "/box/a/b")
    assert content(answer) == body
    assert (answer["Content-Type"], answer["X-Object-Meta-Color"]) == ("image/png", "blue")
    assert (answer["Content-Security-Policy"], answer["X-Content-Type-Options"]) == ("sandbox", "nosniff")
    head = alice("HEAD", "/box/a/b")
    assert (head.status_code, head["Content-Length"], head["Etag"]) == (200, str(len(body)), made["Etag"])
    blob = Blob.objects.get()
    assert (len(blob.places), blob.missing, blob.size) == (3, 0, len(body))


def test_an_empty_object_has_no_bytes_anywhere(alice, box):
    assert alice.put("/box/none").status_code == 201
    assert alice.bytes("/box/none") == b""
    assert not Blob.objects.exists()


@pytest.mark.parametrize("name", ["ü/日本", "a//b", "a b", "x%2Fy", "q?&#", "line\nbreak", "..", "dot/../dot", "'\"<>"])
def test_names_are_kept_as_they_are(alice, box, name):
    assert alice.put(f"/box/{quote(name)}", b"1").status_code == 201
    assert Object.objects.get().name == name
    assert alice("GET", "/box?format=json").json()[0]["name"] == name
    assert alice.bytes(f"/box/{quote(name)}") == b"1"


@pytest.mark.parametrize(
    ("path", "status"), [("/a%00b", 412), ("/box/%00", 412), ("/" + "x" * 257, 400), ("/box/" + "x" * 1025, 400)]
)
def test_names_that_cannot_be_are_refused(alice, box, path, status):
    assert alice.put(path).status_code == status
    assert Container.objects.count() == 1


def test_replacing_counts_once_and_lets_the_old_bytes_go(alice, box):
    alice.put("/box/a", b"12345")
    alice.put("/box/a", b"123")
    head = alice("HEAD", "/box")
    assert (head["X-Container-Object-Count"], head["X-Container-Bytes-Used"]) == ("1", "3")
    assert Blob.objects.filter(unused_since=None).count() == 1
    assert Blob.objects.exclude(unused_since=None).count() == 1


def test_totals_are_the_same_before_and_after_folding(alice, box):
    for n in range(5):
        alice.put(f"/box/{n}", b"x" * n)
    alice("DELETE", "/box/4")
    before = [(alice("HEAD", p)["X-Trans-Id"], dict(alice("HEAD", p).headers)) for p in ("", "/box")]
    assert deltas_fold(SYSTEM) == 6
    assert not Delta.objects.exists()
    after = [dict(alice("HEAD", p).headers) for p in ("", "/box")]
    for (_, old), new in zip(before, after, strict=True):
        assert {n: v for n, v in old.items() if "Count" in n or "Bytes" in n} == {
            n: v for n, v in new.items() if "Count" in n or "Bytes" in n
        }
    assert after[0]["X-Account-Bytes-Used"] == after[0]["X-Account-Storage-Policy-default-Bytes-Used"] == "6"
    assert after[0]["X-Account-Object-Count"] == "4"
    assert alice("GET", "?format=json").json()[0]["count"] == 4


def test_containers(alice):
    assert alice.put("/one", X_Container_Meta_Shape="round").status_code == 201
    assert alice.put("/one", X_Container_Meta_Size="big").status_code == 202
    head = alice("HEAD", "/one")
    assert (head.status_code, head["X-Container-Meta-Shape"], head["X-Container-Meta-Size"]) == (204, "round", "big")
    assert alice("POST", "/one", X_Remove_Container_Meta_Shape="x").status_code == 204
    assert "X-Container-Meta-Shape" not in alice("HEAD", "/one")
    alice.put("/one/a", b"1")
    assert alice("DELETE", "/one").status_code == 409
    alice("DELETE", "/one/a")
    assert alice("DELETE", "/one").status_code == 204
    assert alice("DELETE", "/one").status_code == 404
    assert alice("HEAD", "")["X-Account-Container-Count"] == "0"


def test_a_container_that_comes_again_begins_at_zero(alice, box):
    alice.put("/box/a", b"123")
    alice("DELETE", "/box/a")
    alice("DELETE", "/box")
    alice.put("/box")
    deltas_fold(SYSTEM)
    assert alice("HEAD", "/box")["X-Container-Bytes-Used"] == "0"
    assert alice("HEAD", "")["X-Account-Bytes-Used"] == "0"


def test_errors_are_swifts_pages(alice, box):
    answer = alice("GET", "/box/none")
    assert answer.status_code == 404
    assert answer["Content-Type"] == "text/html; charset=UTF-8"
    assert b"<h1>Not Found</h1>" in answer.content
    assert alice("PATCH", "/box").status_code == 405
    assert "PUT" in alice("PATCH", "/box")["Allow"]


def test_an_object_needs_its_container(alice, disks):
    assert alice.put("/none/a", b"1").status_code == 404
    assert not Blob.objects.exists()
    assert [ids_on(disk) for disk in disks] == [[], [], []]


def test_other_bytes_than_announced_are_refused(alice, box, disks):
    assert alice.put("/box/a", b"1", Etag="0" * 32).status_code == 422
    assert alice("HEAD", "/box/a").status_code == 404
    assert [ids_on(disk) for disk in disks] == [[], [], []]


def test_a_body_that_ends_early_leaves_nothing(alice, box, disks):
    with pytest.raises(Invalid, match="cut off after 2 of 5"):
        services.object_put(
            alice.ctx, account="alice", container="box", name="a", source=io.BytesIO(b"12"), size=5, new=services.New()
        )
    assert alice("HEAD", "/box/a").status_code == 404
    assert [ids_on(disk) for disk in disks] == [[], [], []]


def test_only_new(alice, box):
    assert alice.put("/box/a", b"1", If_None_Match="*").status_code == 201
    assert alice.put("/box/a", b"2", If_None_Match="*").status_code == 412
    assert alice.put("/box/a", b"2", If_None_Match="abc").status_code == 400
    assert alice.bytes("/box/a") == b"1"


def test_post_replaces_an_objects_metadata(alice, box):
    alice.put("/box/a", b"1", X_Object_Meta_A="1", Content_Encoding="gzip", media="text/css")
    assert alice("POST", "/box/a", X_Object_Meta_B="2").status_code == 202
    head = alice("HEAD", "/box/a")
    assert (head["X-Object-Meta-B"], head["Content-Type"]) == ("2", "text/css")
    assert "X-Object-Meta-A" not in head
    assert "Content-Encoding" not in head
    assert alice("POST", "/box/none").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"X_Container_Meta_" + "a" * 129: "1"},
        {"X_Container_Meta_A": "v" * 257},
        {f"X_Container_Meta_{n}": "1" for n in range(91)},
        {f"X_Container_Meta_{n}": "v" * 256 for n in range(17)},
    ],
    ids=["name", "value", "count", "overall"],
)
def test_metadata_has_limits(alice, box, headers):
    assert alice("POST", "/box", **headers).status_code == 400
    assert Container.objects.get().metadata == {}


def test_metadata_is_utf8(alice, box):
    alice.put("/box/a", b"1", X_Object_Meta_City="東京".encode().decode("latin-1"))
    assert Object.objects.get().metadata["X-Object-Meta-City"] == "東京"
    assert alice("HEAD", "/box/a")["X-Object-Meta-City"].encode("latin-1").decode() == "東京"


@pytest.mark.parametrize(
    ("header", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=990-", 206, slice(990, 1000)),
        ("bytes=-5", 206, slice(995, 1000)),
        ("bytes=990-5000", 206, slice(990, 1000)),
        ("bytes=-5000", 206, slice(0, 1000)),
        ("bytes=5-2", 200, slice(0, 1000)),
        ("bytes=a-b", 200, slice(0, 1000)),
        ("lines=1-2", 200, slice(0, 1000)),
        ("bytes=1000-", 416, None),
        ("bytes=-0", 416, None),
    ],
)
def test_ranges(alice, box, header, status, part):
    body = os.urandom(1000)
    alice.put("/box/a", body)
    answer = alice("GET", "/box/a", Range=header)
    assert answer.status_code == status
    if part is not None:
        assert content(answer) == body[part]
        assert answer["Content-Length"] == str(len(body[part]))
    if status == 206:
        first, _, last = part.indices(1000)[0], None, part.indices(1000)[1] - 1
        assert answer["Content-Range"] == f"bytes {first}-{last}/1000"


def test_a_range_that_cannot_be_had_says_what_there_is(alice, box):
    alice.put("/box/a", b"123")
    assert alice("GET", "/box/a", Range="bytes=7-")["Content-Range"] == "bytes */3"


@pytest.mark.parametrize("header", ["X_Container_Sync_Key", "X_Container_Sync_To"])
def test_what_is_not_served_is_refused_rather_than_taken_silently(alice, box, header):
    for method, path in (("PUT", "/box/a"), ("PUT", "/new"), ("POST", "/box"), ("POST", "")):
        assert alice(method, path, **{header: "box/b"}).status_code == 400
    assert alice.names("") == ["box"]
    assert alice.names("/box") == []


def test_ranges_across_chunks(alice, box):
    body = os.urandom(3 * MIB)
    alice.put("/box/a", body)
    for first, last in ((MIB - 3, MIB + 3), (MIB, 2 * MIB - 1), (0, 3 * MIB - 1), (2 * MIB - 1, 2 * MIB)):
        assert alice.bytes("/box/a", Range=f"bytes={first}-{last}") == body[first : last + 1]


def test_several_ranges(alice, box):
    alice.put("/box/a", b"0123456789", media="text/plain")
    answer = alice("GET", "/box/a", Range="bytes=0-1,4-5,-1")
    boundary = answer["Content-Type"].partition("boundary=")[2]
    body = content(answer)
    assert answer.status_code == 206
    assert answer["Content-Length"] == str(len(body))
    parts = [p.partition(b"\r\n\r\n") for p in body.split(f"--{boundary}".encode())[1:-1]]
    assert [p[2].rstrip(b"\r\n") for p in parts] == [b"01", b"45", b"9"]
    assert b"Content-Range: bytes 4-5/10" in parts[1][0]
    assert alice("GET", "/box/a", Range="bytes=" + ",".join(["0-1"] * 60)).status_code == 416


def test_conditions(alice, box):
    alice.put("/box/a", b"1")
    etag, changed = alice("HEAD", "/box/a")["Etag"], alice("HEAD", "/box/a")["Last-Modified"]
    old = "Mon, 01 Jan 2001 00:00:00 GMT"
    for headers, status in (
        ({"If_Match": etag}, 200),
        ({"If_Match": '"other"'}, 412),
        ({"If_None_Match": f'"{etag}"'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": "other"}, 200),
        ({"If_Modified_Since": changed}, 304),
        ({"If_Modified_Since": old}, 200),
        ({"If_Unmodified_Since": old}, 412),
        ({"If_Unmodified_Since": changed}, 200),
    ):
        answer = alice("GET", "/box/a", **headers)
        assert answer.status_code == status, headers
        assert status != 304 or content(answer) == b""
    assert alice("GET", "/box/a", Range="bytes=0-0", If_Range="other").status_code == 200


def test_copies(alice, box):
    alice.put("/box/a", b"abc", X_Object_Meta_A="1", media="text/css")
    made = alice("COPY", "/box/a", Destination="box/b%20c", X_Object_Meta_B="2")
    assert (made.status_code, made["X-Copied-From"]) == (201, "box/a")
    head = alice("HEAD", "/box/b c")
    assert (head["X-Object-Meta-A"], head["X-Object-Meta-B"], head["Content-Type"]) == ("1", "2", "text/css")
    assert alice.put("/box/d", X_Copy_From="/box/b%20c", X_Fresh_Metadata="true").status_code == 201
    assert alice.bytes("/box/d") == b"abc"
    assert "X-Object-Meta-A" not in alice("HEAD", "/box/d")
    fresh = alice("COPY", "/box/a", Destination="box/f", X_Fresh_Metadata="true", X_Object_Meta_C="")
    assert (fresh.get("X-Object-Meta-A"), fresh["X-Object-Meta-C"]) == (None, "")
    assert alice("COPY", "/box/a", Destination="box").status_code == 412
    assert alice.put("/box/e", b"x", X_Copy_From="/box/a").status_code == 400
    assert alice.put("/box/e", X_Copy_From="/box/none").status_code == 404
    assert alice("HEAD", "/box/e").status_code == 404


def test_a_copy_onto_itself_changes_metadata(alice, box):
    alice.put("/box/a", b"abc", X_Object_Meta_A="1")
    assert alice("COPY", "/box/a", Destination="box/a", X_Object_Meta_B="2").status_code == 201
    assert alice("HEAD", "/box/a")["X-Object-Meta-B"] == "2"
    assert Blob.objects.count() == 1


def test_an_object_whose_time_is_over_is_not_there(alice, box):
    assert alice.put("/box/a", b"1", X_Delete_At="1").status_code == 400
    assert alice.put("/box/a", b"1", X_Delete_After="100").status_code == 201
    assert int(alice("HEAD", "/box/a")["X-Delete-At"]) > 0
    with connection.cursor() as cursor:
        cursor.execute("UPDATE objectstore_object SET delete_at = now() - interval '1 second'")
    assert alice("GET", "/box/a").status_code == 404
    assert alice("POST", "/box/a").status_code == 404
    assert alice("DELETE", "/box/a").status_code == 404
    assert alice.put("/box/a", b"22", If_None_Match="*").status_code == 201
    assert alice("HEAD", "/box")["X-Container-Bytes-Used"] == "2"


def test_container_quotas_are_exact(alice, box):
    alice("POST", "/box", X_Container_Meta_Quota_Bytes="5", X_Container_Meta_Quota_Count="2")
    assert alice.put("/box/a", b"12345").status_code == 201
    assert alice.put("/box/b", b"1").status_code == 413
    assert alice.put("/box/a", b"1").status_code == 201
    assert alice.put("/box/b", b"1").status_code == 201
    assert alice.put("/box/c", b"").status_code == 413
    assert alice.names("/box") == ["a", "b"]
    assert alice("POST", "/box", X_Container_Meta_Quota_Bytes="lots").status_code == 400


def test_account_quotas_are_the_resellers(alice, admin, box):
    assert alice("POST", "", X_Account_Meta_Quota_Bytes="3").status_code == 403
    assert admin("POST", "", X_Account_Meta_Quota_Bytes="3").status_code == 204
    assert alice.put("/box/a", b"1234").status_code == 413
    assert alice.put("/box/a", b"123").status_code == 201
    assert alice.put("/box/b", b"1").status_code == 413
    assert alice("POST", "", X_Account_Quota_Count="9").status_code == 403
    assert admin("POST", "", X_Account_Quota_Count="1", X_Account_Quota_Bytes="9").status_code == 204
    assert (alice("HEAD", "")["X-Account-Quota-Bytes"], alice("HEAD", "")["X-Account-Quota-Count"]) == ("9", "1")
    assert alice.put("/box/b", b"").status_code == 413
    assert alice.put("/box/a", b"1234").status_code == 201


def test_info_and_health(client):
    info = client.get("/object-store/info").json()
    assert info["swift"]["max_file_size"] == 5 * 2**30
    assert info == client.get("/info").json()
    assert client.get("/object-store/healthcheck").content == b"OK"
