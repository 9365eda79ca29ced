"""Checksums of bytes that come in pieces of any size."""

from __future__ import annotations

import zlib

from apps.objectstore.states import CHUNK


class Checksums:
    """CRC-32 of each chunk, and how many bytes came."""

    def __init__(self) -> None:
        self.size = 0
        self._crc = 0  # of the chunk that is being filled
        self._done = bytearray()

    def add(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            some = view[: CHUNK - self.size % CHUNK]
            self._crc = zlib.crc32(some, self._crc)
            self.size += len(some)
            if self.size % CHUNK == 0:
                self._done += self._crc.to_bytes(4)
                self._crc = 0
            view = view[len(some) :]

    def __bytes__(self) -> bytes:
        """Four bytes for each chunk, the unfinished one too, as `Stored` has them."""
        return bytes(self._done) + (self._crc.to_bytes(4) if self.size % CHUNK else b"")
