"""Which downloads are left to nginx, and whose a copy is to read then."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import orjson
import pytest

from apps.core.sendfile import for_nginx
from apps.objectstore.models import Blob
from apps.objectstore.reconcile import check_objects
from apps.objectstore.services.objects import lent_links
from apps.objectstore.states import CHUNK, MIN_PART_BYTES
from cloud.config import Objectstore
from tests.apps.objectstore.conftest import Swift, content

BODY = bytes(range(256)) * 300  # small ones are in packs, which nobody lends
SENDFILE = {"X_Kumo_Sendfile": "1"}
GROUP = 12345


@pytest.fixture
def unchecked(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(settings.CONFIG), "objectstore", Objectstore(verify_reads=False))


@pytest.fixture
def lending(disks: list[Path], unchecked: None) -> None:
    """Disks that another group may read."""
    for disk in disks:
        os.chown(disk, -1, GROUP)
        disk.chmod(0o2710)


def copies() -> list[str]:
    return [f"{place}/{blob.pk.hex[-3:]}/{blob.pk.hex}" for blob in Blob.objects.all() for place in blob.places]


def is_lent(alice: Swift, path: str, **headers: str) -> bool:
    """Whether nginx is told of a file instead of bytes."""
    answer = alice("GET", path, b"", **{**SENDFILE, **headers})
    assert answer.status_code in {200, 206}, answer.status_code
    place = answer.headers.get("X-Kumo-Copy", "")
    if place:
        assert (content(answer), place in copies()) == (b"", True)
    return bool(place)


@pytest.fixture
def objects(alice: Swift, box: str) -> None:
    """An object of each kind, named by it."""
    alice.put("/box/plain", BODY)
    alice.put("/box/empty")
    alice.put("/box/link", X_Symlink_Target="box/plain")
    alice.put("/box/dynamic", X_Object_Manifest="box/plain")
    for name, paths in {"static": ["plain", "plain"], "one": ["plain"]}.items():
        listed = json.dumps([{"path": f"box/{path}"} for path in paths]).encode()
        assert alice.put(f"/box/{name}?multipart-manifest=put", listed).status_code == 201


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "query", "expected"),
    [
        ("plain", "", True),
        ("link", "", True),
        ("one", "", True),  # large in name, but one whole object's bytes
        ("empty", "", False),
        ("static", "", False),
        ("static", "?multipart-manifest=get", False),
        ("dynamic", "?multipart-manifest=get", False),
    ],
)
def test_whole_objects_of_one_blob_are_lent(alice, objects, lending, name, query, expected):
    assert is_lent(alice, f"/box/{name}{query}") is expected


@pytest.mark.parametrize("span", ["0-9", "5-9", "0-254"])
def test_a_range_of_an_object_is_not_the_whole_file(alice, objects, lending, span):
    listed = json.dumps([{"path": "box/plain", "range": span}]).encode()
    assert alice.put("/box/piece?multipart-manifest=put", listed).status_code == 201
    assert not is_lent(alice, "/box/piece")
    first, last = map(int, span.split("-"))
    assert alice.bytes("/box/piece", **SENDFILE) == BODY[first : last + 1]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-", True),
        ("bytes=5-9", True),
        ("bytes=-9", True),
        ("bytes=0-999999", True),
        ("bytes=0-0,5-9", False),
        ("bytes=9-5", False),
        ("bytes=0-0 ", True),  # WSGI's servers trim it
        ("bytes=5-" + "9" * 16, False),
        ("lines=5-9", False),
        ("bytes=٣-9", False),
    ],
)
def test_ranges_are_lent_that_nginx_reads_alike(alice, objects, lending, header, expected):
    assert is_lent(alice, "/box/plain", Range=header.strip().encode().decode("latin-1")) is expected


@pytest.mark.parametrize("name", ["If_Match", "If_None_Match", "If_Modified_Since", "If_Unmodified_Since", "If_Range"])
def test_conditional_requests_are_not(alice, objects, lending, name):
    value = "*" if name == "If_Match" else "other"
    assert not is_lent(alice, "/box/plain", **{name: value})


def test_nothing_is_lent_unless_nginx_asks_and_the_setting_says_so(alice, objects, lending, settings, monkeypatch):
    assert is_lent(alice, "/box/plain")
    assert "X-Kumo-Copy" not in alice("GET", "/box/plain").headers
    assert "X-Kumo-Copy" not in alice("HEAD", "/box/plain", **SENDFILE).headers
    assert not is_lent(alice, "/box/plain", X_Kumo_Sendfile="yes")
    monkeypatch.setattr(type(settings.CONFIG), "objectstore", Objectstore())
    assert not is_lent(alice, "/box/plain")
    assert alice.bytes("/box/plain", **SENDFILE) == BODY


def test_s3s_objects(alice_s3, bucket, lending):
    alice_s3("PUT", "/photos/plain", BODY)
    alice_s3("PUT", "/photos/mute", BODY, X_Amz_Meta_Color="")
    alice_s3("PUT", "/photos/secret", BODY, X_Amz_Server_Side_Encryption="AES256")
    for key, sizes in {"one": (MIN_PART_BYTES,), "two": (MIN_PART_BYTES, 1)}.items():
        upload = alice_s3.xml("POST", f"/photos/{key}?uploads").findtext("UploadId")
        parts = ""
        for number, size in enumerate(sizes, 1):
            answer = alice_s3("PUT", f"/photos/{key}?partNumber={number}&uploadId={upload}", bytes(size))
            parts += f"<Part><PartNumber>{number}</PartNumber><ETag>{answer['ETag']}</ETag></Part>"
        done = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        assert alice_s3("POST", f"/photos/{key}?uploadId={upload}", done).status_code == 200
    lent = {
        path: "X-Kumo-Copy" in alice_s3("GET", f"/photos/{path}", **SENDFILE).headers
        for path in ("plain", "mute", "secret", "one", "two", "one?partNumber=1", "two?partNumber=1")
    }
    assert lent == {
        "plain": True,
        "mute": False,  # nginx's script drops what has no value
        "secret": False,
        "one": True,
        "two": False,
        "one?partNumber=1": False,  # a part without a range: nginx would give the whole
        "two?partNumber=1": False,
    }
    assert "X-Kumo-Copy" not in alice_s3("GET", "/photos/plain?partNumber=1", **SENDFILE, Range="bytes=0-0").headers


def test_a_copy_is_its_groups_to_read_once_it_is_lent_and_nobody_elses(alice, box, lending, disks):
    alice.put("/box/a", bytes(CHUNK))
    alice.put("/box/b", bytes(CHUNK))
    files = [f for disk in disks for f in (disk / "blobs").rglob("*") if f.is_file()]
    assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}
    place = alice("GET", "/box/a", **SENDFILE)["X-Kumo-Copy"]
    number, _, path = place.partition("/")
    link = lent_links() / number
    lent = Path(os.readlink(link), path)
    assert [f for f in files if stat.S_IMODE(f.stat().st_mode) != 0o600] == [lent]
    for found, mode in ((lent, 0o640), (lent.parent, 0o2710), (lent.parent.parent, 0o2710)):
        assert (stat.S_IMODE(found.stat().st_mode), found.stat().st_gid) == (mode, GROUP)


def test_a_link_follows_its_disk(alice, objects, lending):
    number = alice("GET", "/box/plain", **SENDFILE)["X-Kumo-Copy"].partition("/")[0]
    link = lent_links() / number
    target = os.readlink(link)
    link.unlink()
    link.symlink_to("/etc")
    for _ in range(200):  # disks are taken in random order
        if alice("GET", "/box/plain", **SENDFILE)["X-Kumo-Copy"].startswith(f"{number}/"):
            break
    assert os.readlink(link) == target


@pytest.mark.parametrize("mode", [0o700, 0o710, 0o2700])
def test_a_disk_that_is_no_groups_lends_nothing_and_is_well(alice, objects, unchecked, disks, mode):
    for disk in disks:
        disk.chmod(mode)
    assert not is_lent(alice, "/box/plain")
    assert set(Blob.objects.values_list("missing", flat=True)) == {0}
    assert alice.bytes("/box/plain", **SENDFILE) == BODY


def test_copies_that_lack_or_are_short_are_told_and_another_is_lent(alice, box, lending, disks):
    alice.put("/box/a", BODY)
    blob = Blob.objects.get()
    first, second, third = (disk / "blobs" / blob.pk.hex[-3:] / blob.pk.hex for disk in disks)
    first.unlink()
    second.write_bytes(BODY[1:])
    for _ in range(200):  # they are taken in random order
        assert alice("GET", "/box/a", **SENDFILE)["X-Kumo-Copy"].startswith(f"{max(blob.places)}/")
        if (found := Blob.objects.get()).missing == 2:
            break
    assert (found.places, found.missing) == ([max(blob.places)], 2)
    third.rename(third.with_name("away"))
    third.symlink_to(third.with_name("away"))
    assert not is_lent(alice, "/box/a")
    third.unlink()
    assert alice("GET", "/box/a", **SENDFILE).status_code == 503


def test_nginx_is_told_everything_in_one_header():
    plain = [("Content-Type", "a/b"), ("X-Object-Meta-Wort", '日本"\\'), ("Last-Modified", "then")]
    given = [*plain, ("Content-Length", "5"), ("Content-Range", "bytes 0-4/9"), ("X-Openstack-Request-Id", "req-1")]
    assert for_nginx(iter(given)) == given
    made = dict(for_nginx([*given, ("X-Kumo-Copy", "1/abc/f")]))
    answer = orjson.loads(made.pop("X-Kumo-Answer"))
    assert answer == {"Content-Type": "a/b", "X-Object-Meta-Wort": '日本"\\', "X-Openstack-Request-Id": "req-1"}
    assert made == {
        "X-Accel-Redirect": "@copy",
        "X-Kumo-Copy": "1/abc/f",
        "Content-Length": "0",
        "Last-Modified": "then",
        "X-Openstack-Request-Id": "req-1",
    }


def test_the_doctor_names_closed_disks_where_they_matter(disks, settings, monkeypatch):
    found = list(check_objects(False))
    monkeypatch.setattr(type(settings.CONFIG), "objectstore", Objectstore(verify_reads=False))
    disks[0].chmod(0o2710)
    more = [line for line in check_objects(False) if line not in found]
    assert [str(path) in line for path, line in zip(disks[1:], more, strict=True)] == [True, True]
