"""What back ends share that leave the copies to an engine: each blob has one place there, number 0.

Bytes that come wrong are asked for once more before they count as damage: on their way they may have been cut off or
spoilt. An engine that does not answer says nothing about its blobs.
"""

from __future__ import annotations

import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from django.conf import settings

from apps.objectstore.backends import BlobLostError, NoRoomError, Stored
from apps.objectstore.backends.claims import require_own
from apps.objectstore.states import CHUNK

logger = logging.getLogger("kumo.objectstore")

PLACE = 0
LONGEST_S = 7 * 24 * 3600  # that a draft may take: 5 GiB at 9 kB/s
LEFT_S = LONGEST_S + 24 * 3600  # after which what belongs to a draft must be a dead writer's

Damaged = Callable[[int], None]


class WrongBlobError(OSError):
    """What is at a blob's place is not what was written."""


class Body(Protocol):
    """The bytes of a blob, as the engine gives them."""

    def chunk(self, index: int) -> bytes:
        """A chunk as it comes. Raises FileNotFoundError, WrongBlobError, OSError."""

    def close(self) -> None:
        """Let go; the next chunk is asked for anew."""


class SinglePlaceStore(ABC):
    """A place for blobs in an engine; how it is reached, subclasses know."""

    api = 1
    small_bytes = 0

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self._is_own = False

    @abstractmethod
    def _mark(self) -> bytes | None:
        """The mark that is there, or None. Raises OSError."""

    @abstractmethod
    def _put_mark(self, identity: bytes) -> None:
        """Leave a mark. Raises OSError."""

    @abstractmethod
    def _body(self, stored: Stored, end: int) -> Body:
        """The bytes of a blob, of which those up to `end` will be wanted."""

    @abstractmethod
    def _check(self, stored: Stored) -> None:
        """Raise FileNotFoundError, WrongBlobError unless a blob of that size is there; OSError."""

    def require_own(self, *, again: bool = False) -> None:
        """Ask once whether the place is ours, or `again`. Raises WrongMachineError, OSError."""
        if again or not self._is_own:
            self._is_own = False
            require_own(self.policy, self._mark, self._put_mark)
            self._is_own = True

    def read(self, stored: Stored, start: int, end: int, damaged: Damaged) -> Iterator[bytes]:
        if start >= end:
            return
        verify = settings.CONFIG.objectstore.verify_reads
        last = -(-end // CHUNK)
        with contextlib.closing(self._body(stored, min(last * CHUNK, stored.size))) as body:
            for index in range(start // CHUNK, last):
                at = index * CHUNK
                yield _chunk(stored, body, index, verify, damaged)[max(start - at, 0) : end - at]

    def verify(self, stored: Stored, pause: Callable[[int], None]) -> dict[int, bool]:
        try:
            self._check(stored)
            with contextlib.closing(self._body(stored, stored.size)) as body:
                for index in range(len(stored.checksums) // 4):
                    pause(len(_right(stored, body, index, verify=True)))
        except (FileNotFoundError, WrongBlobError):
            return {PLACE: False}
        except OSError:
            return {}
        return {PLACE: True}

    def repair(self, stored: Stored) -> Stored:
        """The engine mends its own copies; what it has lost, nobody can bring back."""
        if not self.verify(stored, lambda size: None).get(PLACE):
            raise BlobLostError(f"blob {stored.id} cannot be had from the engine that keeps it")
        return replace(stored, places=(PLACE,), missing=0)


def _chunk(stored: Stored, body: Body, index: int, verify: bool, damaged: Damaged) -> bytes:
    """One chunk. Raises BlobLostError."""
    try:
        return _right(stored, body, index, verify=verify)
    except (FileNotFoundError, WrongBlobError) as error:
        logger.error("a blob is damaged", extra={"blob": str(stored.id), "reason": str(error)})
        damaged(PLACE)
        raise BlobLostError(f"blob {stored.id}: {error}") from error
    except OSError as error:
        logger.error("bytes could not be had", extra={"blob": str(stored.id), "chunk": index, "reason": str(error)})
        raise BlobLostError(f"blob {stored.id}: {error}") from error


def _right(stored: Stored, body: Body, index: int, *, verify: bool) -> bytes:
    """One chunk, if it is right at the first or second time. Raises as `Body.chunk`."""
    for _ in range(2):
        chunk = body.chunk(index)
        if stored.is_right(index, chunk, verify=verify):
            return chunk
        body.close()
    raise WrongBlobError(f"wrong bytes in chunk {index}")


class Deadline:
    """By when a draft must be published: what belongs to older ones is removed. Time counts while a machine sleeps."""

    def __init__(self) -> None:
        self._began = time.clock_gettime(time.CLOCK_BOOTTIME)

    def require(self) -> None:
        """Raises NoRoomError."""
        if time.clock_gettime(time.CLOCK_BOOTTIME) - self._began > LONGEST_S:
            raise NoRoomError(f"the bytes took more than {LONGEST_S // 86400} days to arrive")


@contextlib.contextmanager
def as_no_room() -> Iterator[None]:
    """Errors on the way in are those of a draft."""
    try:
        yield
    except OSError as error:
        raise NoRoomError(str(error)) from error
