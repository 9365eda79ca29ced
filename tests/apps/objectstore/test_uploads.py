"""Objects that arrive in parts: what is kept, handed over and given up."""

from __future__ import annotations

import hashlib
import io
import random
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import pytest

from apps.core.errors import Forbidden, Invalid, KumoError, NotFound, PreconditionFailed, TooLarge
from apps.objectstore import selectors, services
from apps.objectstore.models import Blob, Container, Disk, Object, Upload, UploadPart, Version
from apps.objectstore.selectors import UploadPage, container_totals
from apps.objectstore.services import checksums, uploads
from apps.objectstore.services.checksums import Digests
from apps.objectstore.services.encryption import AES256, CUSTOMER, Wish
from apps.objectstore.services.rows import extents_of
from apps.objectstore.states import Versioning
from tests.apps.objectstore.conftest import SYSTEM
from tests.kit.copies import copy_at, ids_on
from tests.kit.http import context

ALICE = context("alice")
AT: dict[str, Any] = {"account": "alice", "container": "box", "name": "big"}
KEY = bytes(range(32))
MOST = 2000  # bytes that parts but the last have at least, here


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MIN_PART_BYTES", MOST)


def data(seed: int, size: int = MOST) -> bytes:
    return random.Random(seed).randbytes(size)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def begin(new: services.New | None = None, **more: Any) -> UUID:
    return services.upload_create(ALICE, **AT, new=new or services.New(content_type="text/css"), **more).pk


def part(upload: UUID, number: int, body: bytes, **more: Any) -> services.Listed:
    source = io.BytesIO(body)
    made = services.upload_part_put(ALICE, **AT, upload_id=upload, number=number, source=source, size=len(body), **more)
    return services.Listed(number, made.etag, made.checksums or {})


def complete(upload: UUID, *listed: services.Listed, **more: Any) -> Any:
    return services.upload_complete(ALICE, **AT, upload_id=upload, listed=listed, **more)


def read(found: Any, key: bytes = b"", start: int = 0, end: int | None = None) -> bytes:
    content = services.content_of(services.Reader(ALICE, "alice", key=key), found)
    return b"".join(services.content_pieces(content, start, content.size if end is None else end))


def totals() -> tuple[int, int]:
    found = container_totals(Container.objects.get(name="box").pk)
    return found.objects, found.bytes


def used() -> set[UUID]:
    return set(Blob.objects.filter(unused_since=None).values_list("pk", flat=True))


def test_an_object_of_parts(alice, box):
    upload = begin(services.New("text/css", {"X-Object-Meta-A": "1"}))
    bodies = [data(1), data(2), data(3, 7)]
    listed = [part(upload, number, body) for number, body in zip((1, 5, 9), bodies, strict=True)]
    assert alice("HEAD", "/box/big").status_code == 404
    assert totals() == (0, 2 * MOST + 7)
    made = complete(upload, *listed)
    whole = b"".join(bodies)
    joined = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies)).hexdigest()
    assert (made.etag, made.bytes, made.metadata) == (f"{joined}-3", len(whole), {"X-Object-Meta-A": "1"})
    assert made.checksums == {"type": "FULL_OBJECT", **checksums.digests_of(whole, ["CRC64NVME"])}
    assert (totals(), Upload.objects.count(), UploadPart.objects.count()) == ((1, len(whole)), 0, 0)
    assert {extent.blob_id for extent in extents_of(Object.objects.get())} == used()
    head = alice("HEAD", "/box/big")
    assert (head["Etag"], head["Content-Length"], head["Content-Type"]) == (made.etag, str(len(whole)), "text/css")
    assert alice.bytes("/box/big") == whole
    for start, end in ((0, 1), (MOST - 1, MOST + 1), (MOST, 2 * MOST), (5, 2 * MOST + 6), (2 * MOST, 2 * MOST + 7)):
        assert alice.bytes("/box/big", Range=f"bytes={start}-{end - 1}") == whole[start:end]


def test_the_parts_of_an_object_go_with_it(alice, box):
    for _ in range(2):
        upload = begin()
        complete(upload, part(upload, 1, data(1)), part(upload, 2, data(2)))
        assert len(used()) == 2
        assert totals() == (1, 2 * MOST)
    alice.put("/box/big", b"small")
    assert (len(used()), totals()) == (1, (1, 5))
    upload = begin()
    complete(upload, part(upload, 1, data(1)))
    alice("DELETE", "/box/big")
    assert (used(), totals()) == (set(), (0, 0))


def test_a_part_that_comes_again_takes_the_place_of_the_first(alice, box):
    upload = begin()
    first = part(upload, 1, data(1, 10))
    again = part(upload, 1, data(2, 30))
    assert (len(used()), totals()) == (1, (0, 30))
    with pytest.raises(Invalid, match="could not be found"):
        complete(upload, first)
    assert read(complete(upload, again)) == data(2, 30)


def test_versions_keep_their_parts(alice, box):
    services.container_versioning(ALICE, account="alice", container="box", versioning=Versioning.ENABLED)
    made = []
    for seed in (1, 2):
        upload = begin(services.New(encryption=Wish(AES256)))
        made.append(complete(upload, part(upload, 1, data(seed)), part(upload, 2, data(seed + 5))))
    assert (len(used()), totals()) == (4, (1, 4 * MOST))
    old = Version.objects.get(version_id=made[0].version_id)
    assert (read(old), read(Object.objects.get())) == (data(1) + data(6), data(2) + data(7))
    listed = [services.Listed(1, (old.parts or [])[0]["etag"])]
    again = services.upload_complete(ALICE, **AT, upload_id=made[0].upload_id, listed=listed)
    assert again.version_id == old.version_id
    services.version_restore(ALICE, **AT, version_id=old.version_id)
    assert alice.bytes("/box/big") == data(1) + data(6)
    services.version_delete(ALICE, **AT, version_id=made[1].version_id)
    assert (len(used()), totals()) == (2, (1, 2 * MOST))


def test_parts_that_are_not_listed_are_given_up(alice, box):
    upload = begin()
    listed = [part(upload, number, data(number)) for number in (1, 2, 3)]
    made = complete(upload, listed[0], listed[2])
    assert read(made) == data(1) + data(3)
    assert (len(used()), totals()) == (2, (1, 2 * MOST))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        ((), "InvalidPartOrder"),
        ((2, 1), "InvalidPartOrder"),
        ((1, 1), "InvalidPartOrder"),
        ((1, 4), "InvalidPart"),
        ((1, 3, 2), "InvalidPartOrder"),
        ((3, 4), "InvalidPart"),
        ((1, 2, 3, 5), "EntityTooSmall"),
    ],
)
def test_lists_that_are_wrong_change_nothing(alice, box, chosen, code):
    upload = begin()
    listed = {
        number: part(upload, number, data(number, size)) for number, size in ((1, MOST), (2, MOST), (3, 9), (5, 9))
    }
    listed[4] = services.Listed(4, "0" * 32)
    before = used()
    with pytest.raises(Invalid) as caught:
        complete(upload, *(listed[number] for number in chosen))
    assert caught.value.code == code
    assert (used(), Object.objects.count(), UploadPart.objects.count()) == (before, 0, 4)
    assert complete(upload, listed[1], listed[3]).bytes == MOST + 9


def test_numbers_have_bounds(alice, box):
    upload = begin()
    part(upload, 10_000, b"x")
    for number in (0, -1, 10_001):
        with pytest.raises(Invalid):
            part(upload, number, b"x")
    assert len(used()) == 1


def test_completing_again_answers_the_same_and_does_nothing(alice, box):
    upload = begin()
    listed = part(upload, 1, data(1))
    first = complete(upload, listed)
    again = complete(upload, listed)
    assert (again.etag, again.created_at, totals()) == (first.etag, first.created_at, (1, MOST))
    alice.put("/box/big", b"other")
    with pytest.raises(NotFound) as caught:
        complete(upload, listed)
    assert caught.value.code == "NoSuchUpload"


def test_what_ended_is_not_there_any_more(alice, box):
    done, given_up = begin(), begin()
    complete(done, part(done, 1, data(1)))
    part(given_up, 1, data(2))
    services.upload_abort(ALICE, **AT, upload_id=given_up)
    assert (len(used()), totals()) == (1, (1, MOST))
    for upload in (done, given_up, uuid4()):
        with pytest.raises(NotFound):
            part(upload, 1, data(3))
        with pytest.raises(NotFound):
            services.upload_abort(ALICE, **AT, upload_id=upload)
        with pytest.raises(NotFound):
            selectors.upload_part_list(ALICE, **AT, upload_id=upload)
    with pytest.raises(NotFound):
        complete(given_up, services.Listed(1, md5(data(2))))
    assert len(used()) == 1


def test_a_part_that_arrives_after_the_end_leaves_nothing(alice, box, disks):
    upload = begin()

    class Late(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if Upload.objects.exists():
                services.upload_abort(ALICE, **AT, upload_id=upload)
            return super().read(size)

    with pytest.raises(NotFound):
        services.upload_part_put(ALICE, **AT, upload_id=upload, number=1, source=Late(b"late"), size=4)
    assert not Blob.objects.exists()
    assert not [file for disk in disks for file in disk.rglob("*") if file.is_file() and file.stat().st_size == 4]


def test_uploads_belong_to_their_name_and_writers(alice, bob, box):
    upload = begin()
    listed = part(upload, 1, data(1))
    elsewhere = AT | {"name": "other"}
    with pytest.raises(NotFound):
        services.upload_complete(ALICE, **elsewhere, upload_id=upload, listed=[listed])
    stranger = context("bob")
    for call in (
        lambda: services.upload_complete(stranger, **AT, upload_id=upload, listed=[listed]),
        lambda: services.upload_abort(stranger, **AT, upload_id=upload),
        lambda: services.upload_create(stranger, **AT, new=services.New()),
        lambda: services.upload_part_put(stranger, **AT, upload_id=upload, number=2, source=io.BytesIO(b"x"), size=1),
        lambda: selectors.upload_part_list(stranger, **AT, upload_id=upload),
        lambda: selectors.upload_list(stranger, account="alice", container="box", page=UploadPage()),
    ):
        with pytest.raises(Forbidden):
            call()
    assert (Upload.objects.count(), UploadPart.objects.count(), Object.objects.count()) == (1, 1, 0)


def test_a_condition_that_does_not_hold_leaves_the_upload(alice, box):
    alice.put("/box/big", b"there")
    upload = begin()
    listed = part(upload, 1, data(1))
    with pytest.raises(PreconditionFailed):
        complete(upload, listed, only_new=True)
    assert (alice.bytes("/box/big"), totals()) == (b"there", (1, MOST + 5))
    alice("DELETE", "/box/big")
    assert complete(upload, listed, only_new=True).bytes == MOST


def test_parts_count_in_quotas(alice, box):
    alice("POST", "/box", X_Container_Meta_Quota_Bytes=str(MOST + 10))
    upload = begin()
    listed = part(upload, 1, data(1))
    part(upload, 1, data(1))
    with pytest.raises(TooLarge):
        part(upload, 2, data(2))
    assert alice.put("/box/other", b"x" * 11).status_code == 413
    assert complete(upload, listed).bytes == MOST
    assert totals() == (1, MOST)


def test_a_container_takes_its_uploads_with_it(alice, box):
    upload = begin()
    part(upload, 1, data(1))
    assert alice("DELETE", "/box").status_code == 204
    assert (used(), Upload.objects.count()) == (set(), 0)
    services.deltas_fold(SYSTEM)
    assert alice("HEAD", "")["X-Account-Bytes-Used"] == "0"


def test_an_upload_without_bytes(alice, box):
    upload = begin()
    made = complete(upload, part(upload, 1, b""))
    assert (read(made), made.bytes, used()) == (b"", 0, set())


def test_copies_of_all_parts_are_verified(alice, box, disks):
    upload = begin()
    complete(upload, part(upload, 1, data(1)), part(upload, 2, data(2)))
    other = begin()
    part(other, 1, data(3))
    pace = services.Pace(Event(), 0)
    assert list(services.account_verify(SYSTEM, account="alice", pace=pace)) == []
    for blob_id in ids_on(disks[0]):
        copy_at(disks[0], blob_id).flip()
    found = sorted(services.account_verify(SYSTEM, account="alice", pace=pace))
    bad = f"the copy on disk {Disk.objects.get(path=str(disks[0])).pk} is bad"
    assert found == [f"/box/big, part 1 of an upload: {bad}", f"/box/big: {bad}", f"/box/big: {bad}"]


# --- checksums -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "kind", "kept"),
    [
        ("", "", "FULL_OBJECT"),
        ("CRC64NVME", "", "FULL_OBJECT"),
        ("CRC32", "", "COMPOSITE"),
        ("CRC32C", "FULL_OBJECT", "FULL_OBJECT"),
        ("SHA256", "", "COMPOSITE"),
        ("SHA1", "COMPOSITE", "COMPOSITE"),
    ],
)
def test_checksums_of_the_whole(alice, box, algorithm, kind, kept):
    upload = begin(sums=services.Sums(algorithm, kind))
    made = complete(upload, part(upload, 1, data(1)), part(upload, 2, data(2, 9)))
    name = algorithm or "CRC64NVME"
    full = checksums.digests_of(data(1) + data(2, 9), [name])[name]
    assert made.checksums["type"] == kept
    if kept == "FULL_OBJECT":
        assert made.checksums[name] == full
    else:
        assert made.checksums[name].endswith("-2")


@pytest.mark.parametrize(
    ("algorithm", "kind"), [("MD5", ""), ("CRC64NVME", "COMPOSITE"), ("SHA256", "FULL_OBJECT"), ("", "COMPOSITE")]
)
def test_checksums_that_cannot_be_kept_are_refused(alice, box, algorithm, kind):
    with pytest.raises(Invalid):
        begin(sums=services.Sums(algorithm, kind))
    assert not Upload.objects.exists()


def test_checksums_of_parts_are_compared(alice, box):
    upload = begin(sums=services.Sums("SHA256"))
    with pytest.raises(KumoError) as caught:
        part(upload, 1, data(1), digests=Digests(["SHA256"], lambda: {"SHA256": "no"}))
    assert caught.value.code == "BadDigest"
    with pytest.raises(Invalid, match="Checksum Type mismatch"):
        part(upload, 1, data(1), digests=Digests(["CRC32"]))
    assert not Blob.objects.exists()
    good = part(upload, 1, data(1), etag=md5(data(1)))
    with pytest.raises(Invalid) as caught:
        complete(upload, services.Listed(1, good.etag, {"SHA256": "no"}))
    assert caught.value.code == "InvalidPart"
    with pytest.raises(Invalid, match="must include the checksum for each part"):
        complete(upload, services.Listed(1, good.etag))
    assert complete(upload, good).checksums["SHA256"].endswith("-1")


@pytest.mark.parametrize(
    "whole",
    [
        services.Whole({"CRC32": "AAAAAA=="}),
        services.Whole({"CRC32C": "AAAAAA=="}),
        services.Whole(kind="COMPOSITE"),
        services.Whole(size=1),
    ],
)
def test_what_the_caller_says_of_the_whole_is_compared(alice, box, whole):
    upload = begin(sums=services.Sums("CRC32", "FULL_OBJECT"))
    listed = part(upload, 1, data(1))
    with pytest.raises(KumoError):
        complete(upload, listed, whole=whole)
    assert not Object.objects.exists()
    right = services.Whole(checksums.digests_of(data(1), ["CRC32"]), "FULL_OBJECT", MOST)
    assert complete(upload, listed, whole=right).bytes == MOST


# --- encryption ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", [Wish(AES256), Wish(CUSTOMER, KEY)])
def test_parts_are_encrypted(alice, box, disks, wish):
    upload = begin(services.New(encryption=wish))
    bodies = [b"plain text " * 300, b"more of it " * 10]
    made = complete(upload, *(part(upload, number, body, key=wish.key) for number, body in enumerate(bodies, 1)))
    whole = b"".join(bodies)
    assert read(made, wish.key) == whole
    assert read(made, wish.key, 3000, 3400) == whole[3000:3400]
    on_disk = b"".join(file.read_bytes() for disk in disks for file in disk.rglob("*") if file.is_file())
    assert len(on_disk) > 3 * len(whole)
    assert b"plain" not in on_disk
    assert b"more of it" not in on_disk
    assert totals() == (1, len(whole))
    assert alice("GET", "/box/big").status_code == (200 if wish.mode == AES256 else 400)


def test_parts_need_the_key_of_their_upload(alice, box):
    upload = begin(services.New(encryption=Wish(CUSTOMER, KEY)))
    for key in (b"", bytes(32)):
        with pytest.raises((Invalid, Forbidden)):
            part(upload, 1, data(1), key=key)
    open_one = begin()
    with pytest.raises(Invalid):
        part(open_one, 1, data(1), key=KEY)
    assert not Blob.objects.exists()


# --- listings --------------------------------------------------------------------------------------


def listed(**page: Any) -> tuple[list[str], bool]:
    found = selectors.upload_list(ALICE, account="alice", container="box", page=UploadPage(**page))
    return [entry if isinstance(entry, str) else entry.name for entry in found.entries], found.is_truncated


def test_uploads_are_listed_in_order(alice, box):
    for name in ("b", "a/2", "a/1", "a/1", "c/x/1"):
        services.upload_create(ALICE, **(AT | {"name": name}), new=services.New())
    assert listed() == (["a/1", "a/1", "a/2", "b", "c/x/1"], False)
    assert listed(prefix="a/") == (["a/1", "a/1", "a/2"], False)
    assert listed(delimiter="/") == (["a/", "b", "c/"], False)
    assert listed(prefix="c/", delimiter="/") == (["c/x/"], False)
    assert listed(delimiter="/", limit=1) == (["a/"], True)
    assert listed(delimiter="/", name_marker="a/", limit=1) == (["b"], True)
    assert listed(delimiter="/", name_marker="b") == (["c/"], False)
    assert listed(limit=3) == (["a/1", "a/1", "a/2"], True)
    assert listed(name_marker="a/1") == (["a/2", "b", "c/x/1"], False)
    first = Upload.objects.filter(name="a/1").order_by("id").first()
    assert first is not None
    assert listed(name_marker="a/1", id_marker=first.pk) == (["a/1", "a/2", "b", "c/x/1"], False)


def test_every_page_leads_to_the_next(alice, box):
    for number in range(12):
        services.upload_create(ALICE, **(AT | {"name": f"{'abc'[number % 3]}/{number % 2}"}), new=services.New())
    seen: list[Any] = []
    page = UploadPage(limit=5)
    while True:
        found = selectors.upload_list(ALICE, account="alice", container="box", page=page)
        seen += found.entries
        if not found.is_truncated:
            break
        page = UploadPage(name_marker=seen[-1].name, id_marker=seen[-1].pk, limit=5)
    assert [entry.pk for entry in seen] == list(Upload.objects.order_by("name", "id").values_list("pk", flat=True))


def test_parts_are_listed_by_number(alice, box):
    upload = begin()
    for number in (7, 2, 4):
        part(upload, number, data(number, number))
    found = selectors.upload_part_list(ALICE, **AT, upload_id=upload, marker=2, limit=1)
    assert ([row.number for row in found.parts], found.is_truncated) == ([4], True)
    found = selectors.upload_part_list(ALICE, **AT, upload_id=upload)
    assert ([(row.number, row.bytes) for row in found.parts], found.is_truncated) == ([(2, 2), (4, 4), (7, 7)], False)
