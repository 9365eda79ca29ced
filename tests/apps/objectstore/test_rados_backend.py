"""The back end of Ceph, on a real cluster: the conformance suite, what crashes leave, and a cluster that is not well.

The back end of S3 services passes the suite on Ceph's gateway as well.
"""

from __future__ import annotations

import copy
import errno
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from apps.core.ids import timed_uuid
from apps.objectstore.backends import BlobLostError, NoRoomError, Stored, WrongMachineError, rados, s3, single
from apps.objectstore.backends.claims import MARK
from apps.objectstore.backends.rados import STRIPE, RadosStore
from apps.objectstore.backends.s3 import S3Store
from apps.objectstore.models import Claim
from apps.objectstore.states import CHUNK
from tests.kit.blobs import LARGE, BlobStoreCases, Spoil, keep, read
from tests.kit.brokers import until
from tests.kit.ceph import POOL, USER, Ceph, ceph
from tests.kit.moto import credentials

pytestmark = [pytest.mark.ceph, pytest.mark.django_db]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    with ceph(tmp_path_factory.mktemp("ceph") / "c") as running:
        yield running


@pytest.fixture
def store(cluster: Ceph, db: None) -> Iterator[RadosStore]:
    """A store in a namespace of its own."""
    made = opened(cluster, namespace=timed_uuid().hex)
    made.require_own()
    yield made
    made.close()


def opened(cluster: Ceph, **options: Any) -> RadosStore:
    """A store with the key that its documentation asks for."""
    words = {"pool": POOL, "conf": str(cluster.conf), "user": USER, "keyring": str(cluster.keyring)}
    return RadosStore("default", **words | options)


def names(store: RadosStore) -> list[str]:
    """What lies there besides the mark."""
    return sorted(found.key for found in store.io.list_objects() if found.key != MARK)


class TestRados(BlobStoreCases):
    @pytest.fixture
    def spoil(self, store: RadosStore) -> Spoil:
        def flip(stored: Stored, at: int) -> None:
            number, offset = divmod(at, STRIPE)
            name = f"{stored.id.hex}.{number}" if number else stored.id.hex
            byte = store.io.read(name, 1, offset)[0]
            store.io.write(name, bytes([byte ^ 1]), offset)

        return flip


@pytest.fixture(scope="module")
def gateway(cluster: Ceph, tmp_path_factory: pytest.TempPathFactory) -> S3Store:
    """A store on Ceph's S3 gateway, whose client the others share."""
    address, access, secret = cluster.start_gateway()
    keys = credentials(tmp_path_factory.mktemp("keys") / "keys", access, secret)
    made = S3Store("default", bucket="blobs", endpoint=address, credentials=keys)
    made.client.create_bucket(Bucket="blobs")
    return made


class TestGateway(BlobStoreCases):
    """The back end `s3` on Ceph's gateway."""

    @pytest.fixture
    def store(self, gateway: S3Store, db: None) -> S3Store:
        made = copy.copy(gateway)
        made.prefix = f"{timed_uuid().hex}/"
        made.require_own()
        return made

    @pytest.fixture
    def spoil(self, store: S3Store) -> Spoil:
        def flip(stored: Stored, at: int) -> None:
            where: dict[str, Any] = {"Bucket": store.bucket, "Key": store.key(stored.id)}
            body = bytearray(store.client.get_object(**where)["Body"].read())
            body[at] ^= 1
            store.client.put_object(**where, Body=bytes(body))

        return flip

    def test_uploads_that_a_crash_left_are_aborted_when_old(self, store: S3Store, monkeypatch: Any) -> None:
        draft = store.draft(LARGE)
        draft.write(bytes(LARGE))  # and its process dies
        where: dict[str, Any] = {"Bucket": store.bucket, "Prefix": store.prefix}
        assert list(store.kept()) == []
        assert len(store.client.list_multipart_uploads(**where)["Uploads"]) == 1
        monkeypatch.setattr(s3, "LEFT_S", -60)
        assert list(store.kept()) == []
        assert "Uploads" not in store.client.list_multipart_uploads(**where)


def test_a_blob_is_cut_into_stripes_with_the_head_last(store):
    stored = keep(store, os.urandom(2 * STRIPE + 1))
    assert names(store) == [stored.id.hex, f"{stored.id.hex}.1", f"{stored.id.hex}.2"]
    assert [store.io.stat(name)[0] for name in names(store)] == [STRIPE, STRIPE, 1]
    small = keep(store, os.urandom(STRIPE))
    assert [name for name in names(store) if name.startswith(small.id.hex)] == [small.id.hex]


def test_memory_of_a_draft_is_bounded(store):
    draft = store.draft(40 * STRIPE)
    for _ in range(40):
        draft.write(bytes(CHUNK))
        assert len(draft._rest) < STRIPE
        assert len(draft._under_way) <= rados.IN_FLIGHT
    draft.discard()
    assert names(store) == []


def test_stripes_that_a_crash_left_are_removed_when_old(store, monkeypatch):
    whole = keep(store, os.urandom(LARGE))
    draft = store.draft(LARGE)
    draft.write(os.urandom(LARGE))
    while draft._under_way:
        rados._settle(draft._under_way.popleft())
    before = names(store)
    assert [k.id for k in store.kept()] == [whole.id]
    assert names(store) == before
    monkeypatch.setattr(rados, "LEFT_S", -60)
    assert [k.id for k in store.kept()] == [whole.id]
    assert {name[:32] for name in names(store)} == {whole.id.hex}
    assert set(store.verify(whole, lambda size: None).values()) == {True}


def test_a_draft_is_not_published_when_its_stripes_may_have_been_collected(store, monkeypatch):
    draft = store.draft(LARGE)
    draft.write(os.urandom(LARGE))
    monkeypatch.setattr(single, "LONGEST_S", -1)
    with pytest.raises(NoRoomError, match="days"):
        draft.publish()
    draft.discard()
    assert names(store) == []


def test_no_stripe_is_collected_that_a_draft_may_still_publish():
    """A day lies between them, for clocks that differ and a head that is being written."""
    assert single.LEFT_S - single.LONGEST_S >= 24 * 3600
    assert single.LONGEST_S >= 5 * 2**30 / 10_000


def test_of_two_clouds_that_come_at_once_one_is_first(cluster, store):
    other = opened(cluster, namespace=timed_uuid().hex)
    other._put_mark(b"first")
    other._put_mark(b"second")
    assert other._mark() == b"first"
    with pytest.raises(WrongMachineError):
        other.require_own()
    other.close()


def test_a_place_that_became_anothers_meanwhile_is_noticed_before_anything_is_removed(store):
    stored = keep(store, b"abc")
    store.io.write_full(MARK, b"f" * 32)
    with pytest.raises(WrongMachineError):
        list(store.kept())
    with pytest.raises(WrongMachineError):
        store.draft(3)
    assert read(store, stored) == b"abc"


def test_a_full_cluster_refuses_at_once_and_gets_room_again(cluster, store):
    """Writes and removals would hang till their time is over, and nothing that users delete would make room."""
    stored = [keep(store, os.urandom(STRIPE)) for _ in range(6)]
    ratios = {"nearfull": 0.85, "backfillfull": 0.9, "full": 0.95}
    for name in ratios:
        cluster.command(f"osd set-{name}-ratio", ratio=0.001)
    try:
        until(lambda: "full" in cluster.flags(POOL), 60, lambda: str(cluster.flags(POOL)))
        until(lambda: _is_refused(store), 60, lambda: "writes go on")
        store.remove(stored[0].id, stored[0].places)
        assert {found.id for found in store.kept()} == {one.id for one in stored[1:]}
        assert read(store, stored[1], 0, 1)
    finally:
        for name, ratio in ratios.items():
            cluster.command(f"osd set-{name}-ratio", ratio=ratio)
        until(lambda: "full" not in cluster.flags(POOL), 60, lambda: str(cluster.flags(POOL)))
    assert read(store, keep(store, b"again")) == b"again"


def _is_refused(store: RadosStore) -> bool:
    """Whether a draft is: not by time. OSDs learn of it one by one; what comes before is kept no longer than needed."""
    try:
        kept = keep(store, b"x")
    except NoRoomError as error:
        if "timed out" in str(error):
            raise
        return True
    store.remove(kept.id, kept.places)
    return False


def test_a_removal_that_was_cut_off_can_be_done_again(store):
    stored = keep(store, os.urandom(LARGE))
    store.remove_stripe(stored.id, 4)
    store.remove_stripe(stored.id, 3)
    assert [k.id for k in store.kept()] == [stored.id]
    store.remove(stored.id, stored.places)
    assert names(store) == []


def test_a_missing_or_short_stripe_is_damage(store):
    body = os.urandom(LARGE)
    for harm in (lambda name: store.io.remove_object(name), lambda name: store.io.trunc(name, 5)):
        stored = keep(store, body)
        harm(f"{stored.id.hex}.2")
        told: list[int] = []
        assert b"".join(store.read(stored, 0, 2 * STRIPE, told.append)) == body[: 2 * STRIPE]
        assert told == []
        with pytest.raises(BlobLostError):
            list(store.read(stored, 2 * STRIPE, 2 * STRIPE + CHUNK, told.append))
        assert told == [rados.PLACE]
        assert store.verify(stored, lambda size: None) == {rados.PLACE: False}
        with pytest.raises(BlobLostError):
            store.repair(stored)


def test_what_else_is_in_the_pool_is_left_alone(store, monkeypatch):
    monkeypatch.setattr(rados, "LEFT_S", -60)
    for name in ("rbd_header.1f", "0" * 31, f"{'0' * 32}.x"):
        store.io.write_full(name, b"mine")
    assert list(store.kept()) == []
    assert len(names(store)) == 3


def test_what_another_cloud_keeps_is_not_touched(store, cluster):
    stored = keep(store, b"abc")
    Claim.objects.update(identity=timed_uuid())  # as in the database of another cloud
    store._is_own = False
    with pytest.raises(WrongMachineError, match="another cloud's"):
        store.draft(3)
    with pytest.raises(WrongMachineError):
        store.remove(stored.id, stored.places)
    with pytest.raises(WrongMachineError):
        list(store.kept())
    assert read(store, stored) == b"abc"


def test_a_pool_that_is_not_there_is_no_damage(cluster):
    none = opened(cluster, pool="nowhere")
    told: list[int] = []
    with pytest.raises(BlobLostError):
        list(none.read(Stored(timed_uuid(), 3, bytes(4), (0,)), 0, 3, told.append))
    assert told == []
    with pytest.raises(NoRoomError, match="no pool nowhere"):
        keep(none, b"abc")
    none.close()


def test_a_configuration_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(ImproperlyConfigured, match="no such file"):
        RadosStore("default", pool=POOL, conf=str(tmp_path / "none"))


def test_a_cluster_that_cannot_be_found_is_not_taken_for_a_missing_pool(tmp_path, db):
    (tmp_path / "empty.conf").write_text("[global]\nauth_client_required = none\n")
    nowhere = RadosStore("default", pool=POOL, conf=str(tmp_path / "empty.conf"), timeout_s=2)
    with pytest.raises(NoRoomError, match="Ceph cannot be reached"):
        keep(nowhere, b"abc")


def test_a_cluster_that_cannot_be_reached_is_tried_by_one_for_all(tmp_path, monkeypatch):
    (tmp_path / "ceph.conf").touch()
    store = RadosStore("default", pool=POOL, conf=str(tmp_path / "ceph.conf"))
    tried: list[int] = []

    def refused(self: RadosStore) -> None:
        tried.append(1)
        raise rados.binding().TimedOut("nobody is there", errno.ETIMEDOUT)

    monkeypatch.setattr(RadosStore, "_connected", property(refused))
    stored = Stored(timed_uuid(), 3, bytes(4), (0,))
    for _ in range(3):
        assert store.verify(stored, lambda size: None) == {}
        with pytest.raises(BlobLostError, match="nobody is there"):
            read(store, stored)
    assert len(tried) == 1
    monkeypatch.setattr(store, "_not_before", 0.0)
    assert store.verify(stored, lambda size: None) == {}
    assert len(tried) == 2


@pytest.mark.parametrize("key", ["", "AQBnNi9mAAAAABAAeWJ1dCBub3QgdGhpcyBvbmUA"])
def test_without_the_right_key_nothing_is_kept_or_read(cluster, store, tmp_path, key):
    stored, before = keep(store, b"abc"), names(store)
    other = tmp_path / "other.keyring"
    other.write_text(f"[{USER}]\nkey = {key}\n" if key else "")
    stranger = opened(cluster, keyring=str(other), namespace=store.io.get_namespace(), timeout_s=2)
    told: list[int] = []
    with pytest.raises(NoRoomError, match="Ceph"):
        keep(stranger, b"mine")
    with pytest.raises(BlobLostError):
        list(stranger.read(stored, 0, 3, told.append))
    assert (told, names(store)) == ([], before)
    stranger.close()


def test_the_key_opens_no_other_pool(cluster):
    cluster.command("osd pool create", pool="others", pg_num=1)
    other = opened(cluster, pool="others", timeout_s=2)
    with pytest.raises(NoRoomError):
        keep(other, b"mine")
    other.close()


def test_one_of_three_osds_may_die_while_many_write(cluster, store):
    """What was acknowledged is there, whole; what was not is told so."""
    kept: list[tuple[Stored, bytes]] = []
    refused: list[str] = []
    half = threading.Semaphore(0)

    def write() -> None:
        for size in (1, 100_000, STRIPE + CHUNK) * 4:
            body = os.urandom(size)
            try:
                kept.append((keep(store, body), body))
            except NoRoomError as error:
                refused.append(str(error))
            half.release()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(12):
        half.acquire()
    cluster.processes["osd0"].kill()
    try:
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert len(kept) + len(refused) == 48
        assert len(kept) > 12  # writing went on
        assert all(read(store, stored) == body for stored, body in kept)
        assert {k.id for k in store.kept()} >= {stored.id for stored, _ in kept}
        assert read(store, keep(store, b"while one is away")) == b"while one is away"
    finally:
        cluster.processes["osd0"].start()
        cluster.wait()
    assert all(set(store.verify(stored, lambda size: None).values()) == {True} for stored, _ in kept)


def test_a_cluster_that_hangs_is_waited_for_only_so_long(cluster, store):
    stored = keep(store, b"abc")
    slow = opened(cluster, timeout_s=1, namespace=store.io.get_namespace())
    osds = [cluster.processes[f"osd{n}"].running for n in range(3)]
    for process in osds:
        os.killpg(process.pid, signal.SIGSTOP)
    told: list[int] = []
    try:
        with pytest.raises(BlobLostError):
            list(slow.read(stored, 0, 3, told.append))
        assert slow.verify(stored, lambda size: None) == {}
        with pytest.raises(NoRoomError):
            keep(slow, b"abc")
        with pytest.raises(OSError, match="Ceph"):
            slow.remove(stored.id, stored.places)
    finally:
        for process in osds:
            os.killpg(process.pid, signal.SIGCONT)
        cluster.wait()
    assert told == []
    slow.close()


def test_the_binding_is_found_where_debian_puts_it():
    assert Path(rados.binding().__file__ or "").name.startswith("rados")
