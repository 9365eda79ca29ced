"""The back end of S3 services on Kumo's own S3 API, served by a real process: blobs of one cloud lie in another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from apps.identity import selectors
from apps.objectstore import backends, services
from apps.objectstore.backends import BlobLostError, s3
from apps.objectstore.backends.s3 import S3Store
from apps.objectstore.models import Object, Upload
from apps.objectstore.states import CHUNK
from tests.apps.objectstore.conftest import SYSTEM
from tests.kit.blobs import LARGE, keep, read
from tests.kit.moto import credentials
from tests.kit.s3 import boto, key_in_rows
from tests.kit.served import Server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.contract]


@pytest.fixture
def store(transactional_db: None, tmp_path: Path) -> Iterator[S3Store]:
    """A store in a bucket of a project of the served cloud."""
    backends.store.cache_clear()
    selectors.forget()
    for n in (1, 2, 3):
        (tmp_path / f"disk{n}").mkdir()
        services.disk_add(SYSTEM, path=str(tmp_path / f"disk{n}"))
    server = Server(connection.settings_dict["NAME"], tmp_path / "state")
    server.start()
    try:
        key = key_in_rows("alice")
        endpoint = f"{server.url}/s3"
        boto(endpoint, key).create_bucket(Bucket="blobs")
        keys = credentials(tmp_path / "keys", key.access_key, key.secret_key)
        yield S3Store("far", bucket="blobs", prefix="of/another", endpoint=endpoint, credentials=keys)
    finally:
        server.kill()


def test_blobs_in_another_cloud(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [os.urandom(size) for size in (0, 1, CHUNK + 1, LARGE)]
    made = [keep(store, body, 700_000) for body in bodies]
    assert [read(store, stored) for stored in made] == bodies
    assert read(store, made[3], 8 * CHUNK - 1, 9 * CHUNK + 1) == bodies[3][8 * CHUNK - 1 : 9 * CHUNK + 1]
    assert sorted(kept.id for kept in store.kept()) == sorted(stored.id for stored in made)
    assert all(-5 < kept.age_s < 300 for kept in store.kept())
    assert all(store.verify(stored, lambda size: None) == {s3.PLACE: True} for stored in made)
    draft = store.draft(LARGE)
    draft.write(bytes(LARGE))
    assert Upload.objects.count() == 1
    draft.discard()
    assert Upload.objects.count() == 0
    left = store.draft(LARGE)
    left.write(bytes(LARGE))  # and its process dies
    assert len(list(store.kept())) == 4
    monkeypatch.setattr(s3, "LEFT_S", -300)
    assert len(list(store.kept())) == 4
    assert Upload.objects.count() == 0
    for stored in made:
        store.remove(stored.id, stored.places)
        store.remove(stored.id, stored.places)
    with pytest.raises(BlobLostError):
        read(store, made[3])
    assert [found.name for found in Object.objects.all()] == ["of/another/kumo-store"]
