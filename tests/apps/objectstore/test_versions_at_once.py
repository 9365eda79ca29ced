"""Many who put, delete, remove and restore one name at the same time: nothing acknowledged is lost or kept twice."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction

from apps.core.errors import KumoError, NotFound
from apps.objectstore import backends, selectors, services
from apps.objectstore.models import Blob, Container, Object, Version
from apps.objectstore.selectors import Page, account_totals, container_totals
from apps.objectstore.services import Keeping, New, history
from apps.objectstore.services.history import archived_prefix
from apps.objectstore.services.rows import extents_of, shared
from apps.objectstore.states import NO_VERSION, TICK, Versioning, stamp, stamped
from tests.apps.objectstore.conftest import SYSTEM
from tests.apps.objectstore.test_uploads_at_once import at_once
from tests.kit.http import context

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ALICE = context("alice")
BOX: Any = {"account": "alice", "container": "box"}
AT: Any = BOX | {"name": "a"}
CALLERS = 6


@pytest.fixture(autouse=True)
def box(transactional_db: None, tmp_path: Path) -> Iterator[None]:
    backends.store.cache_clear()
    for n in (1, 2, 3):
        (tmp_path / f"disk{n}").mkdir()
        services.disk_add(SYSTEM, path=str(tmp_path / f"disk{n}"))
    for name in ("box", "old"):
        services.container_put(ALICE, account="alice", container=name, changes={})
    yield
    backends.store.cache_clear()


def put(size: int) -> Object:
    return services.object_put(ALICE, **AT, source=io.BytesIO(bytes(size)), size=size, new=New())


def keep(state: Versioning) -> None:
    services.container_versioning(ALICE, **BOX, versioning=state)


def all_is_well() -> None:
    """Every blob in use has one owner, every owner its blob, and the totals are what is there."""
    rows = [*Object.objects.all(), *Version.objects.all()]
    owned = [extent.blob_id for row in rows for extent in extents_of(row)]
    assert len(owned) == len(set(owned))
    assert set(owned) == set(Blob.objects.filter(unused_since=None).values_list("pk", flat=True))
    for place in Container.objects.all():
        inside = [row for row in rows if row.container_id == place.pk]
        totals = container_totals(place.pk)
        assert (totals.objects, totals.bytes) == (
            sum(isinstance(row, Object) for row in inside),
            sum(row.bytes for row in inside),
        )
        nulls = [row.name for row in inside if row.version_id == NO_VERSION]
        assert len(nulls) == len(set(nulls))
    totals = account_totals("alice")
    assert (totals.objects, totals.bytes) == (Object.objects.count(), sum(row.bytes for row in rows))


def test_puts_and_deletes_of_one_name_are_each_a_version():
    keep(Versioning.ENABLED)
    for _ in range(4):
        before = Version.objects.count() + Object.objects.count()
        answers = at_once(*[lambda: put(5)] * CALLERS, *[lambda: services.object_delete(ALICE, **AT)] * CALLERS)
        assert not [answer for answer in answers if isinstance(answer, KumoError)]
        ids = {answer.version_id for answer in answers}
        listed = selectors.version_entries(Container.objects.get(name="box").pk, Page())
        assert (len(ids), len(listed)) == (2 * CALLERS, before + 2 * CALLERS)
        assert ids <= {entry.version_id for entry in listed}
        assert [entry.is_latest for entry in listed].count(True) == 1
        times = [entry.at for entry in listed if entry.at]
        assert times == sorted(times, reverse=True)
        assert len(times) == len(set(times))
        all_is_well()


def test_anything_at_once_keeps_what_was_acknowledged():
    for seed in range(6):
        _anything(random.Random(seed))


def _anything(dice: random.Random) -> None:
    keep(Versioning.ENABLED)
    doomed, back, *others = [put(7).version_id for _ in range(4)]
    calls: list[Callable[[], Any]] = [
        *(lambda n=n: put(n) for n in (10, 20, 30)),
        *(lambda: services.object_delete(ALICE, **AT, null_marker=True) for _ in range(2)),
        *(lambda: services.version_delete(ALICE, **AT, version_id=doomed, promote=True) for _ in range(2)),
        lambda: services.version_restore(ALICE, **AT, version_id=back),
        lambda: keep(Versioning.SUSPENDED),
        lambda: keep(Versioning.ENABLED),
    ]
    dice.shuffle(calls)
    answers = at_once(*calls)
    assert all(isinstance(answer, NotFound) for answer in answers if isinstance(answer, KumoError))
    assert sum(isinstance(answer, services.Gone) for answer in answers) == 1
    all_is_well()
    there = set(Version.objects.values_list("version_id", flat=True))
    there |= set(Object.objects.values_list("version_id", flat=True))
    made: set[UUID] = {answer.version_id for answer in answers if isinstance(answer, Object)}
    assert ({back, *others} | made) - {NO_VERSION} <= there
    assert doomed not in there


def test_an_archive_gets_each_object_once():
    services.container_post(ALICE, **BOX, changes={}, keeping=Keeping(archive="old", is_history=True))
    sizes = range(1, 2 * CALLERS + 1)
    answers = at_once(*(lambda n=n: put(n) for n in sizes))
    assert not [answer for answer in answers if isinstance(answer, KumoError)]
    assert sorted(row.bytes for row in Object.objects.all()) == list(sizes)
    all_is_well()
    services.container_post(ALICE, **BOX, changes={}, keeping=Keeping(archive="old"))
    answers = at_once(*[lambda: services.object_delete(ALICE, **AT)] * (2 * CALLERS + 2))
    assert sum(isinstance(answer, NotFound) for answer in answers) == 2
    assert not Object.objects.exists()
    all_is_well()


def test_what_is_archived_replaces_nothing():
    services.container_post(ALICE, **BOX, changes={}, keeping=Keeping(archive="old", is_history=True))
    first = put(1)
    taken = archived_prefix("a") + stamp(first.created_at)
    services.object_put(ALICE, **BOX | {"container": "old", "name": taken}, source=io.BytesIO(b"22"), size=2, new=New())
    put(3)
    services.object_delete(ALICE, **AT)
    assert sorted(row.bytes for row in Object.objects.all()) == [0, 1, 2, 3]
    all_is_well()


def test_what_comes_later_is_archived_after_what_was():
    """The time of a write is taken before the writes of others are over."""
    services.container_post(ALICE, **BOX, changes={}, keeping=Keeping(archive="old", is_history=True))
    put(1)
    services.object_delete(ALICE, **AT)
    marker = Object.objects.order_by("-name")[0]
    place = Container.objects.get(name="box")
    with transaction.atomic():
        state = replace(shared(place.pk), now=marker.created_at - 7 * TICK)
        assert stamp(history.begin(place, state, "a")) > stamp(marker.created_at)


def test_times_a_tick_apart_are_told_apart():
    at = datetime(2033, 5, 18, 3, 33, 20, 999_935, tzinfo=UTC)
    times = [at + n * TICK for n in range(20_000)]
    stamps = [stamp(time) for time in times]
    assert stamps == sorted(set(stamps))
    assert stamps[0] == "2000000000.99993"
    assert [stamped(text) for text in stamps] == [time - timedelta(microseconds=5) for time in times]
    assert stamped("2000000000.9999") is stamped("x") is None
