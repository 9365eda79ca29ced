"""Where a host keeps its files below its state directory.

    images/<sha256>           read-only base images, shared by guests
    servers/<server id>/      everything that goes with one guest
    journal.sqlite3, identity/   see agents.config

Directories above disks are traversable (0711), because QEMU runs under an account of its own; the files in
them are not readable by others, libvirt hands each one over while its guest runs.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.contracts import UUID_PATTERN


@dataclass(frozen=True, slots=True)
class GuestFiles:
    """The files of one guest."""

    directory: Path

    @property
    def root_disk(self) -> Path:
        return self.directory / "root.qcow2"

    @property
    def swap(self) -> Path:
        return self.directory / "swap.raw"

    def ephemeral(self, number: int) -> Path:
        return self.directory / f"ephemeral{number}.raw"

    @property
    def config_drive(self) -> Path:
        return self.directory / "config-drive.iso"

    @property
    def console_log(self) -> Path:
        return self.directory / "console.log"

    @property
    def manifest(self) -> Path:
        """What `ensure_disks` made: generation, base image and its format."""
        return self.directory / "disks.json"


@dataclass(frozen=True, slots=True)
class Base:
    """The read-only image under a root disk, and QEMU's name of its format."""

    path: Path
    format: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths below one state directory."""

    state: Path

    @property
    def images(self) -> Path:
        return self.state / "images"

    @property
    def servers(self) -> Path:
        return self.state / "servers"

    def guest(self, server_id: str) -> GuestFiles:
        """Files of a guest. Raises ValueError for anything but a UUID, so that no path can be smuggled in."""
        if not re.fullmatch(UUID_PATTERN, server_id):
            raise ValueError(f"{server_id!r} is not a UUID")
        return GuestFiles(self.servers / server_id)

    def guests(self) -> Iterator[str]:
        """Ids of the guests that have a directory here, sorted."""
        if not self.servers.is_dir():
            return
        for entry in sorted(self.servers.iterdir()):
            if re.fullmatch(UUID_PATTERN, entry.name):
                yield entry.name

    def direct_io(self) -> bool:
        """Whether files here can be opened past the page cache; tmpfs of older kernels cannot."""
        self.make()
        probe = self.servers / f".direct-io-{threading.get_ident()}"
        try:
            os.close(os.open(probe, os.O_CREAT | os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return False
        finally:
            probe.unlink(missing_ok=True)
        return True

    def make(self) -> None:
        """Create the directories."""
        for directory in (self.state, self.images, self.servers):
            directory.mkdir(parents=True, exist_ok=True)
            directory.chmod(0o711)
