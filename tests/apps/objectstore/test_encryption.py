"""Records, keys and envelopes of encrypted bytes."""

from __future__ import annotations

import random

import pytest

from apps.core.errors import Forbidden, Invalid, Unavailable
from apps.objectstore.services import encryption
from apps.objectstore.services.encryption import AES256, CLEAR, CUSTOMER, Sealer, Wish, opened, sealed_size, sealed_span
from apps.objectstore.states import CHUNK

KEY, SALT = bytes(range(32)), "c2FsdCBvZiB0aGUgdGVzdA=="
SIZES = [1, 15, CLEAR - 1, CLEAR, CLEAR + 1, CHUNK, 2 * CLEAR, 2 * CHUNK + 5]


def sealed(data: bytes, step: int = CHUNK) -> list[bytes]:
    sealer = Sealer(KEY, SALT)
    records = [record for at in range(0, len(data), step) for record in sealer.records(data[at : at + step])]
    return [*records, sealer.last()]


def ranged(stored: bytes, start: int, end: int, size: int, step: int = CHUNK) -> bytes:
    low, high = sealed_span(start, end, size)
    span = stored[low:high]
    pieces = (span[at : at + step] for at in range(0, len(span), step))
    return b"".join(opened(pieces, KEY, SALT, start, end, size))


@pytest.mark.parametrize("size", SIZES)
def test_every_range_comes_back(size):
    data = random.Random(size).randbytes(size)
    stored = b"".join(sealed(data))
    assert len(stored) == sealed_size(size)
    assert data[:16] not in stored
    edges = sorted({0, 1, CLEAR, CLEAR + 1, size - 1, size} & set(range(size + 1)))
    for start in edges:
        for end in edges:
            if start < end:
                assert ranged(stored, start, end, size) == data[start:end]
    assert ranged(stored, 0, size, size, step=100_003) == data


def test_records_are_chunks_of_the_back_end_however_the_bytes_come():
    data = random.Random(3).randbytes(2 * CLEAR + 9)
    assert [len(record) for record in sealed(data)] == [CHUNK, CHUNK, 9 + encryption.TAG]
    assert b"".join(sealed(data, step=77_777)) == b"".join(sealed(data))


def test_nothing_becomes_nothing():
    assert (sealed(b""), sealed_size(0)) == ([b""], 0)


@pytest.mark.parametrize(
    "harm",
    [
        lambda r: [r[1], r[0], r[2]],
        lambda r: [r[0], r[0], r[2]],
        lambda r: [r[0][:-1] + bytes([r[0][-1] ^ 1]), r[1], r[2]],
        lambda r: [r[0], r[1], r[2][:-1]],
        lambda r: [r[0], r[2], r[2]],
    ],
)
def test_records_that_were_changed_moved_or_cut_are_not_given(harm):
    data = random.Random(4).randbytes(2 * CLEAR + 100)
    with pytest.raises(Unavailable):
        b"".join(opened(harm(sealed(data)), KEY, SALT, 0, len(data), len(data)))


def test_an_object_that_lost_its_end_is_not_given_as_a_shorter_one():
    records = sealed(random.Random(5).randbytes(2 * CLEAR))
    with pytest.raises(Unavailable):
        b"".join(opened(records[:1], KEY, SALT, 0, CLEAR, CLEAR))


def test_the_same_bytes_are_other_bytes_each_time():
    sealers = [Sealer(KEY) for _ in range(2)]
    assert [list(sealer.records(b"abc")) for sealer in sealers] == [[], []]
    assert sealers[0].last() != sealers[1].last()


def test_a_key_of_the_store_is_sealed_in_the_envelope():
    one, two = (encryption.secret_new(Wish(AES256)) for _ in range(2))
    assert one.key != two.key
    assert encryption.secret_of(one.envelope) == one
    with pytest.raises(Invalid):
        encryption.secret_of(one.envelope, KEY)


def test_a_callers_key_is_checked_and_not_in_the_envelope():
    made = encryption.secret_new(Wish(CUSTOMER, KEY))
    assert encryption.secret_of(made.envelope, KEY) == made
    with pytest.raises(Forbidden):
        encryption.secret_of(made.envelope, bytes(32))
    with pytest.raises(Invalid):
        encryption.secret_of(made.envelope)
    assert set(made.envelope) == {"mode", "check", "check_salt"}
    shown = repr(Wish(CUSTOMER, KEY)) + repr(made)
    assert (repr(KEY) in shown, "key=b" in shown) == (False, False)  # no Base64 looks like that


def test_a_key_for_what_is_not_encrypted_is_refused():
    encryption.require_key(None, b"")
    with pytest.raises(Invalid):
        encryption.require_key(None, KEY)
