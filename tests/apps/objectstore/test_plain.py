"""Puts that are committed together: each is as it would be alone, and what is no plain put is left alone."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from apps.core.errors import TooLarge, Unavailable
from apps.objectstore import backends, services
from apps.objectstore.backends import NoRoomError, Stored
from apps.objectstore.backends.disks import DiskStore
from apps.objectstore.backends.packs import SMALL_BYTES
from apps.objectstore.models import Blob, Container, Delta, Disk, Object
from apps.objectstore.selectors import container_row, container_totals
from apps.objectstore.services import plain
from apps.objectstore.services.errors import InsufficientStorage
from apps.objectstore.services.objects import New, object_put
from tests.apps.objectstore.test_uploads_at_once import at_once
from tests.kit.copies import ids_on
from tests.kit.http import context

pytestmark = pytest.mark.django_db

ALICE = context("alice")


def box(name: str = "box") -> Container:
    services.container_put(ALICE, account="alice", container=name, changes={})
    found = container_row("alice", name)
    assert found is not None
    return found


def put(name: str, body: bytes, container: str = "box", **new: Any) -> Object:
    return object_put(
        ALICE, account="alice", container=container, name=name, source=io.BytesIO(body), size=len(body), new=New(**new)
    )


def made(place: Container, name: str, **fields: Any) -> tuple[Object, Stored]:
    """A row and bytes of which only the database knows."""
    stored = Stored(uuid.uuid4(), 3, b"\0\1\2\xff", (1, 2, 3))
    fields = {"bytes": 3, "etag": "e", "content_type": "text/plain", **fields}
    return Object(container_id=place.pk, name=name, blob_id=stored.id, **fields), stored


def wanted(place: Container, name: str, **fields: Any) -> plain._Put:
    return plain._Put(place, *made(place, name, **fields))


def committed(batch: list[plain._Put]) -> list[bool]:
    return [isinstance(kept, plain.Kept) and kept.at is not None for kept in plain._put(batch)]


def nothing_is_there() -> None:
    assert (Object.objects.count(), Blob.objects.count()) == (0, 0)
    assert not Delta.objects.filter(objects_change__gt=0).exists()


def test_a_plain_put_writes_what_a_put_alone_writes(disks, monkeypatch):
    box()
    new: dict[str, Any] = {"metadata": {"X-Object-Meta-Snow": "☃ \"'\\"}, "content_type": "a/b", "tags": {"k": "v"}}
    together = put("together", b"abc", **new)
    monkeypatch.setattr(plain, "is_plain", lambda place: False)
    alone = put("alone", b"abc", **new)
    rows = {row.name: row for row in Object.objects.all()}
    differs = {"name", "blob_id", "created_at", "pk"}
    for field in (f.name for f in Object._meta.concrete_fields if f.name not in differs):
        assert getattr(rows["together"], field) == getattr(rows["alone"], field), field
    assert rows["together"].created_at == together.created_at
    first, second = (Blob.objects.get(pk=str(row.blob_id)) for row in (together, alone))
    assert bytes(first.checksums) == bytes(second.checksums)
    assert (first.policy, first.size, sorted(first.places), first.missing, first.unused_since) == (
        (second.policy, second.size, sorted(second.places), second.missing, second.unused_since)
    )
    assert container_totals(together.container_id).objects == 2
    assert container_totals(together.container_id).bytes == 6


def test_what_has_the_name_is_replaced(disks):
    box()
    old, new = put("a", b"abc"), put("a", b"defgh")
    assert Object.objects.get().blob_id == new.blob_id
    assert Blob.objects.get(pk=str(old.blob_id)).unused_since is not None
    assert (container_totals(new.container_id).objects, container_totals(new.container_id).bytes) == (1, 5)


@pytest.mark.parametrize(
    "change",
    [
        {"versioning": "enabled"},
        {"versioning": "suspended"},
        {"archive": "other"},
        {"metadata": {"Quota-Bytes": "100"}},
    ],
    ids=str,
)
def test_a_container_that_changed_meanwhile_is_left_to_a_put_alone(change):
    place = box()
    Container.objects.update(**change)
    assert plain.put(place, *made(place, "a")).at is None
    nothing_is_there()


def test_an_account_with_a_quota_is_left_to_a_put_alone():
    place = box()
    place.account.metadata = {"Quota-Bytes-Policy-default": "100"}
    place.account.save()
    assert plain.put(place, *made(place, "a")).at is None
    nothing_is_there()


def test_a_container_that_went_meanwhile_gets_nothing():
    place = box()
    Container.objects.all().delete()
    assert plain.put(place, *made(place, "a")).at is None
    nothing_is_there()


def test_one_of_two_of_the_same_name_is_committed(django_assert_num_queries):
    places = [box(), box("other")]
    batch = [wanted(places[n % 2], name) for n, name in enumerate(["b", "a", "b", "b", "c"])]
    with django_assert_num_queries(1):
        found = committed(batch)
    assert found == [True, True, False, True, True]
    assert set(Blob.objects.values_list("pk", flat=True)) == set(Object.objects.values_list("blob_id", flat=True))
    assert [container_totals(place.pk).objects for place in places] == [2, 2]


def test_what_the_database_refuses_is_nobodys_and_everybody_goes_alone():
    place = box()
    batch = [wanted(place, "good"), wanted(place, "bad", etag="e" * 65)]
    with transaction.atomic():
        assert committed(batch) == [False, False]
        transaction.set_rollback(True)
    nothing_is_there()


@pytest.mark.parametrize("code", ["08006", "57P01", ""])
def test_when_nobody_knows_what_was_committed_all_are_told(monkeypatch, code):
    batch = [wanted(box(), "a")]

    def away() -> None:
        cause = type("Cause", (Exception,), {"pgcode": code})()
        raise OperationalError("the connection broke") from cause

    monkeypatch.setattr(connection, "cursor", away)
    with pytest.raises(OperationalError):
        plain._put(batch)


def test_bytes_that_find_no_room_are_their_callers_alone(disks, monkeypatch):
    place = box()
    held = plain.Held()
    held.write(b"abc")
    monkeypatch.setattr(DiskStore, "keep", lambda self, bodies: [NoRoomError("full")] * len(bodies))
    full, kept = plain._put([plain._Put(place, made(place, "a")[0], held), wanted(place, "b")])
    assert isinstance(full, NoRoomError)
    assert isinstance(kept, plain.Kept)
    assert [row.name for row in Object.objects.all()] == ["b"]
    with pytest.raises(InsufficientStorage):
        put("c", b"abc")


def test_on_another_machine_nothing_is_kept(disks, monkeypatch):
    box()
    Disk.objects.update(machine="another")
    backends.store.cache_clear()
    with pytest.raises(Unavailable):
        put("a", b"abc")
    nothing_is_there()


def test_small_bodies_come_with_their_objects_and_others_before(disks, monkeypatch):
    place = box()
    assert plain.draft(place, SMALL_BYTES) is not None
    for size in (0, SMALL_BYTES + 1):
        assert plain.draft(place, size) is None
    place.archive = "other"
    assert plain.draft(place, 1) is None


def test_bytes_of_an_object_that_is_no_plain_one_after_all_are_kept_once(disks, monkeypatch):
    box()
    put("a", b"abc")
    monkeypatch.setattr(plain, "is_plain", lambda place: True)
    Container.objects.update(metadata={"Quota-Bytes": "5"})
    with pytest.raises(TooLarge):
        put("b", b"abc")
    assert [len(ids_on(disk)) for disk in disks] == [1, 1, 1]
    put("a", b"abcd")
    assert [len(ids_on(disk)) for disk in disks] == [2, 2, 2]
    assert Object.objects.get().bytes == 4


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_many_who_put_at_once_each_have_what_they_wrote(paths: list[Path]):
    place = box()
    bodies = {f"{n:03}": f"body {n}".encode() for n in range(60)}
    found = at_once(
        *(lambda name=name, body=body: put(name, body) for name, body in bodies.items()),
        *(lambda n=n: put("same", b"x" * n) for n in range(1, 5)),
    )
    assert [one.name for one in found] == [*bodies, *["same"] * 4]
    rows = {row.name: row for row in Object.objects.all()}
    assert {name: rows[name].bytes for name in bodies} == {name: len(body) for name, body in bodies.items()}
    totals = container_totals(place.pk)
    assert (totals.objects, totals.bytes) == (61, sum(row.bytes for row in rows.values()))
    used = set(Blob.objects.filter(unused_since=None).values_list("pk", flat=True))
    assert used == {row.blob_id for row in rows.values()}
    for name, body in bodies.items():
        assert b"".join(services.object_pieces(rows[name], 0, len(body))) == body
