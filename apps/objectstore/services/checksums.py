"""Checksums of S3: computed as bytes pass, combined from those of parts.

Values are base64 of the big-endian number or digest. An object's row keeps algorithm → value and, under `type`,
whether that is of all its bytes (also where nothing is said) or of the checksums of its parts; the latter ends in the
number of parts.
Source: "Checking object integrity" of the Amazon S3 User Guide.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from apps.objectstore.services.errors import Unprocessable

FULL, COMPOSITE = "FULL_OBJECT", "COMPOSITE"
TYPE = "type"

_CYCLIC = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8}  # bytes of a value
_HASHES = {"SHA1": hashlib.sha1, "SHA256": hashlib.sha256}
ALGORITHMS = (*_CYCLIC, *_HASHES)
ONLY_FULL = ("CRC64NVME",)
ONLY_COMPOSITE = tuple(_HASHES)
_SIZES = _CYCLIC | {"SHA1": 20, "SHA256": 32}


@functools.cache
def _functions() -> dict[str, tuple[Callable[[bytes, int], int], Callable[[int, int, int], int]]]:
    """Cyclic ones go on from a value, and the value of two strings follows from those of each.

    The library is loaded by the first who needs it: most processes never do.
    """
    from awscrt import checksums

    return {
        "CRC32": (checksums.crc32, checksums.combine_crc32),
        "CRC32C": (checksums.crc32c, checksums.combine_crc32c),
        "CRC64NVME": (checksums.crc64nvme, checksums.combine_crc64nvme),
    }


class _Running(Protocol):
    def update(self, piece: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    """A cyclic checksum with the face of a hash."""

    def __init__(self, algorithm: str) -> None:
        self._size, (self._next, _) = _CYCLIC[algorithm], _functions()[algorithm]
        self._value = 0

    def update(self, piece: bytes, /) -> None:
        self._value = self._next(piece, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size)


def _running(algorithm: str) -> _Running:
    return _HASHES[algorithm](usedforsecurity=False) if algorithm in _HASHES else _Crc(algorithm)


class Digests:
    """Checksums of bytes as they pass.

    `announced` is asked once all have passed, since a trailer comes last: algorithm → the value they shall have.
    """

    def __init__(self, algorithms: Iterable[str], announced: Callable[[], Mapping[str, str]] = dict) -> None:
        self._running = {name: _running(name) for name in algorithms}
        self._announced = announced

    @property
    def algorithms(self) -> set[str]:
        return set(self._running)

    def also(self, algorithm: str) -> Digests:
        """These, and one more if it is not among them."""
        return Digests({*self._running, algorithm}, self._announced)

    def update(self, piece: bytes) -> None:
        for running in self._running.values():
            running.update(piece)

    def values(self) -> dict[str, str]:
        """Algorithm → value. Raises Unprocessable where one is not what was announced."""
        found = {name: text_of(running.digest()) for name, running in self._running.items()}
        for name, wanted in self._announced().items():
            if found.get(name) != wanted:
                raise Unprocessable(
                    f"The {name} you specified did not match the calculated checksum.", code="BadDigest"
                )
        return found


def digests_of(data: bytes, algorithms: Iterable[str]) -> dict[str, str]:
    """Algorithm → value of bytes that are at hand."""
    digests = Digests(algorithms)
    digests.update(data)
    return digests.values()


def text_of(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def is_value(algorithm: str, text: str) -> bool:
    """Whether a text can be a value of the algorithm."""
    try:
        return len(base64.b64decode(text, validate=True)) == _SIZES[algorithm]
    except (binascii.Error, ValueError):
        return False


def of_parts(algorithm: str, kind: str, parts: Sequence[tuple[str, int]]) -> str:
    """The checksum of an object from the (value, size) of its parts, by the type of checksum."""
    digests = [base64.b64decode(value) for value, _ in parts]
    if kind == COMPOSITE:
        return f"{digests_of(b''.join(digests), [algorithm])[algorithm]}-{len(parts)}"
    _, both = _functions()[algorithm]
    sized = zip(digests, (length for _, length in parts), strict=True)
    value = functools.reduce(lambda so_far, part: both(so_far, int.from_bytes(part[0]), part[1]), sized, 0)
    return text_of(value.to_bytes(_CYCLIC[algorithm]))
