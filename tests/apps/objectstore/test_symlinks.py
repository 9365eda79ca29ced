"""Symbolic links through Swift's API."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from apps.objectstore.models import Object
from apps.objectstore.services import large
from tests.apps.objectstore.conftest import Swift, content
from tests.kit.http import context

EMPTY = hashlib.md5(b"").hexdigest()


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def link(caller: Swift, path: str, target: str, **headers: str) -> Any:
    return caller.put(path, b"", X_Symlink_Target=target, **headers)


@pytest.fixture
def real(alice: Swift, box: str) -> bytes:
    """The object /box/real; returns its bytes."""
    alice.put("/box/real", b"real bytes", media="text/css", X_Object_Meta_N="1")
    return b"real bytes"


def test_a_link_reads_as_its_target(alice, real):
    assert link(alice, "/box/link", "box/real").status_code == 201
    answer = alice("GET", "/box/link")
    assert (content(answer), answer["Content-Type"], answer["X-Object-Meta-N"]) == (real, "text/css", "1")
    assert (answer["Content-Location"], answer["Etag"]) == ("/v1/AUTH_alice/box/real", md5(real))
    assert alice.bytes("/box/link", Range="bytes=5-") == b"bytes"
    assert alice("GET", "/box/link", If_None_Match=md5(real)).status_code == 304
    assert alice("HEAD", "/box/link")["Content-Length"] == "10"
    assert "X-Symlink-Target" not in answer


def test_the_link_itself(alice, real):
    link(alice, "/box/link", "box/real")
    answer = alice("GET", "/box/link?symlink=get")
    assert (content(answer), answer["X-Symlink-Target"], answer["Etag"]) == (b"", "box/real", EMPTY)
    assert "X-Symlink-Target-Account" not in answer
    assert link(alice, "/box/other", "box/r%C3%A4al", X_Symlink_Target_Account="AUTH_bob").status_code == 201
    head = alice("HEAD", "/box/other?symlink=get")
    assert (head["X-Symlink-Target"], head["X-Symlink-Target-Account"]) == ("box/r%C3%A4al", "AUTH_bob")
    assert (head["Content-Length"], head["Content-Type"]) == ("0", "application/symlink")
    assert alice("HEAD", "/box")["X-Container-Bytes-Used"] == "10"
    assert alice("DELETE", "/box/link").status_code == 204
    assert alice.bytes("/box/real") == real


def test_a_listing_tells_where_links_lead(alice, real):
    link(alice, "/box/l1", "box/real")
    link(alice, "/box/l2", "box/real", X_Symlink_Target_Etag=md5(real))
    link(alice, "/box/l3", "c/o", X_Symlink_Target_Account="AUTH_bob")
    rows = {row["name"]: row for row in alice("GET", "/box?format=json").json()}
    assert [rows[name].get("symlink_path") for name in ("l1", "l2", "l3", "real")] == [
        "/v1/AUTH_alice/box/real", "/v1/AUTH_alice/box/real", "/v1/AUTH_bob/c/o", None,
    ]  # fmt: skip
    assert (rows["l2"]["symlink_etag"], rows["l2"]["symlink_bytes"], rows["l2"]["bytes"]) == (md5(real), 10, 0)
    assert "symlink_etag" not in rows["l1"]
    assert b"symlink_" not in alice("GET", "/box?format=xml").content


@pytest.mark.parametrize(
    ("target", "body", "status"),
    [
        ("box", b"", 412),
        ("/box/real", b"", 412),
        ("box/", b"", 412),
        ("box/real", b"body", 400),
        ("box/link", b"", 400),
        ("%FF/real", b"", 412),
        ("box/" + "x" * 1025, b"", 400),
    ],
)
def test_links_that_are_refused(alice, real, target, body, status):
    assert alice.put("/box/link", body, X_Symlink_Target=target).status_code == status
    assert not Object.objects.filter(name="link").exists()


def test_more_that_is_refused(alice, real):
    link(alice, "/box/link", "box/real")
    assert alice("POST", "/box/link", X_Symlink_Target="box/x").status_code == 400
    assert link(alice, "/box/l", "c/o", X_Symlink_Target_Account="bob").status_code == 412
    assert link(alice, "/box/l", "c/o", X_Symlink_Target_Etag='a;"b').status_code == 400
    assert alice.names("/box") == ["link", "real"]


def test_chains_have_an_end(alice, real):
    link(alice, "/box/l1", "box/real")
    link(alice, "/box/l2", "box/l1")
    link(alice, "/box/l3", "box/l2")
    assert alice.bytes("/box/l2") == real
    assert alice("GET", "/box/l3").status_code == 409
    link(alice, "/box/x", "box/y")
    link(alice, "/box/y", "box/x")
    assert alice("GET", "/box/x").status_code == 409
    assert alice("HEAD", "/box/y").status_code == 409
    link(alice, "/box/broken", "box/none")
    assert alice("GET", "/box/broken").status_code == 404


def test_a_static_link_is_for_one_object_only(alice, real):
    assert link(alice, "/box/s", "box/real", X_Symlink_Target_Etag="0" * 32).status_code == 409
    assert link(alice, "/box/s", "box/none", X_Symlink_Target_Etag="0" * 32).status_code == 409
    assert link(alice, "/box/s", "box/real", X_Symlink_Target_Etag=f'"{md5(real)}"').status_code == 201
    head = alice("HEAD", "/box/s?symlink=get")
    assert (head["X-Symlink-Target-Etag"], head["X-Symlink-Target-Bytes"]) == (md5(real), "10")
    assert alice.bytes("/box/s") == real
    assert link(alice, "/box/s2", "box/s", X_Symlink_Target_Etag=md5(real)).status_code == 201
    assert alice.bytes("/box/s2") == real
    link(alice, "/box/d", "box/real")
    assert link(alice, "/box/sd", "box/d", X_Symlink_Target_Etag=md5(real)).status_code == 409
    assert link(alice, "/box/sd", "box/d", X_Symlink_Target_Etag=EMPTY).status_code == 201
    assert alice.bytes("/box/sd") == real
    alice.put("/box/real", b"others")
    assert alice("GET", "/box/s").status_code == 409
    assert alice("GET", "/box/s2").status_code == 409
    assert alice.bytes("/box/sd") == b"others"


def test_the_content_type_of_a_link_is_its_own(alice, real):
    link(alice, "/box/dynamic", "box/real")
    link(alice, "/box/static", "box/real", X_Symlink_Target_Etag=md5(real))
    alice.put("/box/said", media="text/plain", X_Symlink_Target="box/real")
    names = ("dynamic", "static", "said")
    assert [alice("HEAD", f"/box/{name}?symlink=get")["Content-Type"] for name in names] == [
        "application/symlink", "text/css", "text/plain",
    ]  # fmt: skip


def test_a_post_is_applied_to_the_link_and_told_where_to_go(alice, real):
    link(alice, "/box/link", "box/real", X_Symlink_Target_Etag=md5(real))
    answer = alice("POST", "/box/link", X_Object_Meta_C="3")
    assert (answer.status_code, answer["Location"]) == (307, "/v1/AUTH_alice/box/real")
    assert answer["X-Symlink-Target-Etag"] == md5(real)
    assert alice("HEAD", "/box/link?symlink=get")["X-Object-Meta-C"] == "3"
    assert "X-Object-Meta-C" not in alice("HEAD", "/box/real")
    assert alice.bytes("/box/link") == real


def test_copies_of_the_target_and_of_the_link(alice, real):
    link(alice, "/box/link", "box/real")
    assert alice("COPY", "/box/link", Destination="box/copy").status_code == 201
    assert "X-Symlink-Target" not in alice("HEAD", "/box/copy?symlink=get")
    assert alice("COPY", "/box/link?symlink=get", Destination="box/twin").status_code == 201
    assert alice("HEAD", "/box/twin?symlink=get")["X-Symlink-Target"] == "box/real"
    alice.put("/box/real", b"new")
    assert (alice.bytes("/box/copy"), alice.bytes("/box/twin")) == (real, b"new")
    bob = Swift(context("bob"))
    bob.put("/mine")
    alice("POST", "/box", X_Container_Read="bob:*")
    assert (
        bob.put("/mine/twin?symlink=get", X_Copy_From="box/link", X_Copy_From_Account="AUTH_alice").status_code == 201
    )
    assert bob("HEAD", "/mine/twin?symlink=get")["X-Symlink-Target-Account"] == "AUTH_alice"
    assert bob.bytes("/mine/twin") == b"new"
    assert alice("COPY", "/box/link", Destination="box/link").status_code == 201
    assert "X-Symlink-Target" not in alice("HEAD", "/box/link?symlink=get")


def test_a_link_gives_no_rights_to_its_target(alice, bob, stranger, real):
    alice.put("/open", X_Container_Read=".r:*")
    link(alice, "/open/link", "box/real")
    assert stranger("GET", "/open/link").status_code == 401
    assert bob("GET", "/open/link").status_code == 403
    assert bob("HEAD", "/open/link?symlink=get").status_code == 200
    mine = Swift(context("bob"))
    mine.put("/c")
    link(mine, "/c/l", "box/real", X_Symlink_Target_Account="AUTH_alice")
    assert mine("GET", "/c/l").status_code == 403
    assert link(
        mine, "/c/s", "box/real", X_Symlink_Target_Account="AUTH_alice", X_Symlink_Target_Etag=md5(real)
    ).status_code == 403  # fmt: skip
    alice("POST", "/box", X_Container_Read="bob:*")
    answer = mine("GET", "/c/l")
    assert (content(answer), answer["Content-Location"]) == (real, "/v1/AUTH_alice/box/real")


def test_links_to_large_objects_and_as_their_segments(alice, real):
    alice.put("/box/2", b"!")
    link(alice, "/box/seg", "box/real")
    wanted = [{"path": "/box/seg", "etag": md5(real), "size_bytes": 10}, {"path": "/box/2"}]
    assert alice.put("/box/slo?multipart-manifest=put", json.dumps(wanted).encode()).status_code == 201
    assert alice.bytes("/box/slo") == b"real bytes!"
    link(alice, "/box/l", "box/slo")
    answer = alice("GET", "/box/l")
    assert (content(answer), answer["X-Static-Large-Object"]) == (b"real bytes!", "True")
    assert alice("GET", "/box/l?multipart-manifest=get").json()[1]["name"] == "/box/2"
    manifest = alice("HEAD", "/box/slo?multipart-manifest=get")["Etag"]
    assert link(alice, "/box/sl", "box/slo", X_Symlink_Target_Etag=manifest).status_code == 201
    assert alice("HEAD", "/box/sl?symlink=get")["X-Symlink-Target-Bytes"] == "11"
    assert alice.bytes("/box/sl") == b"real bytes!"
    for name, target in (("1", "box/real"), ("2", "box/2")):
        link(alice, f"/box/d/{name}", target)
    alice.put("/box/dlo", X_Object_Manifest="box/d/")
    link(alice, "/box/dl", "box/dlo")
    assert alice.bytes("/box/dl") == b"real bytes!"
    alice("DELETE", "/box/real")
    for name in ("slo", "dlo", "l", "sl", "dl"):
        assert alice("GET", f"/box/{name}").status_code == 409
    missing = alice.put("/box/no?multipart-manifest=put", json.dumps([{"path": "/box/seg"}]).encode())
    assert (missing.status_code, b"404" in missing.content) == (400, True)


def test_segments_that_are_links_have_a_bound(alice, real, monkeypatch):
    monkeypatch.setattr(large, "MOST_LINKED", 2)
    for n in (1, 2, 3):
        link(alice, f"/box/d/{n}", "box/real")
        alice.put("/box/dlo", X_Object_Manifest="box/d/")
        assert alice("GET", "/box/dlo").status_code == (200 if n < 3 else 409)


def test_a_link_is_versioned_itself(alice, real):
    alice("POST", "/box", X_Versions_Enabled="true")
    first = link(alice, "/box/link", "box/real")["X-Object-Version-Id"]
    alice.put("/box/link", b"plain")
    assert alice.bytes(f"/box/link?version-id={first}") == real
    assert alice("HEAD", f"/box/link?version-id={first}&symlink=get")["X-Symlink-Target"] == "box/real"
    assert alice.bytes("/box/link") == b"plain"
