"""All copies read, by the auditor and by command: what is told of copies that are bad, lacking, away, or just gone."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from apps.objectstore import backends, reconcile, services
from apps.objectstore.backends import WrongMachineError
from apps.objectstore.models import Audit, Blob, Object
from apps.objectstore.services import audit, balance
from apps.objectstore.states import MIB
from tests.apps.objectstore.conftest import SYSTEM
from tests.kit.copies import copy_at, ids_on, lose

Verify = Callable[[backends.Stored, Callable[[int], None]], dict[int, bool]]


def pace() -> services.Pace:
    return services.Pace(threading.Event(), 0)


def problems() -> list[str]:
    return list(services.account_verify(SYSTEM, account="alice", pace=pace()))


@pytest.fixture
def full(alice, box):
    """Five objects."""
    for n in range(5):
        alice.put(f"/box/{n}", b"x" * (n + 1))


@pytest.fixture
def before_each(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Have something happen while a blob is read."""
    store = backends.store("default")

    def arrange(what: Callable[[], object]) -> None:
        real: Verify = store.verify

        def verify(stored: backends.Stored, told: Callable[[int], None]) -> dict[int, bool]:
            what()
            return real(stored, told)

        monkeypatch.setattr(store, "verify", verify)

    return arrange


def test_the_command_reads_all_wherever_the_auditor_stands(full, disks, capsys):
    first = Blob.objects.order_by("pk")[0]
    assert services.copies_audit(SYSTEM, policy="default", pace=pace(), blobs=3) == (0, False)
    stands = Audit.objects.get().reached
    copy_at(disks[0], first.pk).flip()
    with pytest.raises(CommandError):
        call_command("object", "audit")
    assert "14 copies are good, 1 copies were bad or missing, 0 could not be read" in capsys.readouterr().out
    assert Audit.objects.get().reached == stands
    call_command("object", "repair")
    call_command("object", "audit")
    assert "15 copies are good, 0 copies were bad" in capsys.readouterr().out


def test_copies_that_cannot_be_read_are_not_called_good(full, disks, capsys):
    disks[0].rename(disks[0].with_name("away"))
    with pytest.raises(CommandError):
        call_command("object", "audit")
    assert "10 copies are good, 0 copies were bad or missing, 5 could not be read" in capsys.readouterr().out
    assert not Audit.objects.exists()
    with pytest.raises(CommandError, match="5 copies are not well"):
        call_command("object", "verify", "alice")
    assert capsys.readouterr().err.count("cannot be reached") == 5
    assert services.copies_audit(SYSTEM, policy="default", pace=pace()) == (0, True)
    assert sum(Blob.objects.values_list("missing", flat=True)) == 0


def test_a_walk_stays_where_it_is_while_nothing_can_be_read(full, disks):
    services.copies_audit(SYSTEM, policy="default", pace=pace(), blobs=2)
    before = Audit.objects.values().get()
    for disk in disks:
        disk.rename(disk.with_name(f"away-{disk.name}"))
    assert services.copies_audit(SYSTEM, policy="default", pace=pace(), blobs=2) == (0, True)
    assert Audit.objects.values().get() == before
    for disk in disks:
        disk.with_name(f"away-{disk.name}").rename(disk)
    services.copies_audit(SYSTEM, policy="default", pace=pace(), blobs=9)
    assert (Audit.objects.get().bytes_read, Audit.objects.get().ended_at is not None) == (45, True)


def test_who_is_to_stop_stops_in_the_middle_of_a_blob(alice, box, disks):
    """The control worker ends a duty that does not, and itself with it."""
    alice.put("/box/a", os.urandom(8 * MIB))
    stop = threading.Event()

    class Stopping(services.Pace):
        def __call__(self, size: int) -> None:
            stop.set()
            super().__call__(size)

    reading = Stopping(stop, 0)
    assert services.copies_audit(SYSTEM, policy="default", pace=reading) == (0, False)
    assert reading.read == MIB
    assert (Audit.objects.get().reached, Audit.objects.get().ended_at) == (None, None)
    assert services.policy_audit(SYSTEM, policy="default", pace=reading) == services.Seen()


def test_what_is_given_up_while_it_is_read_is_no_damage(full, disks, before_each, capsys):
    def gone() -> None:
        Object.objects.all().delete()
        Blob.objects.update(unused_since=Now())
        for disk in disks:
            for blob_id in ids_on(disk):
                lose(disk, blob_id)

    before_each(gone)
    assert problems() == []
    Blob.objects.update(unused_since=None)
    assert services.policy_audit(SYSTEM, policy="default", pace=pace()) == services.Seen()
    Blob.objects.update(unused_since=None)
    assert services.copies_audit(SYSTEM, policy="default", pace=pace()) == (0, True)
    assert Audit.objects.get().found == 0


def test_a_copy_that_moved_while_it_is_read_is_no_damage(alice, box, disks, before_each):
    alice.put("/box/a", b"abc")
    new = disks[0].with_name("disk4")
    new.mkdir()
    disk, _ = services.disk_add(SYSTEM, path=str(new))

    def moved() -> None:
        blob = Blob.objects.get()
        if disk.pk not in blob.places:
            from_ = blob.places[0]
            balance._moved(blob, from_, disk.pk)

    before_each(moved)
    assert services.copies_audit(SYSTEM, policy="default", pace=pace()) == (0, True)
    assert disk.pk in Blob.objects.get().places
    assert Blob.objects.get().missing == 0


def test_copies_that_lack_and_blobs_that_are_gone_are_told(full, disks):
    blob, other = (Blob.objects.get(pk__in=Object.objects.filter(name=name).values("blob_id")) for name in "01")
    other.delete()
    services.copy_damaged(blob.pk, blob.places[0])
    assert problems() == ["/box/0: 1 more copies have to be made", "/box/1: its bytes are gone"]


def test_all_of_an_account_is_read_in_pages(alice, box, monkeypatch):
    monkeypatch.setattr(audit, "BATCH", 2)
    alice.put("/other", X_Versions_Enabled="true")
    for place in ("box", "other"):
        for n in range(5):
            alice.put(f"/{place}/{n}", b"a")
    for _ in range(3):
        alice.put("/other/3", b"bb")
    for file in Blob.objects.all():
        backends.store("default").remove(file.pk, tuple(file.places))
    told = [line for line in problems() if "no good copy" in line]
    assert len(told) == 13
    assert sum(", version " in line for line in told) == 3


def test_an_account_that_does_not_exist_is_not_well(disks, capsys):
    with pytest.raises(CommandError, match="nobody could not be found"):
        call_command("object", "verify", "AUTH_nobody")
    assert capsys.readouterr().out == ""


def test_names_do_not_steer_the_operators_terminal(alice, box, disks, capsys):
    alice.put("/box/%1B]0;gotcha%07%0A日本", b"abc")
    for disk in disks:
        lose(disk, Blob.objects.get().pk)
    with pytest.raises(CommandError):
        call_command("object", "verify", "alice")
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert "/box/\\x1b]0;gotcha\\x07\\n日本: " in told


def test_a_policy_that_is_not_well_keeps_the_auditor_from_no_other(full, settings, monkeypatch):
    policies = settings.KUMO_DRIVERS["object_store"] | {"another": {"BACKEND": "disks"}}
    settings.KUMO_DRIVERS = settings.KUMO_DRIVERS | {"object_store": policies}
    stop = threading.Event()
    walked: list[str] = []

    def walk(policy: str, pace: services.Pace) -> None:
        walked.append(policy)
        if policy == "another":
            stop.set()
        raise WrongMachineError

    monkeypatch.setattr(reconcile, "_walk", walk)
    monkeypatch.setattr(reconcile, "COLLECT_S", 0)
    monkeypatch.setattr(reconcile.connection, "close", lambda: None)
    reconcile.audit(stop)
    assert walked == ["default", "another"]
