"""Copies mended, disks emptied and given up, unused bytes removed; by services, daemons' rounds and the command."""

from __future__ import annotations

import datetime
import os
import threading
import uuid
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Func
from django.db.models.functions import Now

from apps.core.errors import Conflict, Invalid
from apps.objectstore import backends, reconcile, services
from apps.objectstore.models import Audit, Blob, Container, Delta, Disk, Object
from apps.objectstore.services import disks as disk_services
from apps.objectstore.services import upkeep
from tests.apps.objectstore.conftest import SYSTEM
from tests.kit.copies import CopyAt, copy_at, ids_on, lose

MIB = 2**20


def command(capsys, *words: str) -> str:
    call_command("object", *words)
    return str(capsys.readouterr().out)


def copies(path: Path) -> list[CopyAt]:
    """All that are on a disk."""
    return [copy_at(path, blob_id) for blob_id in ids_on(path)]


def number(path: Path) -> int:
    return Disk.objects.get(path=str(path)).pk


def grow(disks: list[Path]) -> Path:
    """A fourth disk."""
    path = disks[0].with_name("disk4")
    path.mkdir()
    services.disk_add(SYSTEM, path=str(path))
    return path


def past(column: str = "unused_since") -> None:
    Blob.objects.exclude(unused_since=None).update(
        unused_since=Func(Now(), template="(%(expressions)s - interval '1 day')")
    )


def pace() -> services.Pace:
    return services.Pace(threading.Event(), 0)


def test_a_copy_found_bad_while_reading_is_made_again(alice, box, disks):
    body = os.urandom(MIB + 1)
    alice.put("/box/a", body)
    copies(disks[1])[0].flip()
    for _ in range(200):  # copies are asked in random order
        assert alice.bytes("/box/a") == body
        if Blob.objects.get().missing:
            break
    assert Blob.objects.get().missing == 1
    assert reconcile.mend(threading.Event()) == []
    assert Blob.objects.get().missing == 0
    assert copies(disks[1])[0].read() == body


def test_the_last_copy_is_never_given_up(alice, box):
    alice.put("/box/a", b"abc")
    blob = Blob.objects.get()
    outcomes = [services.copy_damaged(blob.pk, place) for place in blob.places]
    assert outcomes == [True, True, False]
    assert len(Blob.objects.get().places) == 1


def test_an_upload_with_two_copies_gets_its_third(alice, box, disks):
    disks[0].rename(disks[0].with_name("away"))
    assert alice.put("/box/a", b"abc").status_code == 201
    assert Blob.objects.get().missing == 1
    reconcile.mend(threading.Event())
    assert Blob.objects.get().missing == 1
    disks[0].with_name("away").rename(disks[0])
    reconcile.mend(threading.Event())
    assert Blob.objects.get().missing == 0
    assert [f.read() for d in disks for f in copies(d)] == [b"abc"] * 3


def test_too_few_disks_are_told_and_nothing_is_kept(alice, box, disks):
    for disk in disks[:2]:
        disk.rename(disk.with_name(f"away-{disk.name}"))
    assert alice.put("/box/a", b"abc").status_code == 507
    assert alice("GET", "/box/a").status_code == 404
    assert not Blob.objects.exists()
    assert not Delta.objects.exists()


def test_an_object_without_any_reachable_copy_is_unavailable_not_gone(alice, box, disks):
    alice.put("/box/a", b"abc")
    for disk in disks:
        disk.rename(disk.with_name(f"away-{disk.name}"))
    assert alice("GET", "/box/a").status_code == 503
    assert alice("HEAD", "/box/a").status_code == 200
    assert len(Blob.objects.get().places) == 3
    for disk in disks:
        disk.with_name(f"away-{disk.name}").rename(disk)
    assert alice.bytes("/box/a") == b"abc"


def test_the_audit_finds_what_nobody_reads(alice, box, disks, capsys):
    for n in range(5):
        alice.put(f"/box/{n}", os.urandom(1000))
    copies(disks[0])[0].flip()
    lose(disks[1], ids_on(disks[1])[0])
    assert services.copies_audit(SYSTEM, policy="default", pace=pace(), blobs=3)[1] is False
    assert services.copies_audit(SYSTEM, policy="default", pace=pace(), blobs=3)[1] is True
    walk = Audit.objects.get()
    assert (walk.found, walk.reached, walk.ended_at is not None) == (2, None, True)
    assert walk.bytes_read == 14 * 1000
    assert sum(Blob.objects.values_list("missing", flat=True)) == 2
    assert "whole again" in command(capsys, "repair")
    assert "every copy is good" in command(capsys, "verify", "AUTH_alice")
    assert "0 copies were bad" in command(capsys, "audit")


def test_verify_names_what_is_not_well(alice, box, disks, capsys):
    alice.put("/box/a", b"abc")
    for disk in disks:
        copies(disk)[0].flip()
    with pytest.raises(CommandError, match="not well"):
        call_command("object", "verify", "alice")
    assert "no good copy" in capsys.readouterr().err


def test_unused_bytes_go_when_the_grace_time_is_over(alice, box, disks):
    alice.put("/box/a", b"abc")
    alice.put("/box/a", b"def")
    alice.put("/box/b", b"ghi")
    alice("DELETE", "/box/b")
    assert services.unused_remove(SYSTEM) == 0
    assert len(copies(disks[0])) == 3
    past()
    assert services.unused_remove(SYSTEM) == 2
    assert [f.read() for f in copies(disks[0])] == [b"def"]
    assert Blob.objects.count() == 1


def unused(alice, *names: str) -> list[Blob]:
    """Blobs whose grace time is over, the oldest first."""
    for name in names:
        alice.put(f"/box/{name}", name.encode())
    blobs = [Blob.objects.get(pk__in=Object.objects.filter(name=name).values("blob_id")) for name in names]
    for name in names:
        alice("DELETE", f"/box/{name}")
    past()
    return blobs


def test_copies_that_can_be_reached_go_though_another_disk_is_away(alice, box, disks):
    unused(alice, "a")
    disks[0].rename(disks[0].with_name("away"))
    assert services.unused_remove(SYSTEM) == 0
    assert [len(copies(disk)) for disk in disks[1:]] == [0, 0]
    disks[0].with_name("away").rename(disks[0])
    assert services.unused_remove(SYSTEM) == 0  # it has another grace time
    past()
    assert services.unused_remove(SYSTEM) == 1
    assert copies(disks[0]) == []


def test_what_cannot_be_removed_does_not_keep_what_can(alice, box, disks, monkeypatch):
    monkeypatch.setattr(upkeep, "BATCH", 1)
    first, _ = unused(alice, "a", "b")
    Blob.objects.filter(pk=first.pk).update(unused_since=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    store = backends.store("default")
    real = store.remove

    def remove(blob_id: uuid.UUID, places: tuple[int, ...]) -> None:
        if blob_id == first.pk:
            raise OSError(13, "Permission denied")
        real(blob_id, places)

    monkeypatch.setattr(store, "remove", remove)
    assert [services.unused_remove(SYSTEM) for _ in range(2)] == [0, 1]
    assert [blob.pk for blob in Blob.objects.all()] == [first.pk]


def two_policies(settings) -> None:
    """One more policy, on disks of its own; by name it comes before the others, behind the default one."""
    policies = settings.KUMO_DRIVERS["object_store"] | {"another": {"BACKEND": "disks"}}
    settings.KUMO_DRIVERS = settings.KUMO_DRIVERS | {"object_store": policies}


def test_a_policy_that_is_not_well_concerns_no_other(alice, box, disks, settings, tmp_path, capsys):
    two_policies(settings)
    for n in range(3):
        (tmp_path / str(n)).mkdir()
        services.disk_add(SYSTEM, path=str(tmp_path / str(n)), policy="another")
    alice.put("/far", X_Storage_Policy="another")
    for place in ("box", "far"):
        for name in "abc":
            alice.put(f"/{place}/{name}", b"abc")
        alice("DELETE", f"/{place}/c")
    for blob in Blob.objects.filter(unused_since=None):
        services.copy_damaged(blob.pk, blob.places[0])
    past()
    Disk.objects.filter(policy="default").update(machine="elsewhere")
    backends.store.cache_clear()
    assert reconcile.mend(threading.Event()) == []
    assert {blob.policy for blob in Blob.objects.filter(missing=1)} == {"default"}
    assert services.unused_remove(SYSTEM) == 1
    assert [blob.policy for blob in Blob.objects.exclude(unused_since=None)] == ["default"]
    assert any("policy default could not be looked through" in line for line in reconcile.sweep(only_tell=True))
    with pytest.raises(CommandError, match="Not every copy could be made"):
        command(capsys, "repair")
    assert "0 blobs whole again" in capsys.readouterr().out


def test_blobs_that_wait_in_one_policy_keep_no_other_waiting(alice, box, disks, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "BATCH", 2)
    two_policies(settings)
    for n in range(3):
        (tmp_path / str(n)).mkdir()
        services.disk_add(SYSTEM, path=str(tmp_path / str(n)), policy="another")
    alice.put("/far", X_Storage_Policy="another")
    for name in "abc":
        alice.put(f"/far/{name}", b"abc")
    alice.put("/box/a", b"abc")
    for blob in Blob.objects.all():
        services.copy_damaged(blob.pk, blob.places[0])
    for n in range(3):
        (tmp_path / str(n)).rename(tmp_path / f"away{n}")
    reconcile.mend(threading.Event())
    assert {blob.policy for blob in Blob.objects.filter(missing=1)} == {"another"}


def test_who_is_to_stop_stops_between_two_blobs(alice, box, disks, monkeypatch):
    unused(alice, *"ab")
    for name in "cd":
        alice.put(f"/box/{name}", b"abc")
    for blob in Blob.objects.filter(unused_since=None):
        services.copy_damaged(blob.pk, blob.places[0])
    stop = threading.Event()
    stop.set()
    assert services.unused_remove(SYSTEM, stop=stop) == 0
    assert services.copies_repair(SYSTEM, policy="default", stop=stop)[0] == services.Repaired()
    monkeypatch.setattr(upkeep, "grace", lambda: datetime.timedelta(0))
    Blob.objects.all().delete()
    assert list(services.strays_remove(SYSTEM, policy="default", stop=stop)) == []
    assert len(list(services.strays_remove(SYSTEM, policy="default"))) == 12


def test_a_policy_that_the_settings_name_no_more(alice, box, disks, settings):
    alice.put("/box/a", b"abc")
    Container.objects.update(policy="gone")
    Blob.objects.update(policy="gone")
    assert alice("GET", "/box/a").status_code == 503
    assert alice.put("/box/b", b"abc").status_code == 503
    (blob,) = Blob.objects.all()
    services.copy_damaged(blob.pk, blob.places[0])
    Blob.objects.update(unused_since=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    assert services.unused_remove(SYSTEM) == 0
    assert [len(copies(disk)) for disk in disks] == [1, 1, 1]
    told = [line for line in reconcile.check_objects(False) if "storage policy gone" in line]
    assert len(told) == 1
    assert "drivers.object_store.gone" in told[0]


def test_a_policy_that_was_kept_by_a_service_is_not_taken_for_lost_copies(alice, box, disks):
    """As when somebody changes its back end in the settings."""
    alice.put("/box/a", b"abc")
    Blob.objects.update(places=[0])
    assert any("kept by a service before" in line for line in reconcile.sweep())
    assert [(blob.places, blob.missing) for blob in Blob.objects.all()] == [([0], 0)]


def test_a_blob_that_goes_while_others_are_repaired_is_not_told_lost(alice, box, disks, monkeypatch):
    alice.put("/box/a", b"abc")
    blob = Blob.objects.get()
    services.copy_damaged(blob.pk, blob.places[0])
    store = backends.store("default")

    def repair(stored: backends.Stored) -> backends.Stored:
        Blob.objects.all().delete()
        raise backends.BlobLostError

    monkeypatch.setattr(store, "repair", repair)
    assert services.copies_repair(SYSTEM, policy="default")[0] == services.Repaired()


def test_a_duty_that_fails_keeps_no_other_from_its_turn(monkeypatch):
    """Else disks fill up because somebody's account cannot be removed."""
    stop, done = threading.Event(), []

    def failing(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    def last(*_: object, **__: object) -> None:
        done.append("removed")
        stop.set()

    for name in ("draining_mark", "accounts_reap", "rates_forget"):
        monkeypatch.setattr(reconcile.services, name, failing)
    monkeypatch.setattr(reconcile.services, "unused_remove", last)
    monkeypatch.setattr(reconcile, "COLLECT_S", 0)
    monkeypatch.setattr(reconcile.connection, "close", lambda: None)
    reconcile.collect(stop)
    assert done == ["removed"]


def test_one_object_that_cannot_expire_keeps_no_other(alice, box, monkeypatch):
    for name in "ab":
        alice.put(f"/box/{name}", b"abc", X_Delete_After="100")
    Object.objects.update(delete_at=Now())
    real = upkeep.object_expire

    def expire(container_id: uuid.UUID, name: str) -> bool:
        if name == "a":
            raise Conflict("It cannot.")
        return real(container_id, name)

    monkeypatch.setattr(upkeep, "object_expire", expire)
    assert services.objects_expire(SYSTEM) == 1
    assert [found.name for found in Object.objects.all()] == ["a"]


def test_bytes_without_a_row_go_only_when_old(disks, monkeypatch):
    store = backends.store("default")
    draft = store.draft(3)
    draft.write(b"abc")
    draft.publish()
    assert list(services.strays_remove(SYSTEM, policy="default")) == []
    assert [len(copies(d)) for d in disks] == [1, 1, 1]
    monkeypatch.setattr("apps.objectstore.services.upkeep.grace", lambda: __import__("datetime").timedelta(0))
    assert len(list(services.strays_remove(SYSTEM, policy="default", only_tell=True))) == 3
    assert [len(copies(d)) for d in disks] == [1, 1, 1]
    assert len(list(services.strays_remove(SYSTEM, policy="default"))) == 3
    assert [len(copies(d)) for d in disks] == [0, 0, 0]


def test_expired_objects_are_collected(alice, box):
    alice.put("/box/a", b"abc", X_Delete_After="100")
    alice.put("/box/b", b"abc")
    assert services.objects_expire(SYSTEM) == 0
    Object.objects.filter(name="a").update(delete_at=Now())
    assert services.objects_expire(SYSTEM) == 1
    assert alice.names("/box") == ["b"]
    assert alice("HEAD", "/box")["X-Container-Object-Count"] == "1"


def test_a_copy_without_a_row_that_cannot_be_removed_keeps_no_other(disks, monkeypatch):
    store = backends.store("default")
    draft = store.draft(3)
    draft.write(b"abc")
    draft.publish()
    monkeypatch.setattr(upkeep, "grace", lambda: datetime.timedelta(0))
    real = store.remove

    def remove(blob_id: uuid.UUID, places: tuple[int, ...]) -> None:
        if places == (number(disks[0]),):
            raise OSError(30, "Read-only file system")
        real(blob_id, places)

    monkeypatch.setattr(store, "remove", remove)
    told = list(services.strays_remove(SYSTEM, policy="default"))
    assert sorted("could not be removed" in line for line in told) == [False, False, True]
    assert [len(copies(d)) for d in disks] == [1, 0, 0]


def test_a_back_end_that_hangs_is_left_alone_after_a_while(alice, box, disks, monkeypatch):
    unused(alice, *"abcde")
    asked: list[uuid.UUID] = []

    def remove(blob_id: uuid.UUID, places: tuple[int, ...]) -> None:
        asked.append(blob_id)
        raise TimeoutError

    monkeypatch.setattr(backends.store("default"), "remove", remove)
    monkeypatch.setattr(upkeep, "PATIENCE_S", 0)
    assert services.unused_remove(SYSTEM) == 0
    monkeypatch.setattr(upkeep, "PATIENCE_S", 1e-9)
    assert services.unused_remove(SYSTEM) == 0
    assert len(set(asked)) == 1


# --- disks -----------------------------------------------------------------------------------------


def test_giving_up_a_disk_with_the_only_copy_of_something_says_so(alice, box, disks, capsys):
    for name in "abc":
        alice.put(f"/box/{name}", b"abc")
    only, away, _ = Blob.objects.all()
    for place in (1, 2):
        services.copy_damaged(only.pk, only.places[place])
    Blob.objects.filter(pk=away.pk).update(places=[number(disks[0]), number(disks[1])], missing=1)
    Blob.objects.filter(pk=only.pk).update(places=[number(disks[0])])
    call_command("object", "disks", "lost", str(number(disks[0])))
    assert "Of 1 blobs no other disk" in capsys.readouterr().err
    disks[1].rename(disks[1].with_name("away"))
    call_command("object", "disks", "lost", str(number(disks[0])))
    assert "Of 2 blobs no other disk" in capsys.readouterr().err
    call_command("object", "disks", "drain", str(number(disks[0])))
    assert capsys.readouterr().err == ""
    with pytest.raises(CommandError, match="Of 2 blobs no other disk"):
        call_command("object", "disks", "lost", str(number(disks[0])), "--yes")
    new = disks[0].with_name("new")
    new.mkdir()
    with pytest.raises(CommandError, match="Of 2 blobs no other disk"):
        call_command("object", "disks", "replace", str(number(disks[0])), str(new), "--yes")
    assert Blob.objects.get(pk=only.pk).places == [number(disks[0])]
    assert Disk.objects.count() == 3
    disks[0].rename(disks[0].with_name("broken"))
    gone = Disk.objects.get(path=str(disks[0])).pk
    call_command("object", "disks", "lost", str(gone), "--yes")
    assert not Disk.objects.filter(pk=gone).exists()


def test_what_walks_over_all_blobs_does_it_in_pieces(alice, box, disks, monkeypatch):
    for n in range(5):
        alice.put(f"/box/{n}", b"x" * (n + 1))
    monkeypatch.setattr(disk_services, "BATCH", 2)
    assert len(list(disk_services.spans())) == 3
    assert [(f.copies, f.copies_bytes) for f in services.disk_list(SYSTEM)] == [(5, 15)] * 3
    assert services.disk_preview(SYSTEM, number=number(disks[0])) == (5, 15)
    gone = number(disks[0])
    Disk.objects.filter(pk=gone).delete()
    assert services.unknown_places(SYSTEM) == [gone]
    assert services.places_forget(SYSTEM, number=gone) == 5
    assert sum(Blob.objects.values_list("missing", flat=True)) == 5


def test_a_lost_disk_is_made_good_by_the_others(alice, box, disks, capsys):
    for n in range(4):
        alice.put(f"/box/{n}", b"x" * n)
    grow(disks)
    lost = number(disks[0])
    on_it = Blob.objects.filter(places__contains=[lost]).count()
    assert "Nothing was changed" in command(capsys, "disks", "lost", str(lost))
    assert Disk.objects.filter(pk=lost).exists()
    assert f"{on_it} copies are made anew" in command(capsys, "disks", "lost", str(lost), "--yes")
    reconcile.mend(threading.Event())
    assert set(Blob.objects.values_list("missing", flat=True)) == {0}
    assert not Blob.objects.filter(places__contains=[lost]).exists()
    assert "every copy is good" in command(capsys, "verify", "alice")


def test_a_drained_disk_becomes_empty_without_a_copy_lacking(alice, box, disks, capsys):
    for n in range(1, 6):
        alice.put(f"/box/{n}", b"x" * n)
    leaving = number(disks[0])
    with pytest.raises(Conflict, match="3 other disks"):
        services.disk_drain(SYSTEM, number=leaving)
    grow(disks)
    command(capsys, "disks", "drain", str(leaving), "--yes")
    reconcile.mend(threading.Event())
    assert copies(disks[0]) == []
    assert {len(p) for p in Blob.objects.values_list("places", flat=True)} == {3}
    assert set(Blob.objects.values_list("missing", flat=True)) == {0}
    assert alice.put("/box/new", b"1").status_code == 201
    assert copies(disks[0]) == []
    status = command(capsys, "disks", "status")
    assert [line.split()[2] for line in status.splitlines()[1:]].count("draining") == 1


def test_the_command_empties_a_disk_whole_and_each_round_of_the_duty_some_of_it(alice, box, disks, capsys, monkeypatch):
    for n in range(1, 6):
        alice.put(f"/box/{n}", b"x" * n)
    grow(disks)
    monkeypatch.setattr(disk_services, "BATCH", 1)
    services.disk_drain(SYSTEM, number=number(disks[0]))
    assert services.draining_mark(SYSTEM, most=2) == 2
    assert "5 blobs whole again" in command(capsys, "repair")
    assert ids_on(disks[0]) == []


def test_a_disk_is_replaced_by_one_command(alice, box, disks, capsys):
    alice.put("/box/a", b"abc")
    new = disks[0].with_name("new")
    new.mkdir()
    command(capsys, "disks", "replace", str(number(disks[0])), str(new), "--yes")
    reconcile.mend(threading.Event())
    assert [f.read() for f in copies(new)] == [b"abc"]
    assert Disk.objects.count() == 3


def test_a_disk_is_replaced_at_its_own_path(alice, box, disks, capsys):
    alice.put("/box/a", b"abc")
    gone = number(disks[0])
    disks[0].rename(disks[0].with_name("broken"))
    disks[0].mkdir()
    command(capsys, "disks", "replace", str(gone), str(disks[0]), "--yes")
    reconcile.mend(threading.Event())
    assert [copy.read() for copy in copies(disks[0])] == [b"abc"]
    assert sorted(Disk.objects.values_list("path", flat=True)) == sorted(str(disk) for disk in disks)
    assert not Disk.objects.filter(pk=gone).exists()


@pytest.mark.parametrize("which", [0, 1])
def test_a_disk_is_not_replaced_by_one_that_is_in_use(alice, box, disks, which):
    alice.put("/box/a", b"abc")
    before = list(Disk.objects.order_by("pk").values())
    with pytest.raises(CommandError, match="already"):
        call_command("object", "disks", "replace", str(number(disks[0])), str(disks[which]), "--yes")
    assert list(Disk.objects.order_by("pk").values()) == before
    assert Blob.objects.get().missing == 0


def test_a_disk_that_moved_is_taken_in_again(alice, box, disks):
    alice.put("/box/a", b"abc")
    moved = disks[0].with_name("moved")
    disks[0].rename(moved)
    disk, is_new = services.disk_add(SYSTEM, path=str(moved))
    assert (is_new, disk.path) == (False, str(moved))
    assert Disk.objects.count() == 3


def test_what_cannot_be_a_disk_is_refused(disks, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "thing").touch()
    for path in ("relative", str(tmp_path / "none"), str(full)):
        with pytest.raises(Invalid):
            services.disk_add(SYSTEM, path=path)
    services.disk_lost(SYSTEM, number=number(disks[0]))
    with pytest.raises(Invalid, match="given up"):
        services.disk_add(SYSTEM, path=str(disks[0]))
    assert Disk.objects.count() == 2


def test_an_empty_directory_in_place_of_a_known_disk_is_not_taken(disks):
    disks[0].rename(disks[0].with_name("away"))
    disks[0].mkdir()
    with pytest.raises(Conflict, match="another than"):
        services.disk_add(SYSTEM, path=str(disks[0]))
    assert list(disks[0].iterdir()) == []


def test_the_doctor_tells_what_is_wrong_and_mends_it(alice, box, disks):
    alice.put("/box/a", b"abc")
    assert list(reconcile.check_objects(False)) == []
    lose(disks[0], Blob.objects.get().pk)
    blob = Blob.objects.get()
    services.copy_damaged(blob.pk, number(disks[0]))
    assert any("1 copies lack" in line for line in reconcile.check_objects(False))
    assert not any("lack" in line for line in reconcile.check_objects(True))
    disks[2].rename(disks[2].with_name("away"))
    assert any("is not there" in line for line in reconcile.check_objects(False))
    Disk.objects.update(machine="another")
    assert all("one machine only" in line for line in reconcile.check_objects(False))


def test_another_machines_disks_serve_nothing(alice, box):
    alice.put("/box/a", b"abc")
    Disk.objects.update(machine="another")
    backends.store.cache_clear()
    assert alice("GET", "/box/a").status_code == 503
    assert alice.put("/box/b", b"abc").status_code == 503
    assert alice.names("/box") == ["a"]


def test_policies_are_shown_also_those_that_the_settings_name_no_more(alice, box, capsys, monkeypatch):
    monkeypatch.setattr(disk_services, "BATCH", 1)
    alice.put("/box/a", b"abc")
    alice.put("/box/b", b"defg")
    Blob.objects.filter(size=4).update(policy="old", missing=2)
    alice.put("/box/a", b"xyz")
    assert command(capsys, "policies").splitlines() == [
        "default (disks): 1 blobs of 3 B, 0 copies missing, 1 blobs unused",
        "old (not in the settings): 1 blobs of 4 B, 2 copies missing, 0 blobs unused",
    ]


def test_policies_are_shown(alice, box, capsys):
    alice.put("/box/a", b"abc")
    assert command(capsys, "policies") == "default (disks): 1 blobs of 3 B, 0 copies missing, 0 blobs unused\n"
    assert alice.put("/new", X_Storage_Policy="gold").status_code == 400
    assert alice.put("/box", X_Storage_Policy="default").status_code == 202
