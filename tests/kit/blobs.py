"""What every blob back end of the object store must do.

A back end's tests subclass this with a fixture `store`, and one named `spoil`: a function that flips one byte of every
copy of a blob, behind the back end's back.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from apps.core.ids import timed_uuid
from apps.objectstore.backends import BlobLostError, BlobStore, Stored
from apps.objectstore.states import CHUNK

SIZES = [0, 1, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17]
LARGE = 17 * CHUNK + 5  # goes beyond whatever a back end keeps together
Spoil = Callable[[Stored, int], None]  # the blob, and which byte


def keep(store: BlobStore, body: bytes, piece: int = CHUNK) -> Stored:
    """Keep these bytes, written in pieces of that size."""
    draft = store.draft(len(body))
    for at in range(0, len(body), piece):
        draft.write(body[at : at + piece])
    stored = draft.publish()
    draft.discard()
    return stored


def read(store: BlobStore, stored: Stored, start: int = 0, end: int | None = None) -> bytes:
    return b"".join(store.read(stored, start, stored.size if end is None else end, lambda place: None))


class BlobStoreCases:
    """Run for each back end."""

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("piece", [CHUNK, 300_000])
    def test_bytes_come_back(self, store: Any, size: int, piece: int) -> None:
        body = os.urandom(size)
        stored = keep(store, body, piece)
        assert (stored.size, stored.missing, len(stored.checksums)) == (size, 0, 4 * -(-size // CHUNK))
        assert read(store, stored) == body

    def test_parts_come_back(self, store: Any) -> None:
        body = os.urandom(3 * CHUNK)
        stored = keep(store, body)
        for start, end in (
            (0, 0),
            (7, 7),
            (0, 1),
            (CHUNK - 1, CHUNK + 1),
            (CHUNK, 2 * CHUNK),
            (5, 3 * CHUNK),
            (3 * CHUNK - 1, 3 * CHUNK),
        ):
            assert read(store, stored, start, end) == body[start:end]

    def test_a_large_blob_comes_back_whole_and_in_parts(self, store: Any) -> None:
        body = os.urandom(LARGE)
        stored = keep(store, body, 700_000)
        assert read(store, stored) == body
        for start in (3 * CHUNK - 1, 4 * CHUNK - 1, 8 * CHUNK - 1, 16 * CHUNK - 1):
            assert read(store, stored, start, start + CHUNK + 2) == body[start : start + CHUNK + 2]
        assert read(store, stored, LARGE - 1, LARGE) == body[-1:]

    @pytest.mark.parametrize("size", [1, 2 * CHUNK, LARGE])
    def test_a_draft_is_nowhere_to_be_seen_and_dropped_leaves_nothing(self, store: Any, size: int) -> None:
        draft = store.draft(size)
        draft.write(os.urandom(size))
        assert list(store.kept()) == []
        draft.discard()
        draft.discard()
        assert list(store.kept()) == []

    def test_each_blob_is_kept_at_its_places_since_just_now(self, store: Any) -> None:
        made = [keep(store, b"abc"), keep(store, os.urandom(LARGE))]
        kept = list(store.kept())
        assert sorted((k.id, k.place) for k in kept) == sorted((s.id, place) for s in made for place in s.places)
        assert all(-5 < k.age_s < 60 for k in kept)

    @pytest.mark.parametrize(("size", "at"), [(3, 1), (2 * CHUNK, CHUNK + 7), (LARGE, LARGE - 2)])
    def test_damage_is_told_and_never_leaves(self, store: Any, spoil: Spoil, size: int, at: int) -> None:
        body = os.urandom(size)
        stored = keep(store, body)
        spoil(stored, at)
        told: list[int] = []
        with pytest.raises(BlobLostError):
            list(store.read(stored, at, at + 1, told.append))
        assert set(told) == set(stored.places)
        assert store.verify(stored, lambda size: None) == dict.fromkeys(stored.places, False)
        if at > CHUNK:
            assert read(store, stored, 0, CHUNK) == body[:CHUNK]

    def test_repair_leaves_a_whole_blob_as_it_is(self, store: Any) -> None:
        stored = keep(store, os.urandom(CHUNK + 1))
        assert store.repair(stored) == stored
        assert set(store.verify(stored, lambda size: None).values()) == {True}

    def test_what_is_gone_is_found_missing(self, store: Any) -> None:
        stored = keep(store, os.urandom(CHUNK + 1))
        store.remove(stored.id, stored.places)
        assert True not in store.verify(stored, lambda size: None).values()

    def test_discard_does_not_undo_publish(self, store: Any) -> None:
        stored = keep(store, b"abc")
        assert {kept.id for kept in store.kept()} == {stored.id}
        assert read(store, stored) == b"abc"

    def test_what_is_removed_is_gone_and_removing_again_is_success(self, store: Any) -> None:
        stored, other = keep(store, os.urandom(LARGE)), keep(store, b"def")
        store.remove(stored.id, stored.places)
        store.remove(stored.id, stored.places)
        assert {kept.id for kept in store.kept()} == {other.id}
        with pytest.raises(BlobLostError):
            read(store, stored)
        assert read(store, other) == b"def"

    def test_a_reader_that_stops_early_lets_go(self, store: Any) -> None:
        stored = keep(store, os.urandom(3 * CHUNK))
        before = len(os.listdir("/proc/self/fd"))
        pieces = store.read(stored, 0, stored.size, lambda place: None)
        next(pieces)
        pieces.close()
        assert len(os.listdir("/proc/self/fd")) <= before

    def test_bytes_that_are_not_those_of_the_checksum_never_leave(self, store: Any) -> None:
        stored = keep(store, os.urandom(2 * CHUNK))
        wrong = Stored(stored.id, stored.size, bytes(8), stored.places)
        with pytest.raises(BlobLostError):
            read(store, wrong)

    def test_what_never_was_is_lost_not_wrong(self, store: Any) -> None:
        with pytest.raises(BlobLostError):
            read(store, Stored(timed_uuid(), 3, b"1234", keep(store, b"abc").places))

    def test_good_copies_are_found_good(self, store: Any) -> None:
        stored = keep(store, os.urandom(CHUNK + 5))
        seen: list[int] = []
        verdicts = store.verify(stored, seen.append)
        assert set(verdicts.values()) == {True}
        assert sum(seen) == stored.size * len(verdicts)

    def test_many_writers(self, store: Any) -> None:
        bodies = [os.urandom(n * 100_000 + 1) for n in range(12)]
        kept: dict[int, Stored] = {}
        threads = [
            threading.Thread(target=lambda n=n, body=body: kept.update({n: keep(store, body)}))
            for n, body in enumerate(bodies)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [read(store, kept[n]) for n in range(12)] == bodies

    def test_a_blob_may_be_removed_while_it_is_read(self, store: Any) -> None:
        """What comes is right as far as it comes."""
        body = os.urandom(LARGE)
        stored = keep(store, body)
        pieces = store.read(stored, 0, LARGE, lambda place: None)
        got = next(pieces)
        store.remove(stored.id, stored.places)
        with contextlib.suppress(BlobLostError):
            for piece in pieces:
                got += piece
        assert body.startswith(got)
