"""Many who write, complete and abort the same upload at the same time: no byte is lost, kept twice or forgotten."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from apps.core.errors import Invalid, KumoError, NotFound
from apps.objectstore import backends, services
from apps.objectstore.models import Blob, Container, Object, Upload, UploadPart
from apps.objectstore.selectors import container_totals
from apps.objectstore.services import uploads
from apps.objectstore.services.rows import extents_of
from tests.apps.objectstore.conftest import SYSTEM
from tests.kit.http import context

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ALICE = context("alice")
AT: dict[str, Any] = {"account": "alice", "container": "box", "name": "big"}


@pytest.fixture(autouse=True)
def box(transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(uploads, "MIN_PART_BYTES", 1)
    backends.store.cache_clear()
    for n in (1, 2, 3):
        (tmp_path / f"disk{n}").mkdir()
        services.disk_add(SYSTEM, path=str(tmp_path / f"disk{n}"))
    services.container_put(ALICE, account="alice", container="box", changes={})
    yield
    backends.store.cache_clear()


def part(upload: Upload, number: int, body: bytes) -> services.Listed:
    made = services.upload_part_put(
        ALICE, **AT, upload_id=upload.pk, number=number, source=io.BytesIO(body), size=len(body)
    )
    return services.Listed(number, made.etag)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each returned, or the error of the caller's kind that it raised."""
    barrier = Barrier(len(calls))

    def one(call: Callable[[], Any]) -> Any:
        try:
            barrier.wait()
            return call()
        except KumoError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def all_is_well() -> None:
    """Every blob in use has one owner, every owner its blob, and the totals are what is there."""
    owners: list[Any] = [*Object.objects.all(), *UploadPart.objects.all()]
    owned = [extent.blob_id for owner in owners for extent in extents_of(owner)]
    assert len(owned) == len(set(owned))
    assert set(owned) == set(Blob.objects.filter(unused_since=None).values_list("pk", flat=True))
    totals = container_totals(Container.objects.get().pk)
    assert (totals.objects, totals.bytes) == (Object.objects.count(), sum(owner.bytes for owner in owners))


def read() -> bytes:
    found = Object.objects.get()
    content = services.content_of(services.Reader(ALICE, "alice"), found)
    return b"".join(services.content_pieces(content, 0, content.size))


def test_completing_aborting_and_parts():
    for seed in range(4):
        _all_at_once(seed)
        if Object.objects.exists():
            services.object_delete(ALICE, **AT)
        uploads.uploads_end(Container.objects.get())
        all_is_well()


def _all_at_once(seed: int) -> None:
    upload = services.upload_create(ALICE, **AT, new=services.New())
    first = [part(upload, number, bytes([number]) * 50) for number in (1, 2)]
    calls: list[Callable[[], Any]] = [
        *(lambda: services.upload_complete(ALICE, **AT, upload_id=upload.pk, listed=first) for _ in range(3)),
        lambda: services.upload_abort(ALICE, **AT, upload_id=upload.pk),
        *(lambda n=n: part(upload, n, b"x" * 70) for n in (2, 3, 4)),
    ]
    random.Random(seed).shuffle(calls)
    answers = at_once(*calls)
    assert all(isinstance(error, NotFound | Invalid) for error in answers if isinstance(error, KumoError))
    all_is_well()
    completed = {answer.etag for answer in answers if isinstance(answer, Object)}
    assert Object.objects.count() == len(completed) <= 1
    if completed:
        assert read() == b"\x01" * 50 + b"\x02" * 50
        assert not Upload.objects.exists()


def test_the_same_number_many_times():
    upload = services.upload_create(ALICE, **AT, new=services.New())
    bodies = [bytes([n]) * (10 + n) for n in range(8)]
    at_once(*(lambda body=body: part(upload, 1, body) for body in bodies))
    all_is_well()
    kept = UploadPart.objects.get()
    services.upload_complete(ALICE, **AT, upload_id=upload.pk, listed=[services.Listed(1, kept.etag)])
    assert read() in bodies
    all_is_well()


def test_uploads_of_one_name():
    started = [services.upload_create(ALICE, **AT, new=services.New()) for _ in range(4)]
    listed = [[part(upload, 1, bytes([n]) * 30)] for n, upload in enumerate(started)]
    answers = at_once(
        *(
            lambda upload=upload, parts=parts: services.upload_complete(ALICE, **AT, upload_id=upload.pk, listed=parts)
            for upload, parts in zip(started, listed, strict=True)
        )
    )
    assert all(isinstance(answer, Object) for answer in answers)
    assert read() in {bytes([n]) * 30 for n in range(4)}
    all_is_well()
    times = sorted(answer.created_at for answer in answers)
    assert all(earlier < later for earlier, later in itertools.pairwise(times))


def test_a_container_that_goes_meanwhile():
    upload = services.upload_create(ALICE, **AT, new=services.New())
    part(upload, 1, b"1" * 40)
    at_once(
        lambda: services.container_delete(ALICE, account="alice", container="box"),
        *(lambda n=n: part(upload, n, b"x" * 70) for n in (2, 3, 4)),
    )
    assert (Container.objects.count(), Upload.objects.count(), UploadPart.objects.count()) == (0, 0, 0)
    assert not Blob.objects.filter(unused_since=None).exists()
