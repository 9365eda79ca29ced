"""A guest's own disks: complete or absent, made once, gone with the guest."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from agents import disks
from agents.contracts import DisksReady, EnsureDisks, ImageSource
from agents.errors import Refused, Transient
from agents.images import ImageCache
from agents.layout import GuestFiles, Layout
from tests.agents.test_images import Origin
from tests.kit.images import MIB, make_image, source_of
from tests.kit.verbs import RunningVerb, new_id, wanted_disks

FILES = {"openstack/latest/meta_data.json": base64.b64encode(b'{"uuid": "x"}').decode()}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_image(tmp_path / "image.qcow2")


@pytest.fixture
def source(image: Path) -> ImageSource:
    return source_of(image)


@pytest.fixture
def ensure(layout: Layout, image: Path) -> Callable[..., DisksReady]:
    cache = ImageCache(layout, Origin(image), lambda: disks.images_in_use(layout))

    def run(wanted: EnsureDisks, files: Callable[[str], Mapping[str, str]] = lambda _: FILES) -> DisksReady:
        return disks.ensure(wanted, layout, cache, files, RunningVerb())

    return run


def info(path: Path) -> dict[str, Any]:
    shown = subprocess.run(["qemu-img", "info", "--output=json", str(path)], capture_output=True, check=True).stdout
    return json.loads(shown)


def names(files: GuestFiles) -> list[str]:
    return sorted(path.name for path in files.directory.iterdir())


def beginnings(files: GuestFiles) -> dict[str, bytes]:
    found = {}
    for path in files.directory.iterdir():
        with path.open("rb") as content:
            found[path.name] = content.read(4096)
    return found


def test_root_disk_stands_on_the_image_with_formats_said(
    ensure: Callable[..., DisksReady], layout: Layout, source: ImageSource
) -> None:
    wanted = wanted_disks(new_id(), source, root_gib=1)
    ready = ensure(wanted)
    files = layout.guest(wanted.server_id)
    shown = info(files.root_disk)
    assert ready == DisksReady(root_bytes=2**30, image_was_cached=False)
    assert shown["virtual-size"] == 2**30
    assert shown["backing-filename"] == str(layout.images / source.sha256)
    assert shown["backing-filename-format"] == "qcow2"
    assert files.root_disk.stat().st_mode & 0o777 == 0o600
    assert names(files) == ["disks.json", "root.qcow2"]


def test_root_disk_is_as_large_as_the_image_where_no_size_is_said(
    ensure: Callable[..., DisksReady], layout: Layout, source: ImageSource
) -> None:
    wanted = wanted_disks(new_id(), source, root_gib=0)
    assert ensure(wanted).root_bytes == 8 * MIB
    assert info(layout.guest(wanted.server_id).root_disk)["virtual-size"] == 8 * MIB


def test_repeat_changes_nothing(ensure: Callable[..., DisksReady], layout: Layout, source: ImageSource) -> None:
    wanted = wanted_disks(new_id(), source, swap_mib=4, ephemeral_gib=(1,), config_drive=True)
    ensure(wanted)
    files = layout.guest(wanted.server_id)
    files.root_disk.write_bytes(b"written by the guest")
    before = beginnings(files)
    assert ensure(wanted).image_was_cached
    assert beginnings(files) == before


def test_extra_disks_and_swap_are_formatted(
    ensure: Callable[..., DisksReady], layout: Layout, source: ImageSource
) -> None:
    wanted = wanted_disks(new_id(), source, swap_mib=4, ephemeral_gib=(1, 2))
    ensure(wanted)
    files = layout.guest(wanted.server_id)
    probe = {
        path.name: subprocess.run(
            ["blkid", "-o", "export", str(path)], capture_output=True, text=True, check=True
        ).stdout
        for path in (files.swap, files.ephemeral(0), files.ephemeral(1))
    }
    assert "TYPE=swap" in probe["swap.raw"]
    assert "LABEL=ephemeral0" in probe["ephemeral0.raw"]
    assert "LABEL=ephemeral1" in probe["ephemeral1.raw"]
    assert files.ephemeral(1).stat().st_size == 2 * 2**30
    assert files.ephemeral(1).stat().st_blocks * 512 < 100 * MIB


def test_config_drive_holds_what_the_control_plane_gave(
    ensure: Callable[..., DisksReady], layout: Layout, source: ImageSource, tmp_path: Path
) -> None:
    wanted = wanted_disks(new_id(), source, config_drive=True)
    ensure(wanted)
    drive = layout.guest(wanted.server_id).config_drive
    label = subprocess.run(
        ["blkid", "-o", "value", "-s", "LABEL", str(drive)], capture_output=True, text=True, check=True
    ).stdout
    assert label.strip() == "config-2"
    assert drive.stat().st_mode & 0o777 == 0o600
    assert b'{"uuid": "x"}' in drive.read_bytes()


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "a/../../b", ""])
def test_config_drive_with_a_hostile_name_is_refused(
    ensure: Callable[..., DisksReady], layout: Layout, source: ImageSource, name: str
) -> None:
    wanted = wanted_disks(new_id(), source, config_drive=True)
    with pytest.raises(Refused, match="called"):
        ensure(wanted, lambda _: {name: ""})
    assert list(layout.servers.iterdir()) == []


def test_unreachable_control_plane_leaves_no_half_made_drive_and_a_repeat_works(
    ensure: Callable[..., DisksReady], layout: Layout, source: ImageSource
) -> None:
    wanted = wanted_disks(new_id(), source, config_drive=True)

    def unreachable(_: str) -> Mapping[str, str]:
        raise Transient("not now")

    with pytest.raises(Transient):
        ensure(wanted, unreachable)
    files = layout.guest(wanted.server_id)
    assert "config-drive.iso" not in names(files)
    ensure(wanted)
    assert names(files) == ["config-drive.iso", "disks.json", "root.qcow2"]


def test_root_disk_smaller_than_the_image_is_refused(
    ensure: Callable[..., DisksReady], layout: Layout, tmp_path: Path
) -> None:
    image = make_image(tmp_path / "large.qcow2", size=2 * 2**30)
    wanted = wanted_disks(new_id(), source_of(image, size=2 * 2**30), root_gib=1)
    with pytest.raises(Refused, match="more than a root disk of 1 GiB"):
        ensure(wanted)
    assert not layout.guest(wanted.server_id).root_disk.exists()


def test_full_disk_is_refused_with_nothing_left(tmp_path: Path, image: Path, source: ImageSource) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "kumo-test", str(small)], check=True)
    try:
        layout = Layout(small)
        layout.make()
        cache = ImageCache(layout, Origin(image), set)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ImageCache, "_free", lambda self: 2**40)
            wanted = wanted_disks(new_id(), source, ephemeral_gib=(64,))
            with pytest.raises(Refused, match="full"):
                disks.ensure(wanted, layout, cache, lambda _: {}, RunningVerb())
        assert list(layout.servers.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_older_generation_is_refused(ensure: Callable[..., DisksReady], layout: Layout, source: ImageSource) -> None:
    server_id = new_id()
    ensure(wanted_disks(server_id, source, generation=3))
    before = names(layout.guest(server_id))
    with pytest.raises(Refused, match="older"):
        ensure(wanted_disks(server_id, source, generation=2, swap_mib=4))
    assert names(layout.guest(server_id)) == before


def test_other_image_under_an_existing_disk_is_refused(
    ensure: Callable[..., DisksReady], layout: Layout, source: ImageSource, tmp_path: Path
) -> None:
    server_id = new_id()
    ensure(wanted_disks(server_id, source))
    before = layout.guest(server_id).root_disk.read_bytes()
    other = source_of(make_image(tmp_path / "other.qcow2", size=4 * MIB), size=4 * MIB)
    with pytest.raises(Refused, match="another image"):
        ensure(wanted_disks(server_id, other, generation=2))
    assert layout.guest(server_id).root_disk.read_bytes() == before


def test_guest_that_boots_from_volumes_has_no_root_disk(ensure: Callable[..., DisksReady], layout: Layout) -> None:
    wanted = wanted_disks(new_id(), None, swap_mib=4)
    assert ensure(wanted) == DisksReady(root_bytes=0, image_was_cached=True)
    assert names(layout.guest(wanted.server_id)) == ["disks.json", "swap.raw"]
    assert disks.base_of(layout, wanted.server_id) is None


def test_removal_takes_everything_and_can_be_repeated(
    ensure: Callable[..., DisksReady], layout: Layout, source: ImageSource
) -> None:
    wanted = wanted_disks(new_id(), source, config_drive=True)
    ensure(wanted)
    disks.remove(wanted.server_id, layout)
    disks.remove(wanted.server_id, layout)
    assert list(layout.guests()) == []
    assert (layout.images / source.sha256).exists()


def test_images_in_use_are_those_guests_stand_on(
    ensure: Callable[..., DisksReady], layout: Layout, source: ImageSource
) -> None:
    server_id = new_id()
    ensure(wanted_disks(server_id, source))
    assert disks.images_in_use(layout) == {source.sha256}
    disks.remove(server_id, layout)
    assert disks.images_in_use(layout) == set()


@pytest.mark.parametrize("name", ["..", "../../etc", "x", ""])
def test_only_a_uuid_names_a_guests_directory(layout: Layout, name: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        disks.remove(name, layout)
