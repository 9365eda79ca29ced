"""A guest's disks made anew: once for a generation, and nothing is lost before the new root disk is there."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from agents import disks
from agents.contracts import DisksReady, ImageSource, Power, RebuildDisks, RemoveDomain
from agents.errors import Cancelled, Refused, Transient
from agents.host import Host
from agents.images import ImageCache
from agents.layout import GuestFiles, Layout
from tests.agents.test_disks import FILES, beginnings, info
from tests.agents.test_images import Origin
from tests.kit.control_plane import ControlPlaneStub
from tests.kit.images import MIB, make_image, source_of
from tests.kit.verbs import RunningVerb, new_id, wanted_disks, wanted_domain


@pytest.fixture
def other(tmp_path: Path) -> ImageSource:
    """The image to rebuild from."""
    return source_of(make_image(tmp_path / "other.qcow2", size=4 * MIB), size=4 * MIB)


@pytest.fixture
def guest(layout: Layout, tmp_path: Path) -> GuestFiles:
    """Disks of generation 1, which their guest has written to."""
    path = make_image(tmp_path / "image.qcow2")
    cache = ImageCache(layout, Origin(path), lambda: disks.images_in_use(layout))
    wanted = wanted_disks(new_id(), source_of(path), ephemeral_gib=(1,), swap_mib=4, config_drive=True)
    disks.ensure(wanted, layout, cache, lambda _: FILES, RunningVerb())
    files = layout.guest(wanted.server_id)
    for path in (files.root_disk, files.ephemeral(0), files.swap):
        path.write_bytes(b"written by the guest")
    return files


@pytest.fixture
def rebuild(layout: Layout, guest: GuestFiles, other: ImageSource, tmp_path: Path) -> Callable[..., DisksReady]:
    cache = ImageCache(layout, Origin(tmp_path / "other.qcow2"), lambda: disks.images_in_use(layout))

    def run(job: RunningVerb | None = None, files: Mapping[str, str] = FILES, **changes: Any) -> DisksReady:
        given: dict[str, Any] = {"server_id": guest.directory.name, "generation": 2, "image": other, "root_gib": 0}
        given |= {"ephemeral_gib": (1,), "swap_mib": 4, "config_drive": True}
        return disks.rebuild(RebuildDisks(**given | changes), layout, cache, lambda _: files, job or RunningVerb())

    return run


def test_root_disk_stands_on_the_new_image_and_the_others_are_empty(
    rebuild: Callable[..., DisksReady], guest: GuestFiles, layout: Layout, other: ImageSource
) -> None:
    files = {"openstack/latest/user_data": base64.b64encode(b"#!/bin/sh new\n").decode()}
    assert rebuild(files=files).root_bytes == 4 * MIB
    assert info(guest.root_disk)["backing-filename"] == str(layout.images / other.sha256)
    assert guest.ephemeral(0).stat().st_size == 2**30
    assert b"SWAPSPACE2" in guest.swap.read_bytes()
    assert b"#!/bin/sh new" in guest.config_drive.read_bytes()
    assert disks.images_in_use(layout) == {other.sha256}


def test_other_disks_are_kept_where_that_is_wished(rebuild: Callable[..., DisksReady], guest: GuestFiles) -> None:
    rebuild(keep_ephemeral=True)
    assert guest.ephemeral(0).read_bytes() == guest.swap.read_bytes() == b"written by the guest"
    assert guest.root_disk.read_bytes() != b"written by the guest"


def test_repeat_leaves_what_the_guest_wrote_since(rebuild: Callable[..., DisksReady], guest: GuestFiles) -> None:
    rebuild()
    guest.root_disk.write_bytes(b"written since")
    before = beginnings(guest)
    assert rebuild().image_was_cached
    assert beginnings(guest) == before


def test_older_generation_is_refused(rebuild: Callable[..., DisksReady], guest: GuestFiles) -> None:
    rebuild(generation=3)
    before = beginnings(guest)
    with pytest.raises(Refused, match="older"):
        rebuild(generation=2)
    assert beginnings(guest) == before


def test_cancelled_before_the_root_disk_is_replaced_nothing_has_changed(
    rebuild: Callable[..., DisksReady], guest: GuestFiles
) -> None:
    before = beginnings(guest)
    with pytest.raises(Cancelled):
        rebuild(RunningVerb(cancelled=True))
    assert beginnings(guest) == before


def test_interrupted_afterwards_it_is_done_again(
    rebuild: Callable[..., DisksReady], guest: GuestFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(disks, "_ensure_others", full)
        with pytest.raises(Transient):
            rebuild()
    guest.root_disk.write_bytes(b"half")
    rebuild()
    assert guest.root_disk.read_bytes() != b"half"
    assert guest.swap.stat().st_size == 4 * MIB


def test_server_without_disks_here_is_refused(rebuild: Callable[..., DisksReady], layout: Layout) -> None:
    stranger = new_id()
    with pytest.raises(Refused, match="not on this host"):
        rebuild(server_id=stranger)
    assert not layout.guest(stranger).directory.exists()


def test_disks_of_a_guest_that_runs_are_left_alone(
    job: RunningVerb, host: Host, stub: ControlPlaneStub, tmp_path: Path
) -> None:
    path = make_image(tmp_path / "image.qcow2")
    source, server_id = source_of(path), new_id()
    stub.answers[f"/image/{source.image_id}"] = (200, path.read_bytes())
    job.do("compute.ensure_disks", wanted_disks(server_id, source))
    job.do("compute.ensure_domain", wanted_domain(server_id))
    wanted = RebuildDisks(server_id=server_id, generation=2, image=source, root_gib=0)
    with pytest.raises(Refused, match="stop it"):
        job.do("compute.rebuild_disks", wanted)
    job.do("compute.ensure_domain", wanted_domain(server_id, generation=2, power=Power.SHUTOFF))
    assert job.do("compute.rebuild_disks", wanted).root_bytes == 8 * MIB
    job.do("compute.remove_domain", RemoveDomain(server_id=server_id))
