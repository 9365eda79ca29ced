"""Images in the cloud's own object store: taken, inspected, read in ranges, removed, and collected."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now

from apps.core.context import RequestContext
from apps.core.errors import Invalid
from apps.core.owned import holdings
from apps.image import backends, services
from apps.image.backends import BlobMissingError, objectstore
from apps.image.backends.inspection import UnsafeError, inspect
from apps.image.models import Image
from apps.image.models import Upload as ImageUpload
from apps.image.services import placed
from apps.objectstore import backends as blobs
from apps.objectstore import services as objects
from apps.objectstore.backends.disks import DiskStore
from apps.objectstore.models import Blob, Container, Object, Upload, UploadPart
from tests.apps.image.conftest import register, upload
from tests.kit.http import AUTHENTICATION, Caller, context
from tests.kit.rows import make_host

pytestmark = pytest.mark.django_db
SYSTEM = RequestContext(is_system=True)
MIB = 2**20
PART = 6 * MIB


@pytest.fixture(autouse=True)
def store(db: None, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An image store in the object store on three disks of the test's own, with small parts."""
    settings.KUMO_AUTHENTICATION = AUTHENTICATION
    settings.KUMO_DRIVERS = settings.KUMO_DRIVERS | {"image_store": {"default": {"BACKEND": "objectstore"}}}
    monkeypatch.setattr(objectstore, "PART_BYTES", PART)
    backends.store.cache_clear()
    blobs.store.cache_clear()
    for number in (1, 2, 3):
        path = tmp_path / f"disk{number}"
        path.mkdir()
        objects.disk_add(SYSTEM, path=str(path))
    made = blobs.store("default")
    assert isinstance(made, DiskStore)
    made.disks()  # its threads see the disks as they were when the test began
    yield
    backends.store.cache_clear()
    blobs.store.cache_clear()


def assert_nothing_is_left(caller: Caller, ident: str) -> None:
    assert caller("GET", f"/v2/images/{ident}").json()["status"] == "queued"
    assert not any(rows.objects.exists() for rows in (ImageUpload, Upload, UploadPart, Object))
    assert not Blob.objects.filter(unused_since=None).exists()
    assert list(backends.store().kept()) == []


@pytest.mark.slow
def test_an_image_of_several_parts_goes_in_and_out(alice):
    ident = register(alice)
    content = os.urandom(2 * PART + 5)
    assert upload(alice, ident, content).status_code == 204
    body = alice("GET", f"/v2/images/{ident}").json()
    assert (body["status"], body["size"], body["virtual_size"]) == ("active", len(content), len(content))
    assert body["os_hash_value"] == hashlib.sha512(content).hexdigest()
    assert b"".join(alice("GET", f"/v2/images/{ident}/file").streaming_content) == content
    for start, end in ((0, 9), (PART - 1, PART), (MIB - 1, PART + MIB), (2 * PART + 4, 2 * PART + 4)):
        answer = alice("GET", f"/v2/images/{ident}/file", Range=f"bytes={start}-{end}")
        assert b"".join(answer.streaming_content) == content[start : end + 1]
    assert [(row.name, len(row.parts or ())) for row in Object.objects.all()] == [(ident, 3)]
    assert not Upload.objects.exists()
    assert services.bytes_missing(SYSTEM) == []


def test_a_qcow2_is_inspected_through_the_pipe(alice, disk):
    ident = register(alice, disk_format="qcow2")
    assert upload(alice, ident, disk("qcow2")).status_code == 204
    assert Image.objects.get().virtual_size == 8 * MIB


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 1, MIB, PART, PART + 1])
def test_images_of_any_size(alice, size):
    ident = register(alice)
    content = os.urandom(size)
    assert upload(alice, ident, content, Content_Length=str(size)).status_code == 204
    with backends.store().open(ident) as file:
        assert file.read() == content
        assert (file.seek(0, os.SEEK_END), file.read()) == (size, b"")


def test_hostile_content_is_refused_and_leaves_nothing(alice, disk):
    ident = register(alice, disk_format="qcow2")
    answer = upload(alice, ident, disk("qcow2", "-F", "raw", "-u", "-b", "/etc/passwd"))
    assert answer.status_code == 415
    assert "backing file" in answer.json()["message"]
    assert_nothing_is_left(alice, ident)


def test_bytes_that_cannot_be_read_back_are_not_judged(alice, monkeypatch):
    ident = register(alice)
    monkeypatch.setattr(objectstore._ObjectFile, "_next", _broken)
    with pytest.raises(OSError, match="gone"):
        services.image_upload(context("alice"), image_id=ident, source=io.BytesIO(b"x" * 600), size=600)
    assert_nothing_is_left(alice, ident)


def _broken(self: Any) -> bytes:
    raise OSError("gone")


def test_a_client_cut_off_in_the_middle_leaves_nothing(alice):
    ident = register(alice)
    with pytest.raises(Invalid, match="cut off"):
        services.image_upload(context("alice"), image_id=ident, source=io.BytesIO(bytes(PART + 9)), size=PART + 10)
    assert_nothing_is_left(alice, ident)


def test_no_room_is_told_in_words_and_leaves_nothing(alice, tmp_path):
    ident = register(alice)
    for number in (1, 2):
        (tmp_path / f"disk{number}").rename(tmp_path / f"away{number}")
    answer = upload(alice, ident, b"x" * 600)
    assert answer.status_code == 413
    assert "no room" in answer.json()["message"]
    assert_nothing_is_left(alice, ident)


def test_deleting_gives_up_the_bytes(alice, django_capture_on_commit_callbacks):
    ident = register(alice)
    upload(alice, ident, os.urandom(PART + 1))
    with django_capture_on_commit_callbacks(execute=True):
        assert alice("DELETE", f"/v2/images/{ident}").status_code == 204
    assert list(backends.store().kept()) == []
    assert not Blob.objects.filter(unused_since=None).exists()
    with pytest.raises(BlobMissingError):
        backends.store().open(ident)
    backends.store().delete(ident)


@pytest.mark.django_db(transaction=True)
def test_deleting_is_one_commit_and_then_another(alice):
    ident = register(alice)
    upload(alice, ident, b"x" * 600)
    assert alice("DELETE", f"/v2/images/{ident}").status_code == 204
    assert not Object.objects.exists()


@pytest.mark.slow
def test_staged_bytes_become_the_image_by_import(alice):
    ident = register(alice)
    content = os.urandom(PART + 600)
    assert upload(alice, ident, content, "stage").status_code == 204
    assert [kept.name for kept in backends.store().kept()] == [ident]
    assert alice("POST", f"/v2/images/{ident}/import", {"method": {"name": "glance-direct"}}).status_code == 202
    assert b"".join(alice("GET", f"/v2/images/{ident}/file").streaming_content) == content


def test_what_no_image_names_is_collected_when_old(alice):
    store = backends.store()
    ident, other = register(alice), register(alice)
    upload(alice, ident, b"x" * 600)
    draft = store.draft(other, "0" * 32, PART)
    draft.write(b"y" * 600)
    draft.finish()  # and its process dies
    lost = store.draft("12345678-1234-1234-1234-123456789012", "1" * 32, 3)
    lost.write(b"abc")
    lost.finish()
    lost.publish()
    assert services.store_sweep(SYSTEM) == []
    Upload.objects.update(created_at=Now() - timedelta(days=1))
    Object.objects.update(created_at=Now() - timedelta(days=1))
    assert sorted(services.store_sweep(SYSTEM)) == sorted([other, "12345678-1234-1234-1234-123456789012"])
    assert [(kept.name, kept.attempt) for kept in store.kept()] == [(ident, "")]
    assert b"".join(alice("GET", f"/v2/images/{ident}/file").streaming_content) == b"x" * 600


@pytest.mark.slow
def test_hosts_get_images_that_something_placed_there_uses(alice, monkeypatch):
    ident = register(alice)
    content = os.urandom(PART + 7)
    upload(alice, ident, content)
    host = make_host()
    monkeypatch.setattr(placed, "_checks", [lambda host, image_id: True])
    headers = {"X-Kumo-Host": host.name, "X-Kumo-Host-Serial": host.certificate_serial}
    answer = alice.client.get(f"/internal/host/v1/image/{ident}", headers=headers)
    assert b"".join(answer.streaming_content) == content
    assert answer["X-Image-Sha256"] == hashlib.sha256(content).hexdigest()


def test_its_account_is_no_project_and_its_container_no_bucket(alice):
    upload(alice, register(alice), b"x" * 600)
    container = Container.objects.get()
    assert (container.account_id, hasattr(container, "bucket")) == (objectstore.ACCOUNT, False)
    assert [h for h in holdings([objectstore.ACCOUNT]) if h.count] == []
    for ctx in (context("alice"), context("bob")):
        other = Caller(ctx, "/object-store/v1")
        assert other("GET", f"/AUTH_{objectstore.ACCOUNT}/{container.name}").status_code == 403
        assert other("DELETE", f"/AUTH_{objectstore.ACCOUNT}/{container.name}").status_code == 403
    assert Container.objects.count() == 1


@pytest.mark.slow
@pytest.mark.parametrize(("have", "size"), [(0, 1), (10, 600), (20 * MIB, 20 * MIB + 1)])
def test_nothing_is_concluded_from_less_than_there_should_be(have, size):
    head = b"QFI\xfb" if have > MIB else b""
    with pytest.raises((OSError, UnsafeError)):
        inspect(io.BytesIO(head.ljust(have, b"\0")), size)
