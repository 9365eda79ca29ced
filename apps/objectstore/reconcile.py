"""The duties of the control worker for the object store, and what the doctor says of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import Error, connection

from apps.core.context import system
from apps.core.doctor import doctor_check
from apps.core.metrics import Gauge, gauges
from apps.objectstore import backends, services
from apps.objectstore.backends import WrongMachineError
from apps.operations.registry import daemon

logger = logging.getLogger("kumo.objectstore")

FOLD_S = 2
COLLECT_S = 15
TEND_S = 60  # looks which buckets are due; each is once a day
SWEEP_S = 6 * 3600  # reads every directory of every disk
AUDIT_IDLE_S = 3600  # between two walks
AUDIT_BLOBS = 100


def fold(stop: threading.Event) -> None:
    """Fold deltas into totals, and remove objects whose time is over."""

    def totals() -> None:
        while services.deltas_fold(system()) and not stop.is_set():
            pass

    _regularly(stop, FOLD_S, totals, lambda: services.objects_expire(system()))


def collect(stop: threading.Event) -> None:
    """Make missing copies, empty disks, and remove what no object names."""
    _regularly(
        stop,
        COLLECT_S,
        lambda: mend(stop),
        lambda: services.accounts_reap(system()),
        lambda: services.rates_forget(system()),
        lambda: services.unused_remove(system(), stop=stop),
    )


def search(stop: threading.Event) -> None:
    """Look through everything now and then; it takes long, and missing copies cannot wait for it."""

    def once() -> None:
        for line in sweep(stop=stop):
            logger.info(line)

    _regularly(stop, SWEEP_S, once)


def sweep(*, only_tell: bool = False, stop: threading.Event | None = None) -> Iterator[str]:
    """What looks at everything: copies on disks that went while they were written, and copies that no row names."""
    for number in services.unknown_places(system()):
        words = f"copies are said to be on disk {number}, which does not exist"
        if not number:
            yield "a storage policy that is on disks now was kept by a service before: name that in the settings again"
        elif only_tell:
            yield words
        else:
            yield f"{words}: {services.places_forget(system(), number=number)} are to be made anew"
    for policy in backends.policies():
        try:
            yield from services.strays_remove(system(), policy=policy, only_tell=only_tell, stop=stop)
        except (OSError, WrongMachineError) as error:
            yield f"storage policy {policy} could not be looked through: {error}"


def mend(stop: threading.Event) -> list[str]:
    """One round over blobs that lack copies; returns ids of those of which no good copy can be reached."""
    services.draining_mark(system())
    lost: list[str] = []
    for policy in backends.policies():
        _guarded(partial(_mend, policy, stop, lost))
    return lost


def _mend(policy: str, stop: threading.Event, lost: list[str]) -> None:
    """The same of one policy. It ends early where no disk takes copies: trying all of them would help none."""
    after: UUID | None = None
    while not stop.is_set():
        done, after = services.copies_repair(system(), policy=policy, after=after, stop=stop)
        lost += done.lost
        if after is None or (done.waiting and not done.made):
            break


def tend(stop: threading.Event) -> None:
    """Do each day what the rules of buckets say of their objects."""

    def once() -> None:
        while not stop.is_set() and services.lifecycle_step(system()):
            pass

    _regularly(stop, TEND_S, once)


def audit(stop: threading.Event) -> None:
    """Read all copies in turn at the rate of the configuration."""
    rate = settings.CONFIG.objectstore.audit_mib_per_s
    while rate and not stop.wait(COLLECT_S):
        pace = services.Pace(stop, rate)
        for policy in backends.policies():
            _guarded(partial(_walk, policy, pace))
        connection.close()
        stop.wait(AUDIT_IDLE_S)
    stop.wait()


def _walk(policy: str, pace: services.Pace) -> None:
    ended = False
    while not ended and not pace.stop.is_set():
        _, ended = services.copies_audit(system(), policy=policy, pace=pace, blobs=AUDIT_BLOBS)


def _regularly(stop: threading.Event, every_s: float, *duties: Callable[[], object]) -> None:
    """A connection is kept between rounds only where they come often: it costs the server some MiB."""
    while not stop.wait(every_s):
        for duty in duties:
            _guarded(duty)
        if every_s >= COLLECT_S:
            connection.close()
    connection.close()


def _guarded(duty: Callable[[], object]) -> None:
    """One that fails, whatever the reason, does not keep those after it from their turn."""
    try:
        duty()
    except Exception as error:
        logger.exception("a duty of the object store failed")
        if isinstance(error, Error):
            connection.close()


@gauges
def numbers() -> Iterator[Gauge]:
    """What is kept, what lacks, what waits to be removed, and how far the audit is."""
    found = services.numbers(system())
    yield Gauge("kumo_objects", "Objects, as totals were folded last.", found.objects)
    yield Gauge("kumo_object_bytes", "Their bytes.", found.bytes)
    yield Gauge("kumo_object_uploads", "Uploads in parts that are in progress.", found.uploads)
    for policy in found.policies:
        labels = {"policy": policy.name}
        yield Gauge("kumo_copies_missing", "Copies of blobs there should be besides.", policy.missing, labels)
        yield Gauge(
            "kumo_blobs_unused", "Blobs that no object names, until the grace time is over.", policy.unused, labels
        )
        yield Gauge("kumo_audit_bytes", "Bytes that the present walk over all copies has read.", policy.audited, labels)
        yield Gauge("kumo_audit_found", "Bad or missing copies it has found.", policy.found, labels)
        if policy.audit_age_s is not None:
            help_ = "How long ago the last whole walk ended."
            yield Gauge("kumo_audit_age_seconds", help_, policy.audit_age_s, labels)


daemon("objectstore.fold", fold)
daemon("objectstore.collect", collect)
daemon("objectstore.search", search)
daemon("objectstore.audit", audit)
daemon("objectstore.tend", tend)


@doctor_check("objects")
def check_objects(repair: bool) -> Iterator[str]:
    """Disks that are away or another machine's, copies that lack, and bytes that no object names."""
    foreign = list(services.foreign_disks(system()))
    yield from foreign
    if foreign:
        return
    yield from services.disks_away(system())
    yield from services.policies_unknown(system())
    if not settings.CONFIG.objectstore.verify_reads:
        yield from services.closed_disks(system())
    yield from sweep(only_tell=not repair)
    lost = mend(threading.Event()) if repair else []
    for policy in services.numbers(system()).policies:
        if policy.missing:
            words = f"{policy.missing} copies lack in storage policy {policy.name}"
            yield f"{words}; the control worker makes them when disks allow"
    for blob in lost:
        yield f"no good copy of blob {blob} can be reached"
