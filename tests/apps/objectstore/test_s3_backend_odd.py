"""The back end of S3 services on one whose answers are not what they should be: it believes nothing wrong."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apps.core.ids import timed_uuid
from apps.objectstore.backends import BlobLostError, NoRoomError, Stored, WrongMachineError, s3
from apps.objectstore.backends.claims import MARK
from apps.objectstore.backends.s3 import S3Store
from apps.objectstore.states import CHUNK
from tests.kit.blobs import LARGE, keep, read
from tests.kit.moto import credentials, moto
from tests.kit.tampering import Answer, Asked, Tampering, tampering

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

Tamper = Callable[[Asked], Answer]
SLOW = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tampering]:
    with moto(tmp_path_factory.mktemp("s3")) as (url, _), tampering(url) as running:
        yield running


@pytest.fixture(scope="module")
def client(proxy: Tampering, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Made once, since that takes a while; it asks each time but one more."""
    keys = credentials(tmp_path_factory.mktemp("keys") / "keys")
    made = S3Store("default", bucket="blobs", endpoint=proxy.url, credentials=keys, read_timeout_s=20, attempts=2)
    made.client.create_bucket(Bucket="blobs")
    return made.client


@pytest.fixture
def store(proxy: Tampering, client: Any, tmp_path: Path) -> Iterator[S3Store]:
    made = S3Store("default", bucket="blobs", prefix=timed_uuid().hex, credentials=credentials(tmp_path / "keys"))
    made.__dict__["client"] = client
    made.require_own()
    yield made
    proxy.answer = lambda asked: asked.ask()


def only(what: Callable[[Asked], bool], change: Callable[[Answer], Answer], *, times: int = 1000) -> Tamper:
    """Change the answers to some requests, the first so many."""
    left = [times]

    def answer(asked: Asked) -> Answer:
        found = asked.ask()
        if not what(asked) or not left[0]:
            return found
        left[0] -= 1
        return change(found)

    return answer


def is_write(asked: Asked) -> bool:
    return asked.method in {"PUT", "POST"}


def is_read(asked: Asked) -> bool:
    return asked.method == "GET" and "Range" in asked.headers


def empty(found: Answer) -> Answer:
    """What a proxy on the way may say to everything."""
    return Answer(200, {"date": found.headers["date"]}, b"")


def nonsense(found: Answer) -> Answer:
    return Answer(200, {"date": found.headers["date"], "content-type": "text/html"}, b"<html><body>Welcome<br>")


def slow(found: Answer) -> Answer:
    return Answer(503, {}, SLOW)


def listed(store: S3Store) -> list[str]:
    found = store.client.list_objects_v2(Bucket="blobs", Prefix=store.prefix).get("Contents", [])
    return [entry["Key"].removeprefix(store.prefix) for entry in found if not entry["Key"].endswith(MARK)]


@pytest.mark.parametrize("change", [empty, nonsense, slow])
@pytest.mark.parametrize("size", [3, LARGE])
def test_a_write_that_the_service_does_not_confirm_is_not_acknowledged(store, proxy, change, size):
    draft = store.draft(size)
    proxy.answer = only(is_write, change)

    def write() -> None:
        for _ in range(2):
            draft.write(os.urandom(size // 2 + 1))
        draft.publish()

    with pytest.raises(NoRoomError):
        write()
    proxy.answer = lambda asked: asked.ask()
    draft.discard()
    assert listed(store) == []


@pytest.mark.parametrize("change", [empty, nonsense, slow])
def test_a_large_write_whose_end_was_lost_is_there_or_not_as_the_service_says(store, proxy, change):
    body = os.urandom(LARGE)
    proxy.answer = only(lambda asked: asked.method == "POST" and "uploadId" in asked.path, change)
    assert read(store, keep(store, body)) == body  # it was done
    proxy.answer = lambda asked: (
        change(Answer(200, {"date": "Mon, 01 Jan 2024 00:00:00 GMT"}, b""))
        if asked.method == "POST" and "uploadId" in asked.path
        else asked.ask()
    )
    before = listed(store)
    with pytest.raises(NoRoomError):
        keep(store, body)
    assert listed(store) == before


def test_a_part_that_the_service_does_not_confirm_is_not_kept(store, proxy):
    draft = store.draft(LARGE)
    proxy.answer = only(lambda asked: "partNumber" in asked.path, empty)
    with pytest.raises(NoRoomError):
        draft.write(bytes(LARGE))
    draft.discard()
    assert "Uploads" not in store.client.list_multipart_uploads(Bucket="blobs", Prefix=store.prefix)


def test_an_upload_that_cannot_be_aborted_hides_no_blob(store, proxy):
    stored = keep(store, b"abc")
    store.draft(LARGE).write(bytes(LARGE))  # this service says of each upload that it began in 2010
    proxy.answer = only(lambda asked: asked.method == "DELETE", slow)
    assert [kept.id for kept in store.kept()] == [stored.id]


def test_a_bucket_that_is_gone_is_no_damage_to_each_blob(store):
    stored = keep(store, b"abc")
    store.bucket = "nowhere"
    assert store.verify(stored, lambda size: None) == {}


def test_one_refusal_for_now_is_asked_again(store, proxy):
    proxy.answer = only(is_write, slow, times=1)
    stored = keep(store, b"abc")
    proxy.answer = only(is_read, slow, times=1)
    assert read(store, stored) == b"abc"


@pytest.mark.parametrize("change", [slow, lambda found: Answer(500, {}, b"")])
def test_a_service_that_does_not_give_bytes_says_nothing_about_them(store, proxy, change):
    stored = keep(store, os.urandom(2 * CHUNK))
    proxy.answer = only(lambda asked: True, change)
    told: list[int] = []
    with pytest.raises(BlobLostError):
        list(store.read(stored, CHUNK, 2 * CHUNK, told.append))
    assert (told, store.verify(stored, lambda size: None)) == ([], {})
    with pytest.raises(OSError, match="S3 service"):
        list(store.kept())


def test_an_answer_that_is_cut_off_is_asked_for_again(store, proxy):
    body = os.urandom(3 * CHUNK)
    stored = keep(store, body)

    def cut(found: Answer) -> Answer:
        found.cut = CHUNK // 2
        return found

    told: list[int] = []
    proxy.answer = only(is_read, cut, times=1)
    assert b"".join(store.read(stored, 0, 3 * CHUNK, told.append)) == body
    proxy.answer = only(is_read, cut, times=1)
    assert store.verify(stored, lambda size: None) == {s3.PLACE: True}
    proxy.answer = only(is_read, cut)
    with pytest.raises(BlobLostError, match="cut"):
        list(store.read(stored, 0, 3 * CHUNK, told.append))
    assert (told, store.verify(stored, lambda size: None)) == ([], {})


def test_spoilt_bytes_are_asked_for_again_before_they_are_damage(store, proxy):
    body = os.urandom(2 * CHUNK)
    stored = keep(store, body)

    def spoilt(found: Answer) -> Answer:
        found.body = bytes([found.body[0] ^ 1]) + found.body[1:]
        return found

    proxy.answer = only(is_read, spoilt, times=1)
    assert read(store, stored) == body
    proxy.answer = only(is_read, spoilt, times=1)
    assert store.verify(stored, lambda size: None) == {s3.PLACE: True}
    proxy.answer = only(is_read, spoilt)
    assert store.verify(stored, lambda size: None) == {s3.PLACE: False}


@pytest.mark.parametrize("verify", [True, False])
def test_ranges_that_the_service_passes_over_or_mistakes_are_not_served(store, proxy, settings, verify):
    """Without the check of each chunk nothing else would notice."""
    objectstore = msgspec.structs.replace(settings.CONFIG.objectstore, verify_reads=verify)
    settings.CONFIG = msgspec.structs.replace(settings.CONFIG, objectstore=objectstore)
    body = os.urandom(3 * CHUNK)
    stored = keep(store, body)

    def whole(asked: Asked) -> Answer:
        asked.headers.pop("Range", None)
        return asked.ask()

    def other(found: Answer) -> Answer:
        found.headers["content-range"] = f"bytes 0-{CHUNK - 1}/{3 * CHUNK}"
        return found

    for tamper in (whole, only(is_read, other)):
        proxy.answer = tamper
        told: list[int] = []
        with pytest.raises(BlobLostError, match="other bytes"):
            list(store.read(stored, CHUNK, 2 * CHUNK, told.append))
        assert told == []
    proxy.answer = whole
    assert read(store, stored) == body


@pytest.mark.parametrize("change", [empty, nonsense])
def test_a_listing_that_is_none_is_told(store, proxy, change):
    keep(store, b"abc")
    proxy.answer = only(lambda asked: "list-type" in asked.path, change)
    kept = []
    with contextlib.suppress(OSError):  # an answer without any word is a listing of nothing
        kept += store.kept()
    assert kept == []


def test_a_listing_without_a_clock_is_no_listing(store, proxy):
    keep(store, b"abc")

    def timeless(found: Answer) -> Answer:
        found.headers.pop("date", None)
        return found

    proxy.answer = only(lambda asked: True, timeless)
    with pytest.raises(OSError, match="no proper answer"):
        list(store.kept())


def test_only_uploads_of_blobs_are_aborted(store):
    where: dict[str, Any] = {"Bucket": "blobs", "Key": f"{store.prefix}a-visitors-film"}
    store.client.create_multipart_upload(**where)
    draft = store.draft(LARGE)
    draft.write(bytes(LARGE))
    assert list(store.kept()) == []  # this service says of each upload that it began in 2010
    left = store.client.list_multipart_uploads(Bucket="blobs", Prefix=store.prefix)["Uploads"]
    assert [upload["Key"] for upload in left] == [where["Key"]]


def test_a_place_that_became_anothers_meanwhile_is_noticed_before_anything_is_removed(store):
    stored = keep(store, b"abc")
    store.client.put_object(Bucket="blobs", Key=store.prefix + MARK, Body=b"f" * 32)
    with pytest.raises(WrongMachineError):
        list(store.kept())
    with pytest.raises(WrongMachineError):
        store.draft(3)
    assert isinstance(stored, Stored)
