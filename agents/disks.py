"""A guest's own disks: a root disk over a shared base image, empty extra disks, swap, the config drive.

Each file is made under a temporary name and renamed when complete, so one that is there is whole and a repeat
makes only what is missing. The manifest, written last, says from which wish they were made.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from agents import configdrive
from agents.commands import CommandFailed, qemu_img, run
from agents.contracts import DisksReady, EnsureDisks, RebuildDisks
from agents.errors import Refused, Transient, VerbError
from agents.images import FORMATS, ImageCache, Waiter
from agents.layout import Base, GuestFiles, Layout

GIB = 2**30
MIB = 2**20

ConfigDriveFiles = Callable[[str], Mapping[str, str]]
"""Asks the control plane for the files of a server's config drive: name to Base64."""


class Manifest(msgspec.Struct, frozen=True):
    """`disks.json`: what the disks of a guest were made from."""

    generation: int
    base_sha256: str | None = None
    base_format: str = "raw"


def ensure(
    wanted: EnsureDisks, layout: Layout, cache: ImageCache, config_drive: ConfigDriveFiles, job: Waiter
) -> DisksReady:
    """Make what is missing of a guest's disks. Raises Refused, Transient; leaves no half-made file."""
    files = layout.guest(wanted.server_id)
    present = read_manifest(files)
    _refuse_contradiction(wanted, present)
    try:
        cached = _make(wanted, files, cache, config_drive, job)
    except Refused:
        if present is None:  # it will not work however often it is tried
            remove(wanted.server_id, layout)
        raise
    return DisksReady(root_bytes=_root_bytes(wanted), image_was_cached=cached)


def rebuild(
    wanted: RebuildDisks, layout: Layout, cache: ImageCache, config_drive: ConfigDriveFiles, job: Waiter
) -> DisksReady:
    """Make a guest's disks anew, unless those that are there are of this generation already.

    Until the new root disk takes the old one's place nothing has changed, and the manifest comes last: what was
    interrupted is done again. Raises Refused, Transient.
    """
    files = layout.guest(wanted.server_id)
    present = read_manifest(files)
    if present is None:
        raise Refused(f"the disks of server {wanted.server_id} are not on this host")
    if present.generation > wanted.generation:
        raise Refused(f"generation {wanted.generation} of the disks is older than {present.generation}, which is here")
    cached = True
    if present.generation < wanted.generation:
        cached = _remake(wanted, files, cache, config_drive, job)
    return DisksReady(root_bytes=_root_bytes(wanted), image_was_cached=cached)


def _remake(
    wanted: RebuildDisks, files: GuestFiles, cache: ImageCache, config_drive: ConfigDriveFiles, job: Waiter
) -> bool:
    if wanted.image is None:
        raise Refused(f"server {wanted.server_id} has no image to be rebuilt from")
    size = _root_bytes(wanted)
    drive = config_drive(wanted.server_id) if wanted.config_drive else None
    with cache.use(wanted.image, job) as (base, cached):
        with _disk_full_is_refused(wanted.server_id), _temporary(files.root_disk) as made:
            _overlay(made, base, FORMATS[wanted.image.disk_format], size)
            job.checkpoint()
        try:
            _remake_others(wanted, files, drive)
        except (VerbError, OSError) as error:  # never refused: the root disk is another one now
            raise Transient(f"the disks of server {wanted.server_id} are made anew in part: {error}") from error
    return cached


def _remake_others(wanted: RebuildDisks, files: GuestFiles, drive: Mapping[str, str] | None) -> None:
    if not wanted.keep_ephemeral:
        for path in (*(files.ephemeral(number) for number in range(len(wanted.ephemeral_gib))), files.swap):
            path.unlink(missing_ok=True)
    _ensure_others(wanted, files)
    if drive is not None:
        configdrive.write(files.config_drive, drive)
    _write_manifest(files, wanted)


def _make(
    wanted: EnsureDisks, files: GuestFiles, cache: ImageCache, config_drive: ConfigDriveFiles, job: Waiter
) -> bool:
    with _disk_full_is_refused(wanted.server_id):
        files.directory.mkdir(parents=True, exist_ok=True)
        files.directory.chmod(0o711)
        cached = _ensure_root(wanted, files, cache, job)
        job.checkpoint()
        _ensure_others(wanted, files)
        if wanted.config_drive and not files.config_drive.exists():
            configdrive.write(files.config_drive, config_drive(wanted.server_id))
        _write_manifest(files, wanted)
    return cached


def remove(server_id: str, layout: Layout) -> None:
    """Remove a guest's directory with all disks and logs in it; absent is success."""
    directory = layout.guest(server_id).directory
    try:
        shutil.rmtree(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Transient(f"{directory} cannot be removed: {error}") from error


def read_manifest(files: GuestFiles) -> Manifest | None:
    """The manifest, or None where the disks are not complete. Raises Refused where it is damaged."""
    try:
        return msgspec.json.decode(files.manifest.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise Refused(f"{files.manifest} is damaged: {error}") from error


def base_of(layout: Layout, server_id: str) -> Base | None:
    """The image under a guest's root disk. Raises Refused where the guest has no disks here."""
    manifest = read_manifest(layout.guest(server_id))
    if manifest is None:
        raise Refused(f"the disks of server {server_id} are not on this host")
    if manifest.base_sha256 is None:
        return None
    return Base(layout.images / manifest.base_sha256, manifest.base_format)


def images_in_use(layout: Layout) -> set[str]:
    """Hashes of the images that guests of this host stand on."""
    used = set()
    for server_id in layout.guests():
        manifest = read_manifest(layout.guest(server_id))
        if manifest is not None and manifest.base_sha256:
            used.add(manifest.base_sha256)
    return used


def _refuse_contradiction(wanted: EnsureDisks, present: Manifest | None) -> None:
    if present is None:
        return
    if present.generation > wanted.generation:
        raise Refused(f"generation {wanted.generation} of the disks is older than {present.generation}, which is here")
    if present.base_sha256 != (wanted.image.sha256 if wanted.image else None):
        raise Refused(f"the root disk of server {wanted.server_id} stands on another image")


def _root_bytes(wanted: EnsureDisks) -> int:
    if wanted.image is None:
        return 0
    if not wanted.root_gib:
        return wanted.image.virtual_size_bytes
    if wanted.root_gib * GIB < wanted.image.virtual_size_bytes:
        raise Refused(
            f"image {wanted.image.image_id} needs {wanted.image.virtual_size_bytes} bytes, "
            f"more than a root disk of {wanted.root_gib} GiB"
        )
    return wanted.root_gib * GIB


def _ensure_root(wanted: EnsureDisks, files: GuestFiles, cache: ImageCache, job: Waiter) -> bool:
    size = _root_bytes(wanted)
    if wanted.image is None or files.root_disk.exists():
        return True
    with cache.use(wanted.image, job) as (base, cached), _temporary(files.root_disk) as made:
        _overlay(made, base, FORMATS[wanted.image.disk_format], size)
        # Under the image's lock, so that pruning sees the image in use before the lock goes.
        _write_manifest(files, wanted)
    return cached


def _overlay(path: Path, base: Path, base_format: str, size: int) -> None:
    qemu_img("create", "-q", "-f", "qcow2", "-F", base_format, "-b", str(base), "--", str(path), str(size))


def _ensure_others(wanted: EnsureDisks, files: GuestFiles) -> None:
    for number, size_gib in enumerate(wanted.ephemeral_gib):
        _ensure_raw(files.ephemeral(number), size_gib * GIB, ("mke2fs", "-q", "-F", "-L", f"ephemeral{number}"))
    if wanted.swap_mib:
        _ensure_raw(files.swap, wanted.swap_mib * MIB, ("mkswap", "--quiet"))


def _ensure_raw(path: Path, size: int, formatter: tuple[str, ...]) -> None:
    if path.exists():
        return
    with _temporary(path) as made:
        with made.open("wb") as out:
            os.fchmod(out.fileno(), 0o600)
            out.truncate(size)
        run((*formatter, str(made)), timeout_s=120)


def _write_manifest(files: GuestFiles, wanted: EnsureDisks) -> None:
    manifest = Manifest(
        generation=wanted.generation,
        base_sha256=wanted.image.sha256 if wanted.image else None,
        base_format=FORMATS[wanted.image.disk_format] if wanted.image else "raw",
    )
    with _temporary(files.manifest) as made:
        made.write_bytes(msgspec.json.encode(manifest))


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name to write under, renamed to `path` when the block succeeds, else removed."""
    made = path.with_name(f".{path.name}.part")
    made.unlink(missing_ok=True)
    try:
        yield made
        made.chmod(0o600)
        made.rename(path)
    finally:
        made.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk_full_is_refused(server_id: str) -> Iterator[None]:
    full = f"the disk of this host is full; server {server_id} needs more room"
    try:
        yield
    except CommandFailed as error:
        if os.strerror(errno.ENOSPC) in str(error):
            raise Refused(full) from error
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Refused(full) from error
        raise Transient(f"the disks of server {server_id} cannot be made: {error}") from error
