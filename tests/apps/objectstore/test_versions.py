"""Versions of objects: what is kept of a put and of a delete, what goes, and that totals and bytes stay exact."""

from __future__ import annotations

import io
import itertools
import random
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import Sum

from apps.core.errors import NotFound
from apps.core.ids import timed_uuid
from apps.objectstore import selectors, services
from apps.objectstore.models import Blob, Container, Object, Version
from apps.objectstore.selectors import LAST, Page, container_totals
from apps.objectstore.selectors.versions import Start
from apps.objectstore.selectors.versions import statement as version_statement
from apps.objectstore.services import New, Removed
from apps.objectstore.states import NO_VERSION, Versioning
from tests.apps.objectstore.test_listing import nodes
from tests.kit.http import context

ALICE = context("alice")
BOX: Any = {"account": "alice", "container": "box"}


def put(name: str = "a", body: bytes = b"", container: str = "box", *, only_new: bool = False) -> Object:
    source, new = io.BytesIO(body), New(only_new=only_new)
    return services.object_put(
        ALICE, account="alice", container=container, name=name, source=source, size=len(body), new=new
    )


def delete(name: str = "a", *, null_marker: bool = False) -> Removed:
    return services.object_delete(ALICE, **BOX, name=name, null_marker=null_marker)


def versioning(state: Versioning) -> None:
    services.container_versioning(ALICE, **BOX, versioning=state)


def history(name: str = "a", container: str = "box") -> list[tuple[bool, int, bool]]:
    """Of each version, youngest first: whether it is null, its bytes, whether it is a marker; the current one first."""
    place = Container.objects.get(name=container).pk
    rows = [
        *Object.objects.filter(container_id=place, name=name),
        *Version.objects.filter(container_id=place, name=name).order_by("-created_at"),
    ]
    return [(row.version_id == NO_VERSION, row.bytes, getattr(row, "is_marker", False)) for row in rows]


def bytes_kept() -> int:
    return Blob.objects.filter(unused_since=None).aggregate(n=Sum("size"))["n"] or 0


def totals(container: str = "box") -> tuple[int, int]:
    found = container_totals(Container.objects.get(name=container).pk)
    return found.objects, found.bytes


@pytest.fixture
def kept(box: str) -> None:
    """The container keeps versions."""
    versioning(Versioning.ENABLED)


def test_a_container_that_never_kept_versions_keeps_none(box):
    put(body=b"1")
    put(body=b"22")
    assert (history(), totals(), bytes_kept()) == ([(True, 2, False)], (1, 2), 2)
    assert delete() == Removed()
    assert (history(), totals(), bytes_kept()) == ([], (0, 0), 0)


def test_puts_and_deletes_are_kept(kept):
    first = put(body=b"1")
    second = put(body=b"22")
    assert len({first.version_id, second.version_id, NO_VERSION}) == 3
    gone = delete()
    assert (gone.found, gone.is_marker) == (True, True)
    assert history() == [(False, 0, True), (False, 2, False), (False, 1, False)]
    assert (totals(), bytes_kept()) == ((0, 3), 3)
    again = delete()
    assert (again.found, again.is_marker) == (False, True)
    assert len(history()) == 4
    put(body=b"333")
    assert (totals(), bytes_kept()) == ((1, 6), 6)


def test_what_was_there_before_is_the_null_version(box):
    put(body=b"1")
    versioning(Versioning.ENABLED)
    put(body=b"22")
    assert history() == [(False, 2, False), (True, 1, False)]
    versioning(Versioning.SUSPENDED)
    put(body=b"333")
    assert history() == [(True, 3, False), (False, 2, False)]
    assert (totals(), bytes_kept()) == ((1, 5), 5)
    put(body=b"4444")
    assert history() == [(True, 4, False), (False, 2, False)]
    assert (totals(), bytes_kept()) == ((1, 6), 6)


def test_a_delete_while_suspended_leaves_a_null_marker_for_s3_and_none_for_swift(box):
    versioning(Versioning.ENABLED)
    put(body=b"1")
    versioning(Versioning.SUSPENDED)
    assert delete() == Removed()
    assert history() == [(False, 1, False)]
    with pytest.raises(NotFound):
        delete()
    put(body=b"22")
    assert delete(null_marker=True) == Removed(True, NO_VERSION, True)
    assert history() == [(True, 0, True), (False, 1, False)]
    assert delete(null_marker=True) == Removed(False, NO_VERSION, True)
    assert history() == [(True, 0, True), (False, 1, False)]
    assert (totals(), bytes_kept()) == ((0, 1), 1)
    put(body=b"333")
    assert history() == [(True, 3, False), (False, 1, False)]


# --- listings --------------------------------------------------------------------------------------

NAMES = ["a", "a/", "a/1", "a/b/1", "b", "b/x", "é", "z\U0010ffff"]


def fill(place: UUID, seed: int) -> list[tuple[str, int, int, UUID, bool]]:
    """Some versions of every name; returns (name, rank, minus the hour, id, is marker) in the order of a listing."""
    dice, rows = random.Random(seed), []
    for name in NAMES:
        hours = list(range(dice.randint(0, 4)))
        current = hours.pop(dice.randrange(len(hours))) if hours and dice.random() < 0.7 else None
        for hour in [*hours, *([] if current is None else [current])]:
            facts: Any = {"container_id": place, "name": name, "version_id": timed_uuid(), "bytes": hour}
            facts |= {"etag": "e", "content_type": "t", "created_at": datetime(2026, 1, 1, hour, tzinfo=UTC)}
            marker = hour != current and dice.random() < 0.4
            if hour == current:
                Object(**facts).save(force_insert=True)
            else:
                Version(**facts, is_marker=marker).save(force_insert=True)
            rows.append((name, int(hour != current), -hour, facts["version_id"], marker))
    return sorted(rows, key=lambda row: (row[0].encode(), row[1], row[2]))


def expected(rows: list[Any], page: Page, marker: UUID | None) -> list[tuple[str, UUID | None]]:
    """What is to be listed, by brute force: names with ids, groups without."""
    found: list[tuple[str, UUID | None]] = []
    shown = rows[::-1] if page.reverse else rows
    names = [row[0].encode() for row in shown]
    behind: Any = lambda n: n < page.marker.encode() if page.reverse else n > page.marker.encode()  # noqa: E731
    start = next((i for i, n in enumerate(names) if not page.marker or behind(n)), len(names))
    if marker is not None:
        start = [row[3] for row in shown].index(marker) + 1
    for name, _, _, version_id, _ in shown[start:]:
        rest = name.removeprefix(page.prefix)
        if not name.startswith(page.prefix):
            continue
        if page.delimiter and page.delimiter in rest:
            group = page.prefix + rest[: rest.index(page.delimiter) + len(page.delimiter)]
            if group != page.marker and (group, None) not in found:
                found.append((group, None))
        else:
            found.append((name, version_id))
    return found[: page.limit]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "none"])
def test_pages_of_versions_are_what_the_words_mean(box, prefix, delimiter, reverse):
    place = Container.objects.get().pk
    for seed in range(3):
        rows = fill(place, seed)
        markers: list[tuple[str, UUID | None]] = [("", None), ("a/", None), ("a", None), ("c", None)]
        markers += [(name, v) for name, _, _, v, _ in rows if not delimiter or delimiter not in name[len(prefix) :]]
        for (marker, version_id), limit in itertools.product(markers, (2, 100)):
            page = Page(prefix, delimiter, marker, "", limit, reverse)
            got = selectors.version_entries(place, page, version_id)
            assert [(e.name, None if e.is_subdir else e.version_id) for e in got] == expected(rows, page, version_id)
        every = selectors.version_entries(place, Page())
        newest = {name: v for name, _, _, v, _ in reversed(rows)}
        current = {v for _, rank, _, v, marker in rows if not rank}
        markers_only = {v for name, _, _, v, marker in rows if marker and newest[name] == v}
        assert {e.version_id for e in every if e.is_latest} == current | markers_only
        Object.objects.all().delete()
        Version.objects.all().delete()


def test_a_page_goes_on_after_a_version_that_is_gone(box):
    place = Container.objects.get().pk
    rows = [row for row in fill(place, 4) if row[0] == NAMES[0]]
    left = selectors.version_entries(place, Page(marker=NAMES[0]), UUID(int=5))
    assert [e.version_id for e in left][: len(rows)] == [row[3] for row in rows]
    everything = selectors.version_entries(place, Page())
    assert left == everything
    back = selectors.version_entries(place, Page(marker=NAMES[0], reverse=True), UUID(int=5))
    assert [e.version_id for e in back] == [row[3] for row in reversed(rows)]


@pytest.mark.slow
def test_a_page_of_versions_costs_what_it_shows(box):
    place = Container.objects.get().pk
    columns = "(container_id, name, version_id, bytes, etag, content_type, metadata, created_at"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO objectstore_version {columns}, is_marker) "
            "SELECT %s, format('%%s/%%s', n %% 1000, n %% 20000), gen_random_uuid(), 0, 'e', 't', '{}', now() - n * interval '1 s', false FROM generate_series(1, 200000) n",
            [place],
        )
        cursor.execute("ANALYZE objectstore_version")
    for page in (Page(limit=1000), Page(limit=1000, reverse=True), Page("7", "/", limit=1000), Page(delimiter="/")):
        sql, values = version_statement(page, Start(LAST * 300 if page.reverse else ""))
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values | {"ident": place, "limit": 1000})
            top = cursor.fetchone()[0][0]["Plan"]
        scans = [n for n in nodes(top) if n.get("Relation Name")]
        assert {n["Node Type"] for n in scans} <= {"Index Scan", "Index Only Scan"}, page
        read = sum(n["Actual Rows"] * n["Actual Loops"] for n in scans)
        assert read <= 4 * 1001, page
    assert len(selectors.version_entries(place, Page(delimiter="/"))) == 1000
