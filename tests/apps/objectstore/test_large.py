"""Large objects, dynamic and static."""

from __future__ import annotations

import base64
import hashlib
import json
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.objectstore.models import Container, Object
from apps.objectstore.services import Reader, content_of, deltas_fold, objects_expire
from apps.objectstore.services.large import is_large
from tests.apps.objectstore.conftest import SYSTEM, Swift, content
from tests.kit.http import context


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def segments(alice: Swift, box: str) -> list[bytes]:
    """Three segments /box/s/1 to 3, "one", "two", "three"; returns their bytes."""
    bodies = [b"one", b"two", b"three"]
    for n, body in enumerate(bodies, 1):
        alice.put(f"/box/s/{n}", body)
    return bodies


def manifest(alice: Swift, path: str, wanted: list[Any], **headers: str) -> Any:
    return alice.put(f"{path}?multipart-manifest=put", json.dumps(wanted).encode(), **headers)


def slo(alice: Swift, path: str = "/box/big", **headers: str) -> Any:
    return manifest(alice, path, [{"path": f"/box/s/{n}"} for n in (1, 2, 3)], **headers)


def test_a_dynamic_one_is_what_lies_below_its_prefix(alice, segments):
    assert alice.put("/box/big", X_Object_Manifest="box/s/", media="text/css").status_code == 201
    answer = alice("GET", "/box/big")
    assert content(answer) == b"onetwothree"
    etag = md5("".join(md5(s) for s in segments).encode())
    assert (answer["Etag"], answer["X-Object-Manifest"], answer["Content-Type"]) == (f'"{etag}"', "box/s/", "text/css")
    assert alice("HEAD", "/box/big")["Content-Length"] == "11"
    assert alice.bytes("/box/big", Range="bytes=2-6") == b"etwot"
    alice.put("/box/s/4", b"!")
    assert alice.bytes("/box/big") == b"onetwothree!"
    assert alice.bytes("/box/big?multipart-manifest=get") == b""
    assert alice.put("/box/bad", X_Object_Manifest="box").status_code == 400


def test_a_static_one(alice, segments):
    etag = md5("".join(md5(s) for s in segments).encode())
    made = slo(alice, Etag=etag, X_Object_Meta_A="1")
    assert (made.status_code, made["Etag"]) == (201, f'"{etag}"')
    answer = alice("GET", "/box/big")
    assert content(answer) == b"onetwothree"
    assert (answer["X-Static-Large-Object"], answer["X-Object-Meta-A"]) == ("True", "1")
    assert alice.bytes("/box/big", Range="bytes=-6") == b"othree"
    assert alice("GET", "/box/big", If_None_Match=f'"{etag}"').status_code == 304
    kept = alice("GET", "/box/big?multipart-manifest=get").json()
    assert (kept[0]["name"], kept[0]["bytes"], kept[0]["hash"]) == ("/box/s/1", 3, md5(b"one"))
    raw = alice("GET", "/box/big?multipart-manifest=get&format=raw").json()
    assert raw[2] == {"path": "/box/s/3", "etag": md5(b"three"), "size_bytes": 5}
    assert manifest(alice, "/box/again", raw).status_code == 201
    rows = {r["name"]: r["bytes"] for r in alice("GET", "/box?format=json").json()}
    assert rows["big"] == 11
    deltas_fold(SYSTEM)
    assert alice("HEAD", "/box")["X-Container-Bytes-Used"] == "11"


@pytest.mark.slow
def test_ranges_data_and_nesting(alice, segments):
    slo(alice, "/box/inner")
    wanted = [
        {"path": "/box/inner", "range": "1-4"},
        {"data": base64.b64encode(b"-data-").decode()},
        {"path": "/box/s/3", "range": "-2", "etag": None, "size_bytes": 5},
    ]
    assert manifest(alice, "/box/outer", wanted).status_code == 201
    assert alice.bytes("/box/outer") == b"netw-data-ee"
    for start in range(12):
        for end in range(start, 12):
            assert alice.bytes("/box/outer", Range=f"bytes={start}-{end}") == b"netw-data-ee"[start : end + 1]
    kept = alice("GET", "/box/outer?multipart-manifest=get").json()
    assert (kept[0]["sub_slo"], kept[0]["range"]) == (True, "1-4")
    raw = alice("GET", "/box/outer?multipart-manifest=get&format=raw").json()
    assert manifest(alice, "/box/other", raw).status_code == 201
    assert alice.bytes("/box/other") == b"netw-data-ee"


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        ({}, b"list"),
        ([], b"at least one"),
        ([{"path": "/box/s/1", "colour": 1}], b"extraneous"),
        ([{"path": "/box"}], b"does not refer"),
        ([{"path": "/box/none"}], b"404"),
        ([{"path": "/box/s/1", "etag": "0" * 32}], b"Etag Mismatch"),
        ([{"path": "/box/s/1", "size_bytes": 4}], b"Size Mismatch"),
        ([{"path": "/box/s/1", "range": "9-"}], b"Unsatisfiable"),
        ([{"path": "/box/s/1", "range": "a-b"}], b"Invalid Range"),
        ([{"path": "/box/empty"}, {"path": "/box/s/1"}], b"at least 1 byte"),
        ([{"data": "!!"}], b"base64"),
        ([{"data": "YQ=="}], b"object-backed"),
        ([{"path": "/box/s/1", "data": "YQ=="}], b"other keys"),
        ([{"path": "/box/dynamic"}], b"dynamic"),
    ],
)
def test_manifests_that_are_wrong_say_where(alice, segments, wanted, word):
    alice.put("/box/empty")
    alice.put("/box/dynamic", b"1", X_Object_Manifest="box/s/")
    answer = manifest(alice, "/box/big", wanted)
    assert answer.status_code == 400
    assert word in answer.content
    assert alice("HEAD", "/box/big").status_code == 404


def test_problems_are_told_as_the_caller_likes(alice, segments):
    wanted = [{"path": "/box/no ne"}, {"path": "/box/s/1", "size_bytes": 4}]
    answer = manifest(alice, "/box/big", wanted)
    assert answer["Content-Type"].startswith("text/plain")
    assert answer.content == b"Errors:\n/box/no%20ne, 404 Not Found\n/box/s/1, Size Mismatch\n"
    answer = manifest(alice, "/box/big", wanted, Accept="application/json")
    assert answer.json() == {"Errors": [["/box/no%20ne", "404 Not Found"], ["/box/s/1", "Size Mismatch"]]}


def test_the_last_segment_may_be_empty(alice, segments):
    alice.put("/box/empty")
    assert manifest(alice, "/box/big", [{"path": "/box/s/1"}, {"path": "/box/empty"}]).status_code == 201
    assert alice.bytes("/box/big") == b"one"


def test_a_range_of_all_bytes_is_none(alice, segments):
    wanted = [{"path": "/box/s/1", "range": "0-2"}, {"path": "/box/s/2", "range": "-9"}]
    made = manifest(alice, "/box/big", wanted, Etag=md5((md5(b"one") + md5(b"two")).encode()))
    assert made.status_code == 201
    assert all("range" not in s for s in alice("GET", "/box/big?multipart-manifest=get").json())


# As in the documentation of Swift's `heartbeat`.
def test_with_a_heartbeat_the_end_tells(alice, segments):
    etag = md5("".join(md5(s) for s in segments).encode())
    wanted = json.dumps([{"path": f"/box/s/{n}"} for n in (1, 2, 3)]).encode()
    answer = alice.put("/box/big?multipart-manifest=put&heartbeat=on", wanted)
    assert (answer.status_code, answer["Content-Type"], answer["X-Accel-Buffering"]) == (202, "text/plain", "no")
    assert "Content-Length" not in answer
    pieces = answer.streaming_content
    assert next(pieces) == b" "
    assert alice("HEAD", "/box/big").status_code == 404  # not yet
    rest = b"".join(pieces)
    at = alice("HEAD", "/box/big")["Last-Modified"]
    text = f'\r\n\r\nEtag: "{etag}"\nLast Modified: {at}\nResponse Body: \nResponse Status: 201 Created\nErrors:\n'
    assert rest.decode() == text
    answer = alice.put("/box/big?multipart-manifest=put&heartbeat=on", wanted, Accept="application/json")
    report, at = json.loads(content(answer)), alice("HEAD", "/box/big")["Last-Modified"]
    assert report == {
        "Response Status": "201 Created", "Etag": f'"{etag}"', "Last Modified": at, "Response Body": "", "Errors": [],
    }  # fmt: skip
    assert alice.bytes("/box/big") == b"onetwothree"


def test_with_a_heartbeat_the_end_tells_what_is_wrong(alice, segments):
    path = "/box/big?multipart-manifest=put&heartbeat=on"
    wanted = json.dumps([{"path": "/box/s/1"}, {"path": "/box/none"}]).encode()
    assert content(alice.put(path, wanted, Accept="application/xml")).decode() == (
        " \r\n\r\n<upload>\n<response_body>Bad Request\nThe server could not comply with the request since it is "
        "either malformed or otherwise incorrect.</response_body>\n<response_status>400 Bad Request</response_status>\n"
        "<errors>\n<object><name>/box/none</name><status>404 Not Found</status></object>\n</errors>\n</upload>\n"
    )
    wanted = json.dumps([{"path": "/box/s/1"}]).encode()
    report = json.loads(content(alice.put(path, wanted, Accept="application/json", Etag="0" * 32)))
    assert (report["Response Status"], report["Errors"]) == ("422 Unprocessable Entity", [])
    assert alice.put(path, b"{").status_code == 400  # what is no manifest is refused at once
    assert alice("HEAD", "/box/big").status_code == 404


def test_manifests_have_limits(alice, segments):
    assert manifest(alice, "/box/big", [{"path": "/box/s/1"}] * 1001).status_code == 413
    assert alice.put("/box/big?multipart-manifest=put", b"{").status_code == 400
    assert slo(alice, Etag="0" * 32).status_code == 422
    assert alice("HEAD", "/box/big").status_code == 404


def test_a_segment_that_changed_is_not_given_for_what_it_was(alice, segments):
    slo(alice)
    alice.put("/box/s/2", b"other")
    assert alice("GET", "/box/big").status_code == 409
    alice("DELETE", "/box/s/2")
    assert alice("GET", "/box/big").status_code == 409


@pytest.mark.slow
def test_segments_are_read_with_the_readers_rights(alice, segments):
    alice.put("/open", X_Container_Read="bob:*", X_Container_Write="bob:*")
    slo(alice, "/open/static")
    alice.put("/open/dynamic", X_Object_Manifest="box/s/")
    bob = Swift(context("bob"), "alice")
    assert bob("GET", "/open/static").status_code == 403
    assert bob("GET", "/open/dynamic").status_code == 403
    assert manifest(bob, "/open/mine", [{"path": "/box/s/1"}]).status_code == 403
    alice("POST", "/box", X_Container_Read="bob:*")
    assert bob.bytes("/open/static") == bob.bytes("/open/dynamic") == b"onetwothree"


def test_a_static_one_goes_with_its_segments(alice, segments):
    slo(alice)
    alice("DELETE", "/box/s/2")
    answer = alice("DELETE", "/box/big?multipart-manifest=delete", Accept="application/json")
    assert answer.json() | {"Errors": []} == {
        "Response Status": "200 OK", "Response Body": "", "Number Deleted": 3, "Number Not Found": 1, "Errors": [],
    }  # fmt: skip
    assert not Object.objects.exists()


def test_what_is_no_static_one_is_told_so(alice, segments):
    report = alice("DELETE", "/box/s/1?multipart-manifest=delete", Accept="application/json").json()
    assert (report["Response Status"], report["Errors"]) == ("400 Bad Request", [["/box/s/1", "Not an SLO manifest"]])
    report = alice("DELETE", "/box/none?multipart-manifest=delete", Accept="application/json").json()
    assert (report["Response Status"], report["Number Not Found"]) == ("200 OK", 1)
    assert alice.names("/box") == ["s/1", "s/2", "s/3"]


def test_nested_ones_go_with_their_segments(alice, segments):
    slo(alice, "/box/inner")
    alice.put("/box/other", b"other")
    outer = [{"path": "/box/inner"}, {"path": "/box/other"}, {"path": "/box/inner", "range": "0-1"}]
    assert manifest(alice, "/box/outer", outer).status_code == 201
    report = alice("DELETE", "/box/outer?multipart-manifest=delete", Accept="application/json").json()
    assert (report["Number Deleted"], report["Errors"]) == (6, [])
    assert not Object.objects.exists()


def test_segments_that_may_not_be_deleted_stay_and_are_told(alice, segments):
    alice.put("/open", X_Container_Read="bob:*", X_Container_Write="bob:*")
    slo(alice, "/open/big")
    bob = Swift(context("bob"), "alice")
    assert bob("DELETE", "/open/big?multipart-manifest=delete&async=on").status_code == 403
    assert alice.names("/open") == ["big"]
    report = bob("DELETE", "/open/big?multipart-manifest=delete", Accept="application/json").json()
    assert report["Errors"] == [[f"/box/s/{n}", "403 Forbidden"] for n in (1, 2, 3)]
    assert (report["Response Status"], report["Number Deleted"]) == ("403 Forbidden", 1)
    assert alice.names("/box") == ["s/1", "s/2", "s/3"]
    slo(alice, "/box/mine")
    for query in ("", "&async=on"):
        assert bob("DELETE", f"/box/mine?multipart-manifest=delete{query}").status_code == 403


def test_segments_may_go_later(alice, segments):
    slo(alice)
    assert alice("GET", "/box/s/1").status_code == 200
    answer = alice("DELETE", "/box/big?multipart-manifest=delete&async=on")
    assert (answer.status_code, answer.content) == (204, b"")
    assert [alice("GET", f"/box/{name}").status_code for name in ("big", "s/1", "s/2", "s/3")] == [404] * 4
    alice.put("/box/s/2", b"anew")
    assert objects_expire(SYSTEM) == 2
    assert alice.names("/box") == ["s/2"]
    assert alice.bytes("/box/s/2") == b"anew"


def test_what_goes_later_is_of_one_container_and_plain(alice, segments):
    alice.put("/second")
    alice.put("/second/x", b"x")
    slo(alice, "/box/inner")
    manifest(alice, "/box/two", [{"path": "/box/s/1"}, {"path": "/second/x"}])
    manifest(alice, "/box/nested", [{"path": "/box/inner"}])
    for name, words in (
        ("two", b"All segments must be in one container. Found segments in &quot;box&quot;, &quot;second&quot;"),
        ("nested", b"No segments may be large objects."),
        ("s/1", b"Not an SLO manifest"),
    ):
        answer = alice("DELETE", f"/box/{name}?multipart-manifest=delete&async=on")
        assert (answer.status_code, words in answer.content) == (400, True)
    assert alice("DELETE", "/box/none?multipart-manifest=delete&async=on").status_code == 404
    assert objects_expire(SYSTEM) == 0
    assert alice.names("/box") == ["inner", "nested", "s/1", "s/2", "s/3", "two"]


def test_without_the_word_the_segments_stay(alice, segments):
    slo(alice)
    assert alice("DELETE", "/box/big").status_code == 204
    assert alice.names("/box") == ["s/1", "s/2", "s/3"]


def test_a_copy_is_one_object_of_all_bytes(alice, segments):
    slo(alice)
    alice.put("/box/dynamic", X_Object_Manifest="box/s/")
    for name in ("big", "dynamic"):
        assert alice("COPY", f"/box/{name}", Destination="box/copy").status_code == 201
        head = alice("HEAD", "/box/copy")
        assert (head["Etag"], head["Content-Length"]) == (md5(b"onetwothree"), "11")
        assert not {"X-Static-Large-Object", "X-Object-Manifest"} & set(head.headers)


def test_a_circle_of_dynamic_ones_ends(alice, box):
    alice.put("/box/a/1", X_Object_Manifest="box/b/")
    alice.put("/box/b/1", X_Object_Manifest="box/a/")
    assert alice("GET", "/box/a/1").status_code == 409


def looked_at(alice: Swift, path: str) -> tuple[int, int]:
    """The status of a HEAD, and how many queries it took."""
    with CaptureQueriesContext(
        connection,
    ) as seen:
        answer = alice("HEAD", path)
    return answer.status_code, len(seen)


def test_ranges_of_ranges_of_one_object_take_no_longer_than_one(alice, segments):
    """Without a memory this would be 30 to the power of 5 steps."""
    manifest(alice, "/box/0", [{"path": "/box/s/3", "range": "0-0"}] * 30)
    for level in range(1, 6):
        assert manifest(alice, f"/box/{level}", [{"path": f"/box/{level - 1}", "range": "0-1"}] * 30).status_code == 201
    status, queries = looked_at(alice, "/box/5")
    assert (status, queries < 40) == (200, True)
    assert alice.bytes("/box/5") == b"tt" * 30


def test_large_objects_of_nothing_take_no_longer_than_they_are_many(alice, box):
    """Without a memory this would be 5 to the power of 5 walks."""
    for level in range(6):
        for n in range(5):
            alice.put(f"/box/{level}/{n}", X_Object_Manifest=f"box/{level - 1}/" if level else "box/none/")
    status, queries = looked_at(alice, "/box/5/0")
    assert (status, queries < 100) == (200, True)
    assert alice.bytes("/box/5/0") == b""


@pytest.mark.parametrize("limit", ["MOST_NESTED", "MOST_STEPS", "MOST_LINKED"])
def test_what_a_read_looks_at_is_bounded(alice, segments, monkeypatch, limit):
    alice.put("/box/link", X_Symlink_Target="box/s/1")
    slo(alice, "/box/inner")
    manifest(alice, "/box/big", [{"path": "/box/inner"}, {"path": "/box/link"}])
    alice.put("/box/all", X_Object_Manifest="box/big")
    assert alice("GET", "/box/all").status_code == 200
    monkeypatch.setattr(f"apps.objectstore.services.large.{limit}", 0)
    assert alice("GET", "/box/all").status_code == 409


def test_a_segment_whose_time_is_over_is_no_segment(alice, segments):
    slo(alice)
    alice.put("/box/dynamic", X_Object_Manifest="box/s/")
    Object.objects.filter(name="s/2").update(delete_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert alice.bytes("/box/dynamic") == b"onethree"
    assert alice("GET", "/box/big").status_code == 409
    answer = manifest(alice, "/box/again", [{"path": "/box/s/2"}])
    assert (answer.status_code, b"404 Not Found" in answer.content) == (400, True)


def test_metadata_of_segments_takes_no_memory(alice, box):
    """A hundred thousand segments may be read as one, and anybody can give each of them 4 KiB of it."""
    place, at = Container.objects.get(), datetime.now(UTC)
    metadata = {f"X-Object-Meta-{n}": "x" * 40 for n in range(90)}
    facts = {"container_id": place.pk, "bytes": 0, "etag": md5(b""), "created_at": at, "metadata": metadata}
    Object.objects.bulk_create(Object(name=f"s/{n}", content_type="", **facts) for n in range(300))
    found = Object(**facts | {"name": "big", "metadata": {"X-Object-Manifest": "box/s/"}})
    tracemalloc.start()
    try:
        with CaptureQueriesContext(connection) as queries:
            parts = content_of(Reader(context("alice"), "alice"), found).parts
            assert not any(is_large(part.source) for part in parts if not isinstance(part.source, bytes))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(parts) == 300
    assert len(queries) < 6
    assert held / len(parts) < 2048
