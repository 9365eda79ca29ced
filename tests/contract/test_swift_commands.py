"""What people type: python-swiftclient's command `swift`, unmodified, against a running cloud."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.contract
Swift = Callable[..., str]
MIB = 2**20
TIMEOUT_S = 300


@pytest.fixture(scope="module")
def swift(account: dict[str, str]) -> Swift:
    """Runs `swift WORDS…`; returns what it printed. Raises AssertionError with what it said when it fails."""

    def run(*words: str, where: Path | None = None) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("swift"), *words],
            env=os.environ | account,
            cwd=where,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 0, f"swift {' '.join(words)}: {done.stderr or done.stdout}"
        return done.stdout

    return run


@pytest.fixture
def box(swift: Swift) -> Iterator[str]:
    """A container that is gone afterwards, with the one of its segments."""
    name = f"contract-{uuid.uuid4().hex[:8]}"
    swift("post", name)
    yield name
    for container in swift("list").splitlines():
        if container.startswith(name):
            swift("delete", container)


FILES = {
    "a.txt": b"a",
    "empty": b"",
    "dir/b b.bin": bytes(range(256)) * 40,
    "dir/deep/日本.txt": "日本".encode(),
    "dir/100%&?#+.txt": b"%",
    "big": b"0123456789abcdef" * (3 * MIB // 16) + b"end",
}


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def grow(root: Path) -> None:
    for name, body in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)


def moment(swift: Swift, box: str, name: str) -> str:
    """When an object was made."""
    return next(line for line in swift("stat", box, name).splitlines() if "X-Timestamp" in line)


def test_a_tree_goes_up_and_comes_down_again(swift: Swift, box: str, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    grow(source)
    swift("upload", box, ".", where=source)
    assert set(swift("list", box).splitlines()) == set(FILES)
    target.mkdir()
    swift("download", box, where=target)
    assert tree(target) == FILES

    (target / "a.txt").write_bytes(b"changed")
    (target / "new").write_bytes(b"new")
    made_at = {name: moment(swift, box, name) for name in FILES}
    swift("upload", "--skip-identical", box, ".", where=target)
    assert {name for name in FILES if moment(swift, box, name) != made_at[name]} == {"a.txt"}
    shutil.rmtree(source)
    source.mkdir()
    swift("download", box, where=source)
    assert tree(source) == tree(target)


def test_lists_and_statistics(swift: Swift, box: str, tmp_path: Path) -> None:
    grow(tmp_path)
    swift("upload", box, ".", where=tmp_path)
    assert swift("list", box, "--delimiter", "/").splitlines() == ["a.txt", "big", "dir/", "empty"]
    assert swift("list", box, "--prefix", "dir/d").splitlines() == ["dir/deep/日本.txt"]
    rows = json.loads(swift("list", box, "--json"))
    assert {row["name"]: row["bytes"] for row in rows} == {name: len(body) for name, body in FILES.items()}
    assert swift("list", box, "--totals", "--long").split()[0] == str(sum(map(len, FILES.values())))
    stat = swift("stat", box)
    assert f"Objects: {len(FILES)}" in stat
    assert f"ETag: {hashlib.md5(b'a').hexdigest()}" in swift("stat", box, "a.txt")
    assert box in swift("list", "--long")


def test_metadata_and_access_lists_are_posted(swift: Swift, box: str, account: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    swift("upload", box, "a", "-H", "X-Object-Meta-Wort: Grüße", "-H", "Content-Type: text/x", where=tmp_path)
    assert "Meta Wort: Grüße" in swift("stat", box, "a")
    swift("post", box, "a", "-m", "Color: blue")
    stat = swift("stat", box, "a")
    assert "Meta Color: blue" in stat
    assert "Meta Wort" not in stat
    assert "Content Type: text/x" in stat
    swift("post", box, "-r", ".r:*,.rlistings", "-m", "web-index:a", "-H", "X-Container-Meta-Quota-Count: 1")
    assert "Read ACL: .r:*,.rlistings" in swift("stat", box)
    assert urllib.request.urlopen(f"{account['OS_STORAGE_URL']}/{box}/").read() == b"1"
    (tmp_path / "b").write_bytes(b"1")
    with pytest.raises(AssertionError, match="413"):
        swift("upload", box, "b", where=tmp_path)
    swift("post", box, "-r", "")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{account['OS_STORAGE_URL']}/{box}/")


@pytest.mark.parametrize("kind", ["--use-slo", "--use-dlo"])
def test_a_file_goes_up_in_segments(swift: Swift, box: str, tmp_path: Path, kind: str) -> None:
    body = os.urandom(3 * MIB + 7)
    (tmp_path / "big").write_bytes(body)
    swift("upload", box, "big", "-S", str(MIB), kind, where=tmp_path)
    assert len(swift("list", f"{box}_segments").splitlines()) == 4
    assert f"Content Length: {len(body)}" in swift("stat", box, "big")
    swift("download", box, "big", "-o", "back", where=tmp_path)
    assert (tmp_path / "back").read_bytes() == body
    swift("upload", box, "big", "-S", str(2 * MIB), kind, where=tmp_path)
    assert len(swift("list", f"{box}_segments").splitlines()) == 2  # those of before are gone
    swift("delete", box, "big")
    assert swift("list", f"{box}_segments") == swift("list", box) == ""


def test_copies(swift: Swift, box: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    swift("upload", box, "a", "-H", "X-Object-Meta-Old: 1", where=tmp_path)
    swift("copy", "-d", f"/{box}/b", "-m", "New: 2", box, "a")
    assert {"Meta Old: 1", "Meta New: 2"} <= {line.strip() for line in swift("stat", box, "b").splitlines()}
    swift("copy", "-d", f"/{box}/c", "--fresh-metadata", box, "a")
    assert "Meta Old" not in swift("stat", box, "c")
    assert swift("list", box).splitlines() == ["a", "b", "c"]


@pytest.mark.parametrize("words", [(), ("--prefix-based",), ("--iso8601",), ("--digest", "sha512")])
def test_temporary_addresses(
    swift: Swift, box: str, account: dict[str, str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "a").write_bytes(b"1")
    swift("upload", box, "a", where=tmp_path)
    swift("post", box, "-m", "Temp-URL-Key: secret")
    project = account["OS_STORAGE_URL"].rpartition("/")[2]
    path = swift("tempurl", *words, "GET", "300", f"/v1/{project}/{box}/a", "secret").strip()
    base = account["OS_STORAGE_URL"].partition("/v1/")[0]
    assert urllib.request.urlopen(base + path).read() == b"1"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(base + path.replace("temp_url_sig=", "temp_url_sig=0"))


def test_capabilities_are_told(swift: Swift) -> None:
    told = json.loads(swift("capabilities", "--json"))
    assert {"slo", "dlo", "tempurl", "formpost", "staticweb", "bulk_delete", "bulk_upload"} <= set(told)
