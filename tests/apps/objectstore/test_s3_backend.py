"""The back end of any S3 service, on a server that is not ours: the conformance suite, and what goes wrong there."""

from __future__ import annotations

import copy
import datetime
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from apps.core.ids import timed_uuid
from apps.objectstore import backends, checks, reconcile, services
from apps.objectstore.backends import BlobLostError, NoRoomError, Stored, WrongMachineError, s3
from apps.objectstore.backends.s3 import S3Store
from apps.objectstore.models import Blob, Claim, Object
from apps.objectstore.selectors.upkeep import policy_states
from apps.objectstore.services import objects, rows
from apps.objectstore.states import CHUNK
from tests.apps.objectstore.conftest import SYSTEM
from tests.kit.blobs import LARGE, BlobStoreCases, Spoil, keep, read
from tests.kit.moto import SECRET, credentials, moto

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    with moto(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="module")
def first(service: tuple[str, Any], tmp_path_factory: pytest.TempPathFactory) -> S3Store:
    """A store whose client the others share, since making one takes a while; its bucket is there."""
    keys = credentials(tmp_path_factory.mktemp("keys") / "keys")
    made = S3Store("default", bucket="blobs", endpoint=service[0], credentials=keys, read_timeout_s=20)
    made.client.create_bucket(Bucket="blobs")
    return made


@pytest.fixture
def options(service: tuple[str, Any], first: S3Store, tmp_path: Path) -> dict[str, Any]:
    """Options of a store of the same bucket, with a file of keys of its own."""
    return {"bucket": first.bucket, "endpoint": service[0], "credentials": credentials(tmp_path / "keys")}


@pytest.fixture
def store(first: S3Store, db: None) -> S3Store:
    """A store below a prefix of its own."""
    made = copy.copy(first)
    made.prefix = f"kumo/{timed_uuid().hex}/"
    made.require_own()
    return made


class TestS3(BlobStoreCases):
    @pytest.fixture
    def spoil(self, store: S3Store) -> Spoil:
        def flip(stored: Stored, at: int) -> None:
            where: dict[str, Any] = {"Bucket": store.bucket, "Key": store.key(stored.id)}
            body = bytearray(store.client.get_object(**where)["Body"].read())
            body[at] ^= 1
            store.client.put_object(**where, Body=bytes(body))

        return flip


def uploads(store: S3Store) -> list[Any]:
    return store.client.list_multipart_uploads(Bucket=store.bucket, Prefix=store.prefix).get("Uploads", [])


def test_a_blob_is_one_object_below_the_prefix(store):
    stored = keep(store, b"abc")
    listed = store.client.list_objects_v2(Bucket=store.bucket, Prefix=store.prefix)["Contents"]
    assert [(o["Key"], o["Size"]) for o in listed] == [
        (f"{store.prefix}{stored.id.hex}", 3),
        (f"{store.prefix}kumo-store", 32),
    ]


def test_a_dropped_large_draft_leaves_no_upload(store):
    draft = store.draft(LARGE)
    draft.write(os.urandom(LARGE))
    assert len(uploads(store)) == 1
    draft.discard()
    assert uploads(store) == []
    keep(store, os.urandom(LARGE))
    assert uploads(store) == []


def test_a_draft_holds_one_part_in_memory(store):
    draft = store.draft(LARGE)
    for _ in range(17):
        draft.write(bytes(CHUNK))
        assert len(draft._held) <= s3.PART_BYTES
    draft.discard()


def test_parts_grow_with_what_is_announced(store):
    assert store.draft(10**12)._part_bytes * s3.MOST_PARTS >= 10**12


def test_uploads_that_a_crash_left_are_aborted_when_old(store, monkeypatch):
    draft = store.draft(LARGE)
    draft.write(bytes(LARGE))  # and its process dies
    monkeypatch.setattr(s3, "LEFT_S", 10**10)  # this service says of each upload that it began in 2010
    assert list(store.kept()) == []
    assert len(uploads(store)) == 1
    monkeypatch.undo()
    assert list(store.kept()) == []
    assert uploads(store) == []
    with pytest.raises(NoRoomError):
        draft.publish()
    assert list(store.kept()) == []


def test_what_else_is_in_the_bucket_is_left_alone(store, options):
    other = S3Store("default", prefix="/other/", **options)
    stored = keep(other, b"abc")
    for name in ("readme", str(stored.id), f"deep/{stored.id.hex}"):
        store.client.put_object(Bucket=store.bucket, Key=store.prefix + name, Body=b"mine")
    assert list(store.kept()) == []
    assert [k.id for k in other.kept()] == [stored.id]


def test_listings_of_several_pages_are_read_whole(store, monkeypatch):
    made = {keep(store, b"%d" % n).id for n in range(7)}
    whole = store.client.list_objects_v2
    monkeypatch.setattr(store.client, "list_objects_v2", lambda **named: whole(**named, MaxKeys=3))
    assert {kept.id for kept in store.kept()} == made


def test_an_answer_that_was_lost_after_the_work_was_done_is_no_failure(store, monkeypatch):
    body = os.urandom(LARGE)
    real = store.client.complete_multipart_upload

    def done_but_unheard(**named: Any) -> Any:
        real(**named)
        return real(**named) or {}  # what the client library does when it hears nothing

    monkeypatch.setattr(store.client, "complete_multipart_upload", done_but_unheard)
    assert read(store, keep(store, body)) == body


def test_a_blob_of_another_length_is_bad(store):
    stored = keep(store, os.urandom(CHUNK + 9))
    store.client.put_object(Bucket=store.bucket, Key=store.key(stored.id), Body=b"short")
    told: list[int] = []
    with pytest.raises(BlobLostError):
        list(store.read(stored, 0, stored.size, told.append))
    assert told == [s3.PLACE]
    assert store.verify(stored, lambda size: None) == {s3.PLACE: False}
    with pytest.raises(BlobLostError):
        store.repair(stored)


def test_a_connection_that_breaks_in_the_middle_is_made_anew(store, monkeypatch):
    body = os.urandom(5 * CHUNK)
    stored = keep(store, body)
    pieces = store.read(stored, 0, stored.size, lambda place: None)
    got = next(pieces)
    store.client._endpoint.http_session.close()
    assert got + b"".join(pieces) == body


@pytest.mark.parametrize("verb", ["draft", "remove", "kept"])
def test_what_another_cloud_keeps_is_not_touched(store, verb):
    stored = keep(store, b"abc")
    other = copy.copy(store)
    other._is_own = False
    Claim.objects.update(identity=timed_uuid())  # as in the database of another cloud
    calls = {"draft": lambda: other.draft(3), "remove": lambda: other.remove(stored.id, (0,)), "kept": other.kept}
    with pytest.raises(WrongMachineError, match="another cloud's"):
        list(calls[verb]() or ())
    assert read(store, stored) == b"abc"


def test_a_place_that_was_emptied_is_not_taken_for_the_one_it_was(store):
    rows.keep(keep(store, b"abc"), "default")
    again = copy.copy(store)
    again._is_own, again.prefix = False, f"{timed_uuid().hex}/"
    with pytest.raises(WrongMachineError, match="was emptied"):
        again.draft(3)
    assert store.client.list_objects_v2(Bucket=store.bucket, Prefix=again.prefix)["KeyCount"] == 0


# --- the service on it -----------------------------------------------------------------------------


@pytest.fixture
def policy(first: S3Store, options: dict[str, Any], settings: Any, disks: list[Path]) -> S3Store:
    """A storage policy `far` beside the default one, as configuration makes it."""
    entry = {"BACKEND": "s3", "OPTIONS": options | {"prefix": timed_uuid().hex}}
    policies = settings.KUMO_DRIVERS["object_store"] | {"far": entry}
    settings.KUMO_DRIVERS = settings.KUMO_DRIVERS | {"object_store": policies}
    made = backends.store("far")
    assert isinstance(made, S3Store)
    made.__dict__["client"] = first.client
    return made


def test_containers_choose_where_their_bytes_are(policy, alice, disks):
    alice.put("/far", X_Storage_Policy="far")
    alice.put("/near")
    body = os.urandom(CHUNK + 3)
    for name in ("far", "near"):
        assert alice.put(f"/{name}/a", body).status_code == 201
        assert alice.bytes(f"/{name}/a") == body
    assert alice.bytes("/far/a", Range="bytes=1048570-1048580") == body[1048570:]
    assert sum(len([f for f in (d / "blobs").rglob("*") if f.is_file()]) for d in disks) == 3
    assert [kept.place for kept in policy.kept()] == [s3.PLACE]
    assert alice("HEAD", "/far")["X-Storage-Policy"] == "far"


def test_upkeep_copes_with_an_engine_that_keeps_its_copies_itself(policy, alice, capsys):
    alice.put("/far", X_Storage_Policy="far")
    alice.put("/far/a", b"abc")
    alice.put("/far/b", b"def")
    blob_id = Object.objects.get(name="a").blob_id
    assert blob_id is not None
    blob = Blob.objects.get(pk=blob_id)
    assert list(reconcile.check_objects(False)) == []
    assert services.unknown_places(SYSTEM) == []
    assert list(services.account_verify(SYSTEM, account="alice", pace=services.Pace(threading.Event(), 0))) == []
    policy.client.put_object(Bucket=policy.bucket, Key=policy.key(blob.pk), Body=b"xyz")
    assert alice("GET", "/far/a").status_code == 503
    assert services.copies_audit(SYSTEM, policy="far", pace=services.Pace(threading.Event(), 0)) == (1, True)
    blob.refresh_from_db()
    assert (blob.places, blob.missing) == ([s3.PLACE], 0)
    assert reconcile.mend(threading.Event()) == []
    call_command("object", "policies")
    assert "far (s3): 2 blobs of 6 B, 0 copies missing" in capsys.readouterr().out


def test_the_walk_over_a_service_reads_each_blob_once(policy, alice):
    alice.put("/far", X_Storage_Policy="far")
    for name in "ab":
        alice.put(f"/far/{name}", b"abc")
    services.deltas_fold(SYSTEM)
    services.copies_audit(SYSTEM, policy="far", pace=services.Pace(threading.Event(), 0), blobs=1)
    (far,) = (state for state in policy_states(SYSTEM) if state.name == "far")
    assert (far.backend, far.audit_percent) == ("s3", 50)


def test_a_service_that_is_away_breaks_nothing_but_itself(policy, alice, options):
    alice.put("/far", X_Storage_Policy="far")
    alice.put("/near")
    alice.put("/far/a", b"abc")
    policy.__dict__["client"] = S3Store(
        "far", **options | {"endpoint": "http://127.0.0.1:9", "connect_timeout_s": 0.2, "attempts": 1}
    ).client
    assert alice("GET", "/far/a").status_code == 503
    assert alice.put("/far/b", b"abc").status_code == 507
    objects.drop("far", objects.Body("", 3, stored=Stored(timed_uuid(), 3, bytes(4), (s3.PLACE,))))
    assert alice.put("/near/a", b"abc").status_code == 201
    assert alice.names("/far") == ["a"]
    assert ["could not be looked through" in line for line in reconcile.check_objects(False)] == [True]
    alice("DELETE", "/far/a")
    Blob.objects.exclude(unused_since=None).update(unused_since=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    assert services.unused_remove(SYSTEM) == 0
    assert Blob.objects.filter(policy="far").count() == 1


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"BACKEND": "s3"}, "bucket"),
        ({"BACKEND": "s3", "OPTIONS": {"bucket": "b", "credentials": "/nowhere"}}, "cannot be read"),
        ({"BACKEND": "rados", "OPTIONS": {"pool": "p", "colour": "blue"}}, "colour"),
        ({"BACKEND": "nowhere.Store"}, "nowhere"),
    ],
)
def test_a_policy_that_cannot_be_used_stops_the_start(settings, entry, words):
    settings.KUMO_DRIVERS = settings.KUMO_DRIVERS | {"object_store": {"default": {"BACKEND": "disks"}, "odd": entry}}
    backends.store.cache_clear()
    with pytest.raises(SystemExit, match=words):
        checks.refuse_wrong_policies()


def test_a_service_that_is_away_is_told_in_the_words_of_back_ends(options):
    away = S3Store("default", **options | {"endpoint": "http://127.0.0.1:9", "connect_timeout_s": 0.2, "attempts": 1})
    stored = Stored(timed_uuid(), 3, bytes(4), (s3.PLACE,))
    told: list[int] = []
    with pytest.raises(BlobLostError):
        list(away.read(stored, 0, 3, told.append))
    assert told == []
    assert away.verify(stored, lambda size: None) == {}
    with pytest.raises(NoRoomError):
        keep(away, b"abc")
    with pytest.raises(OSError, match="could not be reached"):
        away.remove(stored.id, stored.places)
    with pytest.raises(OSError, match="could not be reached"):
        list(away.kept())


def test_a_service_that_hangs_is_waited_for_only_so_long(service, options):
    patient = S3Store("default", **options)
    slow = S3Store("default", **options | {"read_timeout_s": 0.5, "attempts": 1})
    stored = keep(patient, b"abc")
    process = service[1].running
    os.killpg(process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(BlobLostError):
            read(slow, stored)
        with pytest.raises(NoRoomError):
            keep(slow, b"abc")
    finally:
        os.killpg(process.pid, signal.SIGCONT)
    assert read(patient, stored) == b"abc"


def test_a_bucket_that_is_not_there_is_no_damage(options):
    none = S3Store("default", **options | {"bucket": "nowhere"})
    told: list[int] = []
    with pytest.raises(BlobLostError):
        list(none.read(Stored(timed_uuid(), 3, bytes(4), (0,)), 0, 3, told.append))
    assert told == []
    with pytest.raises(NoRoomError, match="NoSuchBucket"):
        keep(none, b"abc")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_keys_that_others_may_read_are_refused(options, mode):
    os.chmod(options["credentials"], mode)
    with pytest.raises(ImproperlyConfigured, match="0600"):
        S3Store("default", **options)


@pytest.mark.parametrize("text", ["", "[default]\n", "[default]\naws_access_key_id = a\n", "nonsense", "\xff"])
def test_a_spoilt_file_of_keys_is_refused_without_showing_it(options, text):
    Path(options["credentials"]).write_text(text + f"\nsecret = {SECRET}")
    with pytest.raises(ImproperlyConfigured) as caught:
        S3Store("default", **options)
    assert SECRET not in str(caught.value)


def test_keys_are_in_no_message(options, caplog):
    store = S3Store("default", **options | {"bucket": "nowhere"})
    with caplog.at_level("DEBUG", logger="kumo"), pytest.raises(NoRoomError) as caught:
        keep(store, b"abc")
    assert SECRET not in f"{caught.value!r}{caught.value.__cause__!r}{caplog.text}{vars(store)!r}"
