"""Where image bytes are kept: what a store can do, and the stores that the settings name."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

ALIASES = {
    "filesystem": "apps.image.backends.filesystem.FilesystemStore",
    "objectstore": "apps.image.backends.objectstore.ObjectStore",
}


class StoreFullError(Exception):
    """There is no room for these bytes."""


class BlobMissingError(Exception):
    """The store has no such bytes."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Something a store holds: a finished blob or a draft (`attempt` is not empty)."""

    name: str
    attempt: str
    age_s: float


class Draft(Protocol):
    """Bytes being written; nobody reads them as an image before `publish`."""

    def write(self, piece: bytes) -> None:
        """Append. Raises StoreFullError."""

    def finish(self) -> None:
        """No more bytes: make them durable. Raises StoreFullError."""

    def reader(self) -> BinaryIO:
        """The finished bytes, for inspection."""

    def publish(self) -> None:
        """Become the blob of this name, at once and durably; an older one of that name is replaced."""

    def discard(self) -> None:
        """Remove the draft; absent is success."""

    def close(self) -> None:
        """Let go of it without removing it."""


class Store(Protocol):
    """A place for image bytes. Names are UUIDs in text; deleting what is absent is success."""

    api: int

    def draft(self, name: str, attempt: str, size: int) -> Draft:
        """Begin a blob of about that many bytes. Raises StoreFullError where it can never fit."""

    def resume(self, name: str, attempt: str) -> Draft:
        """A finished draft made before, perhaps by another process. Raises BlobMissingError."""

    def open(self, name: str) -> BinaryIO:
        """The blob's bytes, seekable. Raises BlobMissingError."""

    def delete(self, name: str) -> None:
        """Remove a blob."""

    def discard(self, name: str, attempt: str) -> None:
        """Remove a draft."""

    def kept(self) -> Iterator[Kept]:
        """All blobs and drafts."""


@functools.cache
def store(key: str = "default") -> Store:
    """The store of that key in `KUMO_DRIVERS["image_store"]`. Raises KeyError for an unknown one."""
    entry = settings.KUMO_DRIVERS["image_store"][key]
    path = ALIASES.get(entry["BACKEND"], entry["BACKEND"])
    made: Store = import_string(path)(**entry.get("OPTIONS", {}))
    return made


def store_keys() -> list[str]:
    """Keys of all stores, the default one first."""
    return sorted(settings.KUMO_DRIVERS["image_store"], key=lambda k: (k != "default", k))
