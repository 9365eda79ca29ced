"""Bytes of images: what is taken, what is refused, and that nothing is left of what failed."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import struct
import uuid
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid, NotFound
from apps.image import selectors, services
from apps.image.backends import filesystem
from apps.image.models import Image, Upload
from apps.image.services import placed
from tests.apps.image.conftest import register, upload
from tests.kit.http import context
from tests.kit.rows import make_host

pytestmark = pytest.mark.django_db
ALICE = context("alice")
SYSTEM = RequestContext(is_system=True)


def files(store) -> list[str]:
    return sorted(e.name for e in store.rglob("*") if e.is_file()) if store.exists() else []


def assert_queued_and_clean(caller, ident, store) -> None:
    body = caller("GET", f"/v2/images/{ident}").json()
    assert (body["status"], body["size"], body["checksum"]) == ("queued", None, None)
    assert not Upload.objects.exists()
    assert files(store) == []


def test_an_upload_makes_the_image_active_with_sizes_and_hashes(alice, store):
    ident = register(alice)
    content = os.urandom(3 * 2**20 + 5)
    assert alice("GET", f"/v2/images/{ident}/file").status_code == 204
    assert upload(alice, ident, content).status_code == 204
    body = alice("GET", f"/v2/images/{ident}").json()
    assert body["status"] == "active"
    assert body["size"] == body["virtual_size"] == len(content)
    assert body["checksum"] == hashlib.md5(content).hexdigest()
    assert (body["os_hash_algo"], body["os_hash_value"]) == ("sha512", hashlib.sha512(content).hexdigest())
    assert body["stores"] == "default"
    assert Image.objects.get().sha256 == hashlib.sha256(content).hexdigest()
    assert files(store) == [ident]
    answer = alice("GET", f"/v2/images/{ident}/file")
    assert b"".join(answer.streaming_content) == content
    assert answer["Content-MD5"] == body["checksum"]
    assert answer["Content-Security-Policy"] == "sandbox"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_the_second_upload_is_a_conflict(alice):
    ident = register(alice)
    upload(alice, ident, b"a" * 600)
    assert upload(alice, ident, b"b" * 600).status_code == 409
    assert b"".join(alice("GET", f"/v2/images/{ident}/file").streaming_content) == b"a" * 600


@pytest.mark.slow
@pytest.mark.parametrize(
    ("header", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=990-", 206, slice(990, 1000)),
        ("bytes=-5", 206, slice(995, 1000)),
        ("bytes=990-5000", 206, slice(990, 1000)),
        ("bytes=5-2", 200, slice(0, 1000)),
        ("bytes=0-1,5-6", 200, slice(0, 1000)),
        ("lines=1-2", 200, slice(0, 1000)),
        ("bytes=1000-", 416, None),
        ("bytes=-0", 416, None),
    ],
)
def test_ranges(alice, header, status, part):
    ident = register(alice)
    content = bytes(range(250)) * 4
    upload(alice, ident, content)
    answer = alice("GET", f"/v2/images/{ident}/file", Range=header)
    assert answer.status_code == status
    if part is not None:
        assert b"".join(answer.streaming_content) == content[part]
        assert int(answer["Content-Length"]) == len(content[part])
    if status == 206:
        assert answer["Content-Range"] == f"bytes {part.start}-{part.stop - 1}/1000"


def test_runs_of_zeros_take_no_room(alice, store):
    ident = register(alice)
    content = b"x" * 2**20 + bytes(6 * 2**20)
    upload(alice, ident, content)
    kept = store / ident
    assert kept.read_bytes() == content
    assert kept.stat().st_blocks * 512 < 2 * 2**20


def test_a_qcow2_is_measured_by_its_disk(alice, disk):
    ident = register(alice, disk_format="qcow2")
    content = disk("qcow2")
    assert upload(alice, ident, content).status_code == 204
    body = alice("GET", f"/v2/images/{ident}").json()
    assert (body["size"], body["virtual_size"]) == (len(content), 8 * 2**20)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vmdk", "vdi", "vhdx"])
def test_other_formats_are_known(alice, disk, kind):
    ident = register(alice, disk_format=kind)
    options = ("-o", "subformat=streamOptimized") if kind == "vmdk" else ()
    assert upload(alice, ident, disk(kind, *options)).status_code == 204
    assert Image.objects.get().virtual_size == 8 * 2**20


def vmdk_descriptor() -> bytes:
    text = (
        '# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
        'RW 1 FLAT "/etc/passwd" 0\n'
    )
    return text.encode().ljust(1024, b"\0")


def huge_qcow2(size: int) -> bytes:
    header = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, 0, 0, 16, size) + bytes(40) + bytes(32)
    return header.ljust(4096, b"\0")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("declared", "make", "words"),
    [
        ("raw", lambda disk: disk("qcow2"), "content is qcow2"),
        ("qcow2", lambda disk: b"x" * 4096, "content is raw"),
        ("qcow2", lambda disk: disk("qcow2", "-F", "raw", "-u", "-b", "/etc/passwd"), "backing file"),
        ("qcow2", lambda disk: huge_qcow2(2**63), "cannot be"),
        ("qcow2", lambda disk: huge_qcow2(0), "cannot be"),
        ("qcow2", lambda disk: struct.pack(">4sI", b"QFI\xfb", 9) + bytes(4088), "version"),
        ("raw", lambda disk: vmdk_descriptor(), "descriptor"),
        ("vmdk", lambda disk: vmdk_descriptor().rstrip(b"\0"), "descriptor"),
        ("iso", lambda disk: b"x" * 70_000, "content is raw"),
    ],
)
def test_hostile_or_mislabelled_content_is_refused_and_leaves_nothing(alice, store, disk, declared, make, words):
    ident = register(alice, disk_format=declared)
    answer = upload(alice, ident, make(disk))
    assert answer.status_code == 415, answer.content
    assert words in answer.json()["message"]
    assert_queued_and_clean(alice, ident, store)


def test_a_data_file_is_refused(alice, store, tmp_path, disk):
    content = disk("qcow2", "-o", f"data_file={tmp_path}/outside.raw,data_file_raw=on")
    ident = register(alice, disk_format="qcow2")
    answer = upload(alice, ident, content)
    assert answer.status_code == 415
    assert "data_file" in answer.json()["message"]
    assert_queued_and_clean(alice, ident, store)


@pytest.mark.parametrize(
    ("attributes", "media", "content", "status"),
    [
        ({"disk_format": None}, "application/octet-stream", b"x", 400),
        ({"container_format": None}, "application/octet-stream", b"x", 400),
        ({}, "application/json", b"x", 415),
        ({"disk_format": "qcow2"}, "application/octet-stream", b"", 415),
    ],
)
def test_uploads_that_cannot_be(alice, store, attributes, media, content, status):
    ident = register(alice, **attributes)
    answer = alice("PUT", f"/v2/images/{ident}/file", content, media=media, Content_Length=str(len(content)))
    assert answer.status_code == status, answer.content
    assert_queued_and_clean(alice, ident, store)


def test_an_empty_image_is_taken_but_boots_nothing(alice):
    ident = register(alice)
    assert upload(alice, ident, b"", Content_Length="0").status_code == 204
    assert alice("GET", f"/v2/images/{ident}").json()["size"] == 0
    with pytest.raises(Invalid, match="is empty"):
        services.image_for_boot(ALICE, image_id=ident)


def test_what_boots_is_active_and_seen_by_the_caller(alice):
    ident = register(alice, visibility="private")
    with pytest.raises(Invalid, match="not active"):
        services.image_for_boot(ALICE, image_id=ident)
    upload(alice, ident, b"x" * 600)
    source = selectors.image_source(services.image_for_boot(ALICE, image_id=ident))
    assert (source.image_id, source.size_bytes, source.disk_format) == (ident, 600, "raw")
    assert source.sha256 == hashlib.sha256(b"x" * 600).hexdigest()
    with pytest.raises(NotFound):
        services.image_for_boot(context("bob"), image_id=ident)


def test_hosts_get_images_that_something_placed_there_uses(alice, monkeypatch):
    ident = register(alice)
    content = os.urandom(700)
    upload(alice, ident, content)
    host = make_host()
    uses: set[tuple[str, str]] = set()
    monkeypatch.setattr(placed, "_checks", [lambda host, image_id: (host.name, str(image_id)) in uses])
    headers = {"X-Kumo-Host": host.name, "X-Kumo-Host-Serial": host.certificate_serial}
    path = f"/internal/host/v1/image/{ident}"
    assert alice.client.get(path).status_code == 403
    assert alice.client.get(path, headers=headers).status_code == 403
    uses.add((host.name, ident))
    answer = alice.client.get(path, headers=headers)
    assert b"".join(answer.streaming_content) == content
    assert answer["X-Image-Sha256"] == hashlib.sha256(content).hexdigest()
    assert alice.client.get("/internal/host/v1/image/nonsense", headers=headers).status_code == 404


def test_a_body_of_unknown_length_is_refused(alice, store):
    ident = register(alice)
    answer = alice.client.put(
        f"/image/v2/images/{ident}/file",
        headers={
            "X-Auth-Token": alice.token,
            "Transfer-Encoding": "chunked",
            "Content-Type": "application/octet-stream",
        },
    )
    assert answer.status_code == 411
    assert_queued_and_clean(alice, ident, store)


def test_a_client_cut_off_in_the_middle_leaves_nothing(alice, store):
    ident = register(alice)
    with pytest.raises(Invalid, match="cut off after 5 of 10 bytes"):
        services.image_upload(ALICE, image_id=ident, source=io.BytesIO(b"12345"), size=10)
    assert_queued_and_clean(alice, ident, store)


def test_a_broken_connection_leaves_nothing(alice, store):
    class Broken:
        def read(self, size: int) -> bytes:
            raise ConnectionResetError

    ident = register(alice)
    with pytest.raises(ConnectionResetError):
        services.image_upload(ALICE, image_id=ident, source=Broken(), size=10)
    assert_queued_and_clean(alice, ident, store)


def test_a_full_disk_is_told_in_words_and_leaves_nothing(alice, store, monkeypatch):
    def full(self, piece):
        raise filesystem._meaning(OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(filesystem.FileDraft, "write", full)
    ident = register(alice)
    answer = upload(alice, ident, b"x" * 600)
    assert answer.status_code == 413
    assert "no room" in answer.json()["message"]
    assert_queued_and_clean(alice, ident, store)


def test_what_can_never_fit_is_refused_before_the_bytes(alice, store, monkeypatch):
    monkeypatch.setattr(filesystem, "SPARE_BYTES", 2**60)
    ident = register(alice)
    assert upload(alice, ident, b"x" * 600).status_code == 413
    assert_queued_and_clean(alice, ident, store)


def test_the_limits_on_size_hold(alice, store, settings, monkeypatch):
    ident = register(alice)
    with pytest.raises(Exception, match="larger than this cloud takes"):
        services.image_upload(ALICE, image_id=ident, source=io.BytesIO(), size=2**50)
    limits = __import__("apps.identity.services.limits", fromlist=["x"])._registered["image"]
    monkeypatch.setitem(limits, "image_size_total_gib", 0)
    answer = upload(alice, ident, b"x")
    assert answer.status_code == 413
    assert "more than 0 GiB" in answer.json()["message"]
    assert_queued_and_clean(alice, ident, store)


def test_deleting_removes_the_bytes(alice, store, django_capture_on_commit_callbacks):
    ident = register(alice)
    upload(alice, ident, b"x" * 600)
    with django_capture_on_commit_callbacks(execute=True):
        assert alice("DELETE", f"/v2/images/{ident}").status_code == 204
    assert files(store) == []


def test_an_image_deleted_while_its_bytes_come_stays_deleted(alice, store):
    ident = register(alice)

    class Deleting(io.BytesIO):
        def read(self, size=-1):
            services.image_delete(ALICE, image_id=ident)
            return super().read(size)

    with pytest.raises(Conflict, match="deleted or changed"):
        services.image_upload(ALICE, image_id=ident, source=Deleting(b"x" * 600), size=600)
    assert not Image.objects.exists()
    assert files(store) == []


def test_staged_bytes_become_the_image_by_import(alice, store):
    ident = register(alice)
    assert upload(alice, ident, b"x" * 600, "stage").status_code == 204
    assert alice("GET", f"/v2/images/{ident}").json()["status"] == "uploading"
    assert alice("GET", f"/v2/images/{ident}/file").status_code == 204
    body = {"method": {"name": "glance-direct"}, "all_stores": True}
    assert alice("POST", f"/v2/images/{ident}/import", body).status_code == 202
    shown = alice("GET", f"/v2/images/{ident}").json()
    assert (shown["status"], shown["size"]) == ("active", 600)
    assert files(store) == [ident]
    assert alice("POST", f"/v2/images/{ident}/import", body).status_code == 409


def test_hostile_staged_bytes_are_refused_at_import(alice, store, disk):
    ident = register(alice)
    upload(alice, ident, disk("qcow2"), "stage")
    answer = alice("POST", f"/v2/images/{ident}/import", {"method": {"name": "glance-direct"}})
    assert answer.status_code == 415
    assert_queued_and_clean(alice, ident, store)


def test_other_import_methods_are_not_offered(alice):
    ident = register(alice)
    body = {"method": {"name": "web-download", "uri": "http://169.254.169.254/"}}
    answer = alice("POST", f"/v2/images/{ident}/import", body)
    assert answer.status_code == 400
    assert "glance-direct" in answer.json()["message"]


def test_an_upload_whose_writer_died_is_taken_back(alice, store, django_capture_on_commit_callbacks):
    ident = register(alice)
    attempt = uuid.uuid4()
    Image.objects.update(status="saving")
    Upload.objects.create(image_id=ident, attempt=attempt, store="default", reserved_bytes=5)
    (store / "drafts").mkdir(parents=True)
    (store / "drafts" / f"{ident}.{attempt}").write_bytes(b"half")
    assert services.uploads_expire(SYSTEM) == 0
    Upload.objects.update(seen_at=Now() - timedelta(seconds=121))
    with django_capture_on_commit_callbacks(execute=True):
        assert services.uploads_expire(SYSTEM) == 1
    assert_queued_and_clean(alice, ident, store)
    assert upload(alice, ident, b"x" * 600).status_code == 204


def test_staged_bytes_wait_for_a_week(alice, store):
    ident = register(alice)
    upload(alice, ident, b"x" * 600, "stage")
    Upload.objects.update(seen_at=Now() - timedelta(days=6))
    assert services.uploads_expire(SYSTEM) == 0
    assert alice("POST", f"/v2/images/{ident}/import", {"method": {"name": "glance-direct"}}).status_code == 202


def test_the_sweep_removes_old_files_that_no_image_names_and_nothing_else(alice, store):
    ident = register(alice)
    upload(alice, ident, b"x" * 600)
    queued = register(alice)
    stale = [store / str(uuid.uuid4()), store / queued, store / "drafts" / f"{queued}.{uuid.uuid4()}"]
    fresh = store / str(uuid.uuid4())
    foreign = store / "README"
    for path in (*stale, fresh, foreign):
        path.write_bytes(b"x")
    for path in (*stale, foreign, store / ident):
        os.utime(path, (1, 1))
    assert len(services.store_sweep(SYSTEM, only_tell=True)) == 3
    assert len(files(store)) == 6
    assert sorted(services.store_sweep(SYSTEM)) == sorted([stale[0].name, queued, queued])
    assert files(store) == sorted([ident, fresh.name, "README"])


@pytest.mark.slow
def test_doctor_tells_of_images_without_their_bytes(alice, store):
    kept, gone, short = (register(alice, name=name) for name in ("kept", "gone", "short"))
    for ident in (kept, gone, short):
        upload(alice, ident, b"x" * 600)
    (store / gone).unlink()
    (store / short).write_bytes(b"x")
    with pytest.raises(CommandError, match="2 found"):
        call_command("doctor", "--only", "images")
    assert sorted(line.split()[2] for line in services.bytes_missing(SYSTEM)) == ["(gone):", "(short):"]
    assert alice("GET", f"/v2/images/{gone}/file").status_code == 404
