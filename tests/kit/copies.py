"""Copies of blobs on the disks of the back end `disks`, behind its back."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from apps.objectstore.backends.directory import Directory, identity_of


@dataclass(frozen=True)
class CopyAt:
    """Where a copy's bytes are."""

    path: Path
    start: int
    size: int

    def read(self) -> bytes:
        return self.path.read_bytes()[self.start : self.start + self.size]

    def flip(self, at: int = 0) -> None:
        """Make one byte wrong."""
        with self.path.open("r+b") as file:
            file.seek(self.start + at)
            byte = file.read(1)
            file.seek(self.start + at)
            file.write(bytes([byte[0] ^ 0xFF]))


def directory_of(disk: Path) -> Directory:
    return Directory(1, str(disk), identity_of(str(disk)))


def copy_at(disk: Path, blob_id: UUID) -> CopyAt:
    """Raises FileNotFoundError where the disk has none."""
    opened = directory_of(disk).open(blob_id)
    try:
        return CopyAt(Path(os.readlink(f"/proc/self/fd/{opened.file}")), opened.start, opened.size)
    finally:
        opened.close()


def lose(disk: Path, blob_id: UUID) -> None:
    """Have the disk forget a copy."""
    directory_of(disk).remove(blob_id)


def ids_on(disk: Path) -> list[UUID]:
    """Of all copies that are there, in no order."""
    return [blob_id for blob_id, _ in directory_of(disk).kept()]
