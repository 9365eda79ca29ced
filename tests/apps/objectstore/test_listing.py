"""Listings: the words of the API against a plain model of what they mean, and the plan on many rows."""

from __future__ import annotations

import itertools
import json
import uuid
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.objectstore.models import Account, Container
from apps.objectstore.selectors import Page, listing

NAMES = ["a", "a/", "a/1", "a/2", "a/b/1", "b", "b/x", "c", "d//e", "é", "日/本", "z"]


@pytest.fixture
def container(db: None) -> Container:
    return Container.objects.create(account=Account.objects.create(pk="alice"), name="box", policy="default")


def fill(container: Container, names: list[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO objectstore_object (container_id, name, bytes, etag, content_type, metadata, created_at) "
            "SELECT %s, n, 0, 'e', 't', '{}', now() FROM unnest(%s::text[]) n",
            [container.pk, names],
        )


def expected(names: list[str], page: Page) -> list[tuple[str, bool]]:
    """What Swift's documentation says, by brute force."""
    order = sorted(names, key=str.encode, reverse=page.reverse)
    low, high = (page.marker, page.end_marker) if not page.reverse else (page.end_marker, page.marker)
    found: list[tuple[str, bool]] = []
    for name in order:
        if not name.startswith(page.prefix) or (low and name.encode() <= low.encode()):
            continue
        if high and name.encode() >= high.encode():
            continue
        rest = name[len(page.prefix) :]
        entry = (name, False)
        if page.delimiter and page.delimiter in rest:
            entry = (page.prefix + rest[: rest.index(page.delimiter) + len(page.delimiter)], True)
            if entry[0] == page.marker or (found and found[-1] == entry):
                continue
        found.append(entry)
    return found[: page.limit]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("delimiter", ["", "/", "//"])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "é", "none"])
def test_pages_are_what_the_words_mean(container, prefix, delimiter, reverse):
    fill(container, NAMES)
    markers = ["", "a/", "a/1", "b"]
    for marker, end, limit in itertools.product(markers, markers, (0, 2, 100)):
        page = Page(prefix, delimiter, marker, end, limit, reverse)
        got = [(e.name, e.is_subdir) for e in listing.objects(container.pk, page)]
        assert got == expected(NAMES, page), page


@given(
    names=st.sets(st.text(alphabet="ab/\u00e9\U0010ffff\ud7ff", min_size=1, max_size=5), max_size=20),
    prefix=st.text(alphabet="ab/", max_size=2),
    delimiter=st.sampled_from(["", "/", "b", "\ud7ff"]),
    marker=st.text(alphabet="ab/", max_size=3),
    reverse=st.booleans(),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_names(container, names, prefix, delimiter, marker, reverse):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM objectstore_object")
    fill(container, sorted(names))
    page = Page(prefix, delimiter, marker, "", 100, reverse)
    got = [(e.name, e.is_subdir) for e in listing.objects(container.pk, page)]
    assert got == expected(sorted(names), page)


def test_pages_follow_one_another(container):
    fill(container, NAMES)
    for delimiter, reverse in itertools.product(["", "/"], [False, True]):
        whole = listing.objects(container.pk, Page(delimiter=delimiter, reverse=reverse))
        got, marker = [], ""
        while page := listing.objects(container.pk, Page("", delimiter, marker, "", 2, reverse)):
            got += page
            marker = page[-1].name
        assert [e.name for e in got] == [e.name for e in whole]


def test_path_shows_what_lies_directly_below(container):
    fill(container, ["a", "a/", "a/1", "a/b", "a/b/", "a/b/2", "a/c/3", "d/4"])
    names = lambda path: [e.name for e in listing.objects(container.pk, Page(path=path))]  # noqa: E731
    assert names("a") == names("a/") == ["a/1", "a/b", "a/b/"]
    assert names("") == ["a", "a/"]
    assert names("a/c") == ["a/c/3"]


def test_after_is_the_next_text_of_all(db):
    assert listing.after("ab") == "ac"
    assert listing.after("a\ud7ff") == "a\ue000"
    assert listing.after("a\U0010ffff") == "b"
    assert listing.after("\U0010ffff") == ""


# --- on the wire -----------------------------------------------------------------------------------


def test_a_listing_as_text_json_and_xml(alice, box):
    alice.put("/box/a&<", b"12", media="text/css")
    alice.put("/box/d/x")
    assert alice.names("/box?delimiter=/") == ["a&<", "d/"]
    rows = alice("GET", "/box?delimiter=/&format=json").json()
    assert rows[0] | {"last_modified": ""} == {
        "name": "a&<", "bytes": 2, "hash": "c20ad4d76fe97759aa27a0c99bff6710", "content_type": "text/css",
        "last_modified": "",
    }  # fmt: skip
    assert rows[1] == {"subdir": "d/"}
    root = ET.fromstring(alice("GET", "/box?delimiter=/", Accept="application/xml").content)
    assert (root.tag, root.get("name")) == ("container", "box")
    assert [child.tag for child in root] == ["object", "subdir"]
    assert (root.findtext("object/name"), root[1].get("name")) == ("a&<", "d/")


def test_an_account_lists_its_containers(alice):
    for name in ("x-1", "x-2", "y"):
        alice.put(f"/{name}")
    alice.put("/y/a", b"123")
    assert alice.names("") == ["x-1", "x-2", "y"]
    assert alice.names("?delimiter=-") == ["x-", "y"]
    assert alice.names("?prefix=x&limit=1&marker=x-1") == ["x-2"]
    assert alice.names("?reverse=on") == ["y", "x-2", "x-1"]
    assert [(r["name"], r["count"], r["bytes"]) for r in alice("GET", "?format=json").json()][-1] == ("y", 1, 3)
    root = ET.fromstring(alice("GET", "?format=xml").content)
    assert (root.tag, root.get("name"), root[2].findtext("bytes")) == ("account", "AUTH_alice", "3")


@pytest.mark.parametrize(
    ("accept", "status", "kind"),
    [
        ("", 204, "text/plain"),
        ("application/json", 200, "application/json"),
        ("text/xml", 200, "text/xml"),
        ("application/xml;q=0.2, application/json;q=0.9", 200, "application/json"),
        ("image/png", 406, "text/html"),
        ("image/png, */*;q=0.1", 204, "text/plain"),
    ],
)
def test_the_form_of_a_listing_is_agreed(alice, accept, status, kind):
    answer = alice("GET", "", Accept=accept)
    assert answer.status_code == status
    assert answer["Content-Type"].startswith(kind)


def test_a_limit_above_the_highest_is_refused(alice, box):
    assert alice("GET", "/box?limit=10001").status_code == 412
    assert alice("GET", "?limit=10001").status_code == 412
    assert alice("GET", "/box?prefix=%FF").status_code == 412
    assert alice("GET", "/box?delimiter=%F4%8F%BF%BF").status_code == 412


def test_an_account_in_which_nothing_was_kept_is_empty(alice):
    head = alice("HEAD", "")
    assert (head.status_code, head["X-Account-Container-Count"]) == (204, "0")
    assert alice("GET", "?format=json").json() == []


# --- many rows -------------------------------------------------------------------------------------

ROWS = 200_000


def plan(page: Page, container: Container) -> dict[str, Any]:
    """PostgreSQL's own account of what it did for a page."""
    sql, values = listing.statement(page)
    text = sql.format(**dict(zip(("table", "owner", "columns"), listing.OBJECTS, strict=True)))
    with connection.cursor() as cursor:
        cursor.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}", values | {"ident": container.pk, "limit": page.limit}
        )
        found = cursor.fetchone()[0]
    return (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]


def nodes(top: dict[str, Any]) -> list[dict[str, Any]]:
    return [top, *(n for child in top.get("Plans", ()) for n in nodes(child))]


@pytest.mark.slow
def test_pages_are_index_scans_whatever_the_size(container):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO objectstore_object (container_id, name, bytes, etag, content_type, metadata, created_at) "
            "SELECT %s, format('%%s/%%s', n %% 1000, n), 0, 'e', 't', '{}', now() FROM generate_series(1, %s) n",
            [container.pk, ROWS],
        )
        cursor.execute("ANALYZE objectstore_object")
    other = Container(pk=uuid.uuid4())
    assert listing.objects(other.pk, Page(limit=10)) == []
    for page, most in (
        (Page(limit=1000), 1000),
        (Page(limit=1000, reverse=True), 1000),
        (Page("7", limit=1000, marker="770/1"), 1000),
        (Page(delimiter="/", limit=1000), 1000),
        (Page(delimiter="/", limit=1000, reverse=True), 1000),
        (Page("77/", "/", limit=100), 100),
    ):
        top = plan(page, container)
        scans = [n for n in nodes(top) if n.get("Relation Name", "").startswith("objectstore_object")]
        assert {n["Node Type"] for n in scans} <= {"Index Scan", "Index Only Scan"}, page
        assert len({n["Relation Name"] for n in scans}) == 1, "one partition holds a container"
        read = sum(n["Actual Rows"] * n["Actual Loops"] for n in scans)
        assert read <= most + 2, page
        assert not [n for n in nodes(top) if n["Node Type"] == "Sort"], page
    assert len(listing.objects(container.pk, Page(delimiter="/"))) == 1000
