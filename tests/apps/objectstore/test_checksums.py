"""Checksums as bytes pass, against check values of their definitions, and of parts against those of the whole."""

from __future__ import annotations

import base64
import hashlib
import random

import pytest

from apps.objectstore.services import checksums
from apps.objectstore.services.errors import Unprocessable

CHECK = b"123456789"  # what the values of CRC catalogues are of
KNOWN = {
    "CRC32": 0xCBF43926.to_bytes(4),
    "CRC32C": 0xE3069283.to_bytes(4),
    "CRC64NVME": 0xAE8B14860A799888.to_bytes(8),
    "SHA1": bytes.fromhex("f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
    "SHA256": bytes.fromhex("15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
}


def test_values_are_those_of_the_definitions():
    assert set(KNOWN) == set(checksums.ALGORITHMS)
    assert checksums.digests_of(CHECK, KNOWN) == {n: base64.b64encode(d).decode() for n, d in KNOWN.items()}


@pytest.mark.parametrize("algorithm", checksums.ALGORITHMS)
def test_pieces_make_the_same_as_the_whole(algorithm):
    data = random.Random(1).randbytes(100_000)
    digests = checksums.Digests([algorithm])
    for start in range(0, len(data), 7919):
        digests.update(data[start : start + 7919])
    assert digests.values() == checksums.digests_of(data, [algorithm])


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
@pytest.mark.parametrize("sizes", [(5,), (0, 7), (1, 1, 1), (65536, 3, 70001), (10, 0, 10)])
def test_cyclic_values_of_parts_combine_to_that_of_the_whole(algorithm, sizes):
    generator = random.Random(2)
    pieces = [generator.randbytes(size) for size in sizes]
    parts = [(checksums.digests_of(piece, [algorithm])[algorithm], len(piece)) for piece in pieces]
    whole = checksums.digests_of(b"".join(pieces), [algorithm])[algorithm]
    assert checksums.of_parts(algorithm, checksums.FULL, parts) == whole


def test_composite_values_are_of_the_values_of_parts():
    pieces = [b"one", b"two"]
    parts = [(checksums.digests_of(piece, ["SHA256"])["SHA256"], len(piece)) for piece in pieces]
    inner = hashlib.sha256(b"".join(hashlib.sha256(piece).digest() for piece in pieces)).digest()
    assert checksums.of_parts("SHA256", checksums.COMPOSITE, parts) == f"{base64.b64encode(inner).decode()}-2"


def test_what_was_announced_is_asked_for_at_the_end_and_compared():
    announced: dict[str, str] = {}
    digests = checksums.Digests(["CRC32"], lambda: announced)
    digests.update(CHECK)
    announced["CRC32"] = base64.b64encode(KNOWN["CRC32"]).decode()
    assert digests.values() == announced
    announced["CRC32"] = "AAAAAA=="
    with pytest.raises(Unprocessable) as caught:
        digests.values()
    assert caught.value.code == "BadDigest"


def test_an_announced_value_of_an_algorithm_that_was_not_computed_is_refused():
    with pytest.raises(Unprocessable):
        checksums.Digests(["CRC32"], lambda: {"SHA1": "x"}).values()


@pytest.mark.parametrize(
    ("algorithm", "text", "is_one"),
    [
        ("CRC32", "AAAAAA==", True),
        ("CRC64NVME", "AAAAAAAAAAA=", True),
        ("CRC32", "AAAAAAAAAAA=", False),
        ("CRC32", "AAAAAA", False),
        ("SHA1", "ä", False),
        ("SHA256", "", False),
    ],
)
def test_a_value_has_the_size_of_its_algorithm(algorithm, text, is_one):
    assert checksums.is_value(algorithm, text) is is_one
