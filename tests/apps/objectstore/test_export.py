"""Objects written out as files: names of every kind, facts, resumption, and bytes that are not right."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.objectstore import backends
from apps.objectstore.models import Disk, Object
from apps.objectstore.services.export import path_of
from tests.apps.objectstore.conftest import Swift
from tests.kit.http import context

MIB = 2**20
ROOT = Path("/nowhere/box")


def export(capsys, folder: Path, *words: str) -> str:
    call_command("object", "export", "AUTH_alice", str(folder), *words)
    return str(capsys.readouterr().out)


def test_objects_become_files_with_their_facts_beside_them(alice, box, tmp_path, capsys):
    body = os.urandom(MIB + 3)
    alice.put("/box/photos/日本 1.jpg", body, media="image/jpeg", X_Object_Meta_Color="blue")
    alice.put("/box/empty")
    assert export(capsys, tmp_path) == "2 objects of 1.0 MiB were written, 0 were there already\n"
    file = tmp_path / "box/photos/日本 1.jpg"
    assert file.read_bytes() == body
    assert file.stat().st_mode & 0o777 == 0o600
    facts = json.loads(file.with_name("日本 1.jpg%json").read_text())
    assert (facts["name"], facts["content_type"], facts["bytes"]) == ("photos/日本 1.jpg", "image/jpeg", len(body))
    assert facts["metadata"] == {"Color": "blue"} or facts["metadata"] == {"X-Object-Meta-Color": "blue"}
    assert (tmp_path / "box/empty").read_bytes() == b""
    assert json.loads((tmp_path / "box%json").read_text())["container"] == "box"


def test_secrets_of_addresses_stay_behind(alice, box, tmp_path, capsys):
    alice("POST", "/box", X_Container_Meta_Temp_URL_Key="hush-hush", X_Container_Meta_Color="blue")
    alice.put("/box/a", b"abc")
    export(capsys, tmp_path)
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"hush-hush" not in written
    assert b"blue" in written


def test_what_only_the_operator_may_read_is_not_exported(alice, box, tmp_path, capsys):
    """Anybody may make a link to anything; an operator who follows it reads everything."""
    bob = Swift(context("bob"))
    bob.put("/private")
    bob.put("/private/plan", b"secret")
    alice.put("/box/mine/1", b"own")
    alice.put("/box/links/1", X_Symlink_Target="private/plan", X_Symlink_Target_Account="AUTH_bob")
    alice.put("/box/theirs", X_Object_Manifest="box/links/")
    alice.put("/box/ours", X_Object_Manifest="box/mine/")
    with pytest.raises(CommandError):
        export(capsys, tmp_path)
    assert "made of objects of another account" in capsys.readouterr().err
    assert (tmp_path / "box/ours").read_bytes() == b"own"
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"secret" not in written


def test_names_that_no_file_system_takes(alice, box, tmp_path, capsys):
    names = ["a", "a/b", "a/b/c", "../../up", "./here", "/lead", "twice//in", "tail/", "per%cent", "%2E%2E/x"]
    names.append("x" * 1000)
    for n, name in enumerate(names):
        alice.put("/box/" + name.replace("%", "%25"), b"%d" % n)
    assert f"{len(names)} objects" in export(capsys, tmp_path)
    facts = [json.loads(f.read_text()) | {"at": f} for f in (tmp_path / "box").rglob("*%json")]
    assert sorted(f["name"] for f in facts) == sorted(names)
    for fact in facts:
        at = fact["at"].with_name(fact["at"].name.removesuffix("%json"))
        assert at.read_bytes() == b"%d" % names.index(fact["name"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["box", "box%json"]


EASY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
PARTS = st.sampled_from(["", ".", "..", "%", "a", "%json", "a%part", "\n", "é" * 150, "A"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@EASY
@given(st.one_of(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=60), NAMES))
def test_no_name_leads_elsewhere(name):
    found = path_of(ROOT, name)
    assert os.path.normpath(found).startswith(f"{ROOT}/")
    assert ".." not in found.parts
    assert all(len(part.encode()) <= 255 - len("%json%part") for part in found.parts[len(ROOT.parts) :])


@EASY
@given(st.lists(NAMES, min_size=2, max_size=2, unique=True))
def test_two_names_are_two_files(names):
    one, other = (path_of(ROOT, name) for name in names)
    assert one != other
    assert not other.name.endswith(("%json", "%part"))


def test_what_is_written_already_is_left_and_what_changed_is_written_anew(alice, box, tmp_path, capsys):
    alice.put("/box/a", b"abc")
    alice.put("/box/b", b"def")
    export(capsys, tmp_path)
    before = (tmp_path / "box/a").stat().st_mtime_ns
    alice.put("/box/b", b"other")
    assert export(capsys, tmp_path).startswith("1 objects of 5 B were written, 1 were there")
    assert (tmp_path / "box/a").stat().st_mtime_ns == before
    assert (tmp_path / "box/b").read_bytes() == b"other"
    (tmp_path / "box/a").write_bytes(b"cut")
    (tmp_path / "box/a%json").unlink()  # as a crash between the two leaves it
    (tmp_path / "box/b").write_bytes(b"")
    assert export(capsys, tmp_path).startswith("2 objects")
    assert ((tmp_path / "box/a").read_bytes(), (tmp_path / "box/b").read_bytes()) == (b"abc", b"other")


def test_large_objects_are_written_whole(alice, box, tmp_path, capsys):
    for n in range(3):
        alice.put(f"/box/parts/{n}", b"%d" % n * 10)
    manifest = json.dumps([{"path": f"/box/parts/{n}"} for n in range(3)]).encode()
    assert alice.put("/box/static?multipart-manifest=put", manifest).status_code == 201
    alice.put("/box/dynamic", X_Object_Manifest="box/parts/")
    export(capsys, tmp_path)
    for name in ("static", "dynamic"):
        assert (tmp_path / "box" / name).read_bytes() == b"0" * 10 + b"1" * 10 + b"2" * 10


def test_one_container_of_several(alice, box, tmp_path, capsys):
    alice.put("/other")
    alice.put("/other/x", b"x")
    alice.put("/box/a", b"abc")
    export(capsys, tmp_path, "--container", "other")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "other%json"]
    with pytest.raises(CommandError, match="none"):
        call_command("object", "export", "alice", str(tmp_path), "--container", "none")
    with pytest.raises(CommandError, match="nobody"):
        call_command("object", "export", "nobody", str(tmp_path))


def test_bytes_that_are_lost_or_wrong_are_told_and_not_written(alice, box, disks, tmp_path, capsys):
    for name in ("lost", "wrong", "well"):
        alice.put(f"/box/{name}", name.encode())
    blob = Object.objects.get(name="lost").blob_id
    assert blob is not None
    backends.store("default").remove(blob, tuple(Disk.objects.values_list("pk", flat=True)))
    Object.objects.filter(name="wrong").update(etag="0" * 32)
    with pytest.raises(CommandError, match="2 objects were not written"):
        export(capsys, tmp_path)
    told = capsys.readouterr().err
    assert "/box/lost: " in told
    assert "/box/wrong: its bytes are not those that were stored" in told
    assert sorted(p.name for p in (tmp_path / "box").iterdir()) == ["well", "well%json"]


def test_a_folder_that_cannot_be_written_is_told(alice, box, tmp_path):
    alice.put("/box/a", b"abc")
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="Not a directory"):
        call_command("object", "export", "alice", str(tmp_path / "file"))
