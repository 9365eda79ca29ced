"""Many who put, delete, remove and restore one name at the same time: nothing acknowledged is lost or kept twice."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from apps.core.errors import KumoError, NotFound
from apps.objectstore import backends, selectors, services
from apps.objectstore.models import Blob, Container, Object, Version
from apps.objectstore.selectors import Page, account_totals, container_totals
from apps.objectstore.services import Keeping, New
from apps.objectstore.services.rows import extents_of
from apps.objectstore.states import NO_VERSION, Versioning
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
