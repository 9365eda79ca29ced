"""Versions of objects: what is kept of a put and of a delete, what goes, and that totals and bytes stay exact."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.db.models import Sum

from apps.core.errors import NotFound
from apps.objectstore import services
from apps.objectstore.models import Blob, Container, Object, Version
from apps.objectstore.selectors import container_totals
from apps.objectstore.services import New, Removed
from apps.objectstore.states import NO_VERSION, Versioning
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
