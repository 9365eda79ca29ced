"""Objects written out as files: names of every kind, facts, resumption, and bytes that are not right."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.objectstore import backends
from apps.objectstore.models import Blob, Disk, Object
from apps.objectstore.services import export as export_services
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
    facts = json.loads((tmp_path / "box/a%json").read_text())
    del facts["written"]  # as a crash leaves it
    (tmp_path / "box/a%json").write_text(json.dumps(facts))
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
    alice.put("/box/parts/3", b"3" * 10)
    assert export(capsys, tmp_path).startswith("2 objects")  # a part, and what is now made of it
    assert (tmp_path / "box/dynamic").read_bytes().endswith(b"3" * 10)


def test_a_file_that_somebody_removed_is_written_again(alice, box, tmp_path, capsys):
    alice.put("/box/a", b"abc")
    export(capsys, tmp_path)
    (tmp_path / "box/a").unlink()
    assert export(capsys, tmp_path).startswith("1 objects")
    assert (tmp_path / "box/a").read_bytes() == b"abc"


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
    assert sorted(p.name for p in (tmp_path / "box").iterdir()) == ["well", "well%json", "wrong%json"]
    assert "written" not in json.loads((tmp_path / "box/wrong%json").read_text())


def test_a_folder_that_cannot_be_written_is_told(alice, box, tmp_path):
    alice.put("/box/a", b"abc")
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="Not a directory"):
        call_command("object", "export", "alice", str(tmp_path / "file"))


def test_files_that_no_export_wrote_are_left_alone(alice, box, tmp_path, capsys):
    for name in ("mine", "link", "free"):
        alice.put(f"/box/{name}", b"from the store")
    (tmp_path / "box").mkdir()
    (tmp_path / "box/mine").write_bytes(b"the only copy of a thesis")
    (tmp_path / "elsewhere").write_bytes(b"untouched")
    (tmp_path / "box/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "box/free%part").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "box/free%json%part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommandError, match="2 objects were not written"):
        export(capsys, tmp_path)
    assert capsys.readouterr().err.count("no export wrote it") == 2
    assert (tmp_path / "box/mine").read_bytes() == b"the only copy of a thesis"
    assert (tmp_path / "elsewhere").read_bytes() == b"untouched"
    assert (tmp_path / "box/free").read_bytes() == b"from the store"


def test_names_that_are_one_to_the_file_system_are_two_files(alice, box, tmp_path, capsys):
    alice.put("/box/Plan", b"capital")
    export(capsys, tmp_path)
    for name in ("Plan", "Plan%json"):  # as a file system without small letters has them
        (tmp_path / "box" / name).rename(tmp_path / "box" / name.replace("P", "p"))
    alice.put("/box/plan", b"small")
    alice.put("/Box")
    alice.put("/Box/plan", b"another container's")
    (tmp_path / "Box").symlink_to("box")
    for _ in range(2):
        export(capsys, tmp_path)
        found = {json.loads(f.read_text())["etag"]: f.with_name(f.name[:-5]) for f in (tmp_path / "box").glob("*%json")}
        assert {path.read_bytes() for path in found.values()} == {b"capital", b"small", b"another container's"}


@pytest.mark.parametrize("name", ["/" * 1024, "a/" * 512, "%0A" * 500 + "/" + "%0A" * 500, "/" * 900])
def test_a_name_deeper_or_longer_than_any_path_stops_nothing(alice, box, tmp_path, capsys, name):
    assert alice.put("/box/" + name, b"deep").status_code == 201
    alice.put("/box/zz", b"well")
    assert export(capsys, tmp_path).startswith("2 objects")
    assert export(capsys, tmp_path).endswith("2 were there already\n")
    assert (tmp_path / "box/zz").read_bytes() == b"well"


def test_a_name_that_the_file_system_refuses_stops_nothing(alice, box, tmp_path, capsys, monkeypatch):
    for name in ("a:b", "c"):
        alice.put(f"/box/{name}", b"abc")
    real = os.open

    def refusing(path: Any, *more: Any, **named: Any) -> int:
        if ":" in str(path):
            raise OSError(22, "Invalid argument", path)
        return real(path, *more, **named)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(CommandError, match="1 objects were not written"):
        export(capsys, tmp_path)
    assert "/box/a:b: this file system takes no such name" in capsys.readouterr().err
    assert (tmp_path / "box/c").read_bytes() == b"abc"


@pytest.mark.parametrize("text", ["", "[]", "null", '"x"', "{}", '{"written": "x"}', "\0"])
def test_a_spoilt_file_of_facts_is_no_end(alice, box, tmp_path, capsys, text):
    alice.put("/box/a", b"abc")
    (tmp_path / "box").mkdir()
    (tmp_path / "box/a%json").write_text(text)
    assert export(capsys, tmp_path).startswith("1 objects")
    assert (tmp_path / "box/a").read_bytes() == b"abc"


def test_what_changes_while_it_is_exported_is_written_as_it_is_then(alice, box, tmp_path, capsys, monkeypatch):
    for name in ("changes", "goes", "stays"):
        alice.put(f"/box/{name}", b"before")
    real = export_services._exported
    changed: list[str] = []

    def meanwhile(reader: Any, place: Any, found: Object, root: Path) -> Any:
        if found.name not in changed:
            changed.append(found.name)
            old = Blob.objects.get(pk__in=[found.blob_id or 0])
            if found.name == "changes":
                alice.put("/box/changes", b"after")
            if found.name == "goes":
                alice("DELETE", "/box/goes")
            if found.name != "stays":
                backends.store("default").remove(old.pk, tuple(old.places))
        return real(reader, place, found, root)

    monkeypatch.setattr(export_services, "_exported", meanwhile)
    assert export(capsys, tmp_path).startswith("2 objects")
    assert (tmp_path / "box/changes").read_bytes() == b"after"
    assert not (tmp_path / "box/goes").exists()


def test_objects_whose_time_is_over_are_not_there(alice, box, tmp_path, capsys):
    alice.put("/box/a", b"abc", X_Delete_After="100")
    Object.objects.update(delete_at=Now())
    assert export(capsys, tmp_path).startswith("0 objects")
