"""Versions of objects: what is kept of a put and of a delete, what goes, and that totals and bytes stay exact."""

from __future__ import annotations

import io
import itertools
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.models import Sum

from apps.core import owned
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from apps.core.ids import timed_uuid
from apps.objectstore import selectors, services
from apps.objectstore.models import Blob, Bucket, Container, Object, Version
from apps.objectstore.selectors import LAST, Page, container_totals
from apps.objectstore.selectors.versions import Start
from apps.objectstore.selectors.versions import statement as version_statement
from apps.objectstore.services import New, Removed
from apps.objectstore.states import NO_VERSION, Versioning
from tests.apps.objectstore.conftest import SYSTEM
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


# --- one version -----------------------------------------------------------------------------------


def remove(version_id: UUID, *, promote: bool = False) -> services.Gone:
    return services.version_delete(ALICE, **BOX, name="a", version_id=version_id, promote=promote)


def test_a_version_is_removed_for_good(kept):
    first, second = put(body=b"1"), put(body=b"22")
    assert remove(first.version_id) == services.Gone(False, second.version_id)
    assert (history(), totals(), bytes_kept()) == ([(False, 2, False)], (1, 2), 2)
    with pytest.raises(NotFound):
        remove(first.version_id)
    assert (totals(), bytes_kept()) == ((1, 2), 2)


def test_removing_what_is_current_promotes_the_one_before_in_s3_and_none_in_swift(kept):
    first, second = put(body=b"1"), put(body=b"22")
    assert remove(second.version_id) == services.Gone(False, None)
    assert (totals(), bytes_kept(), Object.objects.count()) == ((0, 1), 1, 0)
    third = put(body=b"333")
    assert remove(third.version_id, promote=True) == services.Gone(False, first.version_id)
    assert (totals(), bytes_kept(), Object.objects.get().version_id) == ((1, 1), 1, first.version_id)


def test_removing_the_marker_brings_the_object_back_in_s3(kept):
    first = put(body=b"1")
    older, newer = delete().version_id, delete().version_id
    assert older is not None
    assert newer is not None
    assert remove(newer, promote=True) == services.Gone(True, None)
    assert remove(older, promote=True) == services.Gone(True, first.version_id)
    assert (totals(), history()) == ((1, 1), [(False, 1, False)])


def test_an_earlier_version_is_made_current_without_copying(kept):
    first, second = put(body=b"1"), put(body=b"22")
    blobs = Blob.objects.count()
    restored = services.version_restore(ALICE, **BOX, name="a", version_id=first.version_id)
    assert (restored.version_id, restored.blob_id) == (first.version_id, first.blob_id)
    assert (history(), totals(), Blob.objects.count()) == ([(False, 1, False), (False, 2, False)], (1, 3), blobs)
    assert services.version_restore(ALICE, **BOX, name="a", version_id=first.version_id).pk == restored.pk
    marker = delete().version_id
    assert marker is not None
    with pytest.raises(NotFound):
        services.version_restore(ALICE, **BOX, name="a", version_id=marker)
    services.version_restore(ALICE, **BOX, name="a", version_id=second.version_id)
    assert (totals(), Object.objects.get().version_id) == ((1, 3), second.version_id)
    put(body=b"333")
    assert [row[1] for row in history()] == [3, 0, 2, 1]


def test_the_null_version_is_one_of_them(box):
    put(body=b"1")
    versioning(Versioning.ENABLED)
    second = put(body=b"22")
    services.version_restore(ALICE, **BOX, name="a", version_id=NO_VERSION)
    assert history() == [(True, 1, False), (False, 2, False)]
    assert remove(NO_VERSION, promote=True) == services.Gone(False, second.version_id)
    assert (totals(), bytes_kept()) == ((1, 2), 2)


def test_who_may_not_write_changes_nothing(kept):
    first = put(body=b"1")
    put(body=b"22")
    before = history()
    for ctx in (context("bob"), context("alice", "reader")):
        with pytest.raises(Forbidden):
            services.version_delete(ctx, **BOX, name="a", version_id=first.version_id)
        with pytest.raises(Forbidden):
            services.version_restore(ctx, **BOX, name="a", version_id=first.version_id)
        with pytest.raises(Forbidden):
            services.container_versioning(ctx, **BOX, versioning=Versioning.SUSPENDED)
    assert (history(), Container.objects.get().versioning) == (before, Versioning.ENABLED)


# --- containers ------------------------------------------------------------------------------------


def test_keeping_versions_is_suspended_but_never_undone(box):
    versioning(Versioning.NEVER)
    versioning(Versioning.ENABLED)
    with pytest.raises(Invalid):
        versioning(Versioning.NEVER)
    versioning(Versioning.SUSPENDED)
    versioning(Versioning.ENABLED)
    Bucket.objects.update(lock_enabled=True)
    with pytest.raises(Conflict):
        versioning(Versioning.SUSPENDED)
    assert Container.objects.get().versioning == Versioning.ENABLED


def test_a_container_goes_only_when_its_versions_have_gone(kept):
    first = put(body=b"1")
    marker = delete().version_id
    assert marker is not None
    for left in (first.version_id, marker):
        with pytest.raises(Conflict):
            services.container_delete(ALICE, **BOX)
        remove(left)
    services.container_delete(ALICE, **BOX)
    assert not Container.objects.exists()


def test_a_project_goes_with_its_versions(kept):
    for name in ("a", "b"):
        put(name, b"1")
        put(name, b"22")
    delete("b")
    (holding,) = owned.holdings(["alice"])
    for row in owned.rows_of(holding.kind, ["alice"]):
        owned.remove(SYSTEM, holding.kind, row)
    assert (Version.objects.count(), Container.objects.count(), bytes_kept()) == (0, 0, 0)


def test_quotas_count_the_bytes_of_versions(alice, kept):
    alice("POST", "/box", X_Container_Meta_Quota_Bytes="5", X_Container_Meta_Quota_Count="1")
    put(body=b"22")
    put(body=b"333")
    with pytest.raises(TooLarge):
        put(body=b"1")
    assert (totals(), bytes_kept()) == ((1, 5), 5)


def test_an_object_whose_time_is_over_becomes_a_version(kept):
    made = put(body=b"1")
    Object.objects.update(delete_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert services.objects_expire(SYSTEM) == 1
    assert (history(), totals(), bytes_kept()) == ([(False, 0, True), (False, 1, False)], (0, 1), 1)
    assert Version.objects.get(version_id=made.version_id).delete_at is None
    versioning(Versioning.SUSPENDED)
    put(body=b"22")
    Object.objects.update(delete_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert services.objects_expire(SYSTEM) == 1
    assert (history(), totals(), bytes_kept()) == ([(False, 0, True), (False, 1, False)], (0, 1), 1)


# --- any order -------------------------------------------------------------------------------------


@dataclass
class Model:
    """What S3's documentation says of one name, in a list of versions, the youngest last."""

    state: Versioning = Versioning.NEVER
    versions: list[list[Any]] = field(default_factory=list)  # [id, bytes, is marker]

    def put(self, made: Object) -> None:
        self._add(made.version_id, made.bytes, False)

    def delete(self, version_id: UUID | None) -> None:
        if self.state == Versioning.NEVER:
            self.versions.clear()
        else:
            self._add(version_id, 0, True)

    def remove(self, at: int) -> None:
        del self.versions[at]

    def _add(self, version_id: UUID | None, size: int, marker: bool) -> None:
        self.versions = [v for v in self.versions if v[0] != version_id]
        self.versions.append([version_id, size, marker])

    @property
    def is_there(self) -> bool:
        return bool(self.versions) and not self.versions[-1][2]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_any_order_of_calls_leaves_what_s3_says(box, seed):
    dice, model = random.Random(seed), Model()
    for step in range(60):
        act = dice.choice(["put", "put", "delete", "remove", "enable", "suspend"])
        if act == "put":
            model.put(put(body=bytes(step + 1)))
        elif act == "delete" and (model.is_there or model.state != Versioning.NEVER):
            model.delete(delete(null_marker=True).version_id)
        elif act == "remove" and model.versions:
            at = dice.randrange(len(model.versions))
            remove(model.versions[at][0], promote=True)
            model.remove(at)
        elif act in {"enable", "suspend"} and dice.random() < 0.5:
            model.state = Versioning.ENABLED if act == "enable" else Versioning.SUSPENDED
            versioning(model.state)
        listed = selectors.version_entries(Container.objects.get().pk, Page())
        assert [[e.version_id, e.bytes, e.is_marker] for e in reversed(listed)] == model.versions
        assert [e.is_latest for e in listed] == [True, *[False] * 60][: len(listed)]
        size = sum(v[1] for v in model.versions)
        assert (totals(), bytes_kept()) == ((int(model.is_there), size), size)


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


@pytest.mark.slow
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
            "SELECT %s, format('%%s/%%s', n %% 1000, n %% 20000), gen_random_uuid(), 0, 'e', 't', '{}', "
            "now() - n * interval '1 s', false FROM generate_series(1, 200000) n",
            [place],
        )
        cursor.execute("ANALYZE objectstore_version")
    for page in (Page(limit=1000), Page(limit=1000, reverse=True), Page("7", "/", limit=1000), Page(delimiter="/")):
        sql, values = version_statement(page, Start(LAST * 300 if page.reverse else ""))
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values | {"ident": place, "limit": 1000})
            top = cursor.fetchone()[0][0]["Plan"]
        scans = [n for n in nodes(top) if n.get("Relation Name", "").startswith("objectstore_version")]
        assert scans, page
        assert {n["Node Type"] for n in scans} <= {"Index Scan", "Index Only Scan"}, page
        read = sum(n["Actual Rows"] * n["Actual Loops"] for n in scans)
        assert read <= 4 * 1001, page
    assert len(selectors.version_entries(place, Page(delimiter="/"))) == 1000
