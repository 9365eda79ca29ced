"""Base images: fetched once, checked, never half there."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agents import images
from agents.contracts import ImageSource
from agents.errors import Cancelled, Refused, Transient
from agents.images import ImageCache
from agents.layout import Layout
from tests.kit.images import MIB, make_image, source_of
from tests.kit.verbs import RunningVerb, new_id


class Origin:
    """Where images come from; counts, and can wait for a signal in the middle."""

    def __init__(self, path: Path, piece: int = 64 * 1024) -> None:
        self.path = path
        self.piece = piece
        self.fetched = 0
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    @contextlib.contextmanager
    def __call__(self, image_id: str) -> Iterator[Iterator[bytes]]:
        self.fetched += 1
        yield self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        with self.path.open("rb") as content:
            while piece := content.read(self.piece):
                yield piece
                self.begun.set()
                self.go_on.wait(30)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_image(tmp_path / "image.qcow2")


@pytest.fixture
def origin(image: Path) -> Origin:
    return Origin(image)


@pytest.fixture
def cache(layout: Layout, origin: Origin) -> ImageCache:
    return ImageCache(layout, origin, set)


def left(layout: Layout) -> list[str]:
    """What is in the images' directory, locks apart."""
    return sorted(path.name for path in layout.images.iterdir() if path.suffix != ".lock")


def use(cache: ImageCache, source: ImageSource, job: RunningVerb | None = None) -> tuple[Path, bool]:
    with cache.use(source, job or RunningVerb()) as found:
        return found


def test_image_is_fetched_once_and_kept_read_only(cache: ImageCache, origin: Origin, image: Path) -> None:
    source = source_of(image)
    path, cached = use(cache, source)
    again, cached_again = use(cache, source)
    assert (path, cached, cached_again) == (again, False, True)
    assert path.read_bytes() == image.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o444
    assert origin.fetched == 1


def test_twenty_that_want_it_at_once_fetch_it_once(cache: ImageCache, origin: Origin, image: Path) -> None:
    source = source_of(image)
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: use(cache, source)[0], range(20)))
    assert len(set(found)) == 1
    assert origin.fetched == 1


def test_progress_is_told(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "REPORT_BYTES", 64 * 1024)
    image, job = make_image(tmp_path / "big.raw", "raw", MIB), RunningVerb()
    use(ImageCache(layout, Origin(image), set), source_of(image, "raw", MIB), job)
    percents = [percent for percent, _ in job.reported]
    assert percents == sorted(percents)
    assert percents[-1] == 100


def test_corrupt_image_is_refused(cache: ImageCache, layout: Layout, image: Path) -> None:
    with pytest.raises(Refused, match="corrupt"):
        use(cache, source_of(image, sha256="0" * 64))
    assert left(layout) == []


def test_image_longer_than_told_is_refused(cache: ImageCache, layout: Layout, image: Path) -> None:
    with pytest.raises(Refused, match="longer"):
        use(cache, source_of(image, size_bytes=1000))
    assert left(layout) == []


def test_image_that_ends_early_is_tried_again(cache: ImageCache, layout: Layout, origin: Origin, image: Path) -> None:
    source = source_of(image)
    whole = image.read_bytes()
    image.write_bytes(whole[:-10])
    with pytest.raises(Transient, match="ended after"):
        use(cache, source)
    assert left(layout) == []
    image.write_bytes(whole)
    assert use(cache, source)[0].read_bytes() == whole


def test_unknown_format_is_refused_before_a_byte_is_fetched(cache: ImageCache, origin: Origin, image: Path) -> None:
    with pytest.raises(Refused, match="vmdk"):
        use(cache, source_of(image, "vmdk"))
    assert origin.fetched == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-b", "/etc/passwd", "-F", "raw", "-u"), "backing file"),
        (("-o", "data_file=DATA,data_file_raw=on"), "another file"),
    ],
)
def test_image_that_names_files_of_the_host_is_refused(
    layout: Layout, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    path = tmp_path / "hostile.qcow2"
    given = [option.replace("DATA", str(tmp_path / "data")) for option in options]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *given, str(path), str(8 * MIB)], check=True)
    with pytest.raises(Refused, match=words):
        use(ImageCache(layout, Origin(path), set), source_of(path))
    assert left(layout) == []


def test_image_of_another_format_than_declared_is_refused(layout: Layout, tmp_path: Path) -> None:
    path = make_image(tmp_path / "image.raw", "raw", MIB)
    with pytest.raises(Refused, match="cannot be read as qcow2"):
        use(ImageCache(layout, Origin(path), set), source_of(path, "qcow2", MIB))
    assert left(layout) == []


def test_raw_image_may_end_within_a_sector(layout: Layout, tmp_path: Path) -> None:
    image = tmp_path / "odd.raw"
    image.write_bytes(b"k" * 3_000_000)
    kept, _ = use(ImageCache(layout, Origin(image), set), source_of(image, "raw", 3_000_000))
    assert kept.read_bytes() == image.read_bytes()


def test_image_larger_inside_than_declared_is_refused(cache: ImageCache, layout: Layout, image: Path) -> None:
    with pytest.raises(Refused, match="as declared"):
        use(cache, source_of(image, size=4 * MIB))
    assert left(layout) == []


def test_no_room_is_refused_before_a_byte_is_fetched(
    cache: ImageCache, layout: Layout, origin: Origin, image: Path
) -> None:
    with pytest.raises(Refused, match="no room"):
        use(cache, source_of(image, size_bytes=2**60))
    assert (origin.fetched, left(layout)) == (0, [])


def test_disk_that_fills_up_is_refused_with_nothing_left(layout: Layout, tmp_path: Path) -> None:
    disk = tmp_path / "small"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "kumo-test", str(disk)], check=True)
    try:
        small = Layout(disk)
        small.make()
        image = make_image(tmp_path / "image.raw", "raw", 4 * MIB)
        image.write_bytes(b"x" * 4 * MIB)
        cache = ImageCache(small, Origin(image), set)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ImageCache, "_free", lambda self: 2**40)  # as if others took the room meanwhile
            with pytest.raises(Refused, match="filled up"):
                use(cache, source_of(image, "raw", 4 * MIB))
        assert left(small) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_cancelled_fetch_leaves_nothing_and_the_next_one_works(cache: ImageCache, layout: Layout, image: Path) -> None:
    source = source_of(image)
    with pytest.raises(Cancelled):
        use(cache, source, RunningVerb(cancelled=True))
    assert left(layout) == []
    assert use(cache, source)[0].exists()


def test_waiting_for_anothers_fetch_can_be_cancelled(cache: ImageCache, origin: Origin, image: Path) -> None:
    source = source_of(image)
    origin.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(use, cache, source)
        assert origin.begun.wait(30)
        with pytest.raises(Cancelled):
            use(cache, source, RunningVerb(cancelled=True))
        origin.go_on.set()
        assert first.result(30)[0].exists()
    assert origin.fetched == 1


def test_rest_of_a_killed_fetch_is_overwritten(cache: ImageCache, layout: Layout, image: Path) -> None:
    source = source_of(image)
    (layout.images / f"{source.sha256}.part").write_bytes(b"half of it")
    assert use(cache, source)[0].read_bytes() == image.read_bytes()
    assert left(layout) == [source.sha256]


def test_pruning_removes_unused_images_oldest_first_and_no_other(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [make_image(tmp_path / f"{size}.raw", "raw", size * MIB) for size in (1, 2, 3, 4)]
    sources = [source_of(path, "raw", size * MIB) for size, path in enumerate(paths, 1)]
    used = {sources[0].sha256}
    for path, source in zip(paths, sources, strict=True):
        use(ImageCache(layout, Origin(path), set), source)
    cache = ImageCache(layout, Origin(paths[0]), lambda: used)
    free = iter([0, 0, 100])
    monkeypatch.setattr(ImageCache, "_free", lambda self: next(free))
    with cache.use(sources[1], RunningVerb()):  # in use by a verb that has made nothing of it yet
        for age, source in enumerate(sources):
            os.utime(layout.images / source.sha256, (age, age))
        cache.prune(100)
    kept = {name for name in left(layout) if len(name) == 64}
    assert kept == {sources[0].sha256, sources[1].sha256, sources[3].sha256}


def test_pruning_goes_on_where_an_image_is_removed_by_another_meanwhile(
    cache: ImageCache, layout: Layout, image: Path
) -> None:
    use(cache, source_of(image))
    (layout.images / ("f" * 64)).symlink_to("removed")  # listed, and not there when it is looked at
    cache.prune(2**60)
    assert left(layout) == []


def test_unknown_image_is_refused(layout: Layout) -> None:
    @contextlib.contextmanager
    def unknown(image_id: str) -> Iterator[Iterator[bytes]]:
        raise Refused(f"no image {image_id}")
        yield

    source = ImageSource(image_id=new_id(), sha256="1" * 64, size_bytes=10, disk_format="raw", virtual_size_bytes=10)
    with pytest.raises(Refused, match="no image"):
        use(ImageCache(layout, unknown, set), source)
    assert left(layout) == []
