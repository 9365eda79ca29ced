"""Keeping guests as the database says: what a host's inventory and events show, and what follows from it.

`plan` is pure. What differs in power only is written down: a guest that shut itself down is shut off. What is
missing is made anew by an ordinary operation. What is there and should not be is removed only if we know that we
once made it; anything else is told by `doctor` and left alone.
"""

from __future__ import annotations

import datetime
import logging
import select
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

import psycopg2
from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models import Exists, F, OuterRef, Subquery, TextField, Value
from django.db.models.functions import Cast, Coalesce, Now

from agents.contracts import DomainEvent, Inventory, ObservedDomain, Power
from apps.compute.models import ConsoleSession, ReconciledBoot, Server, ServerDeleted
from apps.compute.services.consoles import console_dial
from apps.compute.services.creating import CREATE
from apps.compute.services.inspecting import inventory_of
from apps.compute.services.servers import DELETE, locked_row, touched
from apps.compute.states import STATE_OF_POWER, WANTED_POWER, ServerState
from apps.core.context import RequestContext, system
from apps.core.doctor import doctor_check, reconciler
from apps.core.errors import Conflict, KumoError
from apps.hosts.models import Claim, Host
from apps.hosts.services import inventory_handler, release
from apps.operations.models import Operation
from apps.operations.registry import Report, daemon, on_report
from apps.operations.services import operation_start
from apps.operations.states import UNFINISHED

logger = logging.getLogger("kumo.compute")

REPAIR = "compute.server.repair"
REMOVE = "compute.guest.remove"
REPAIRS_AT_ONCE = 5  # for each host and round


class Act(StrEnum):
    """What the plan says of one guest."""

    WRITE = "write"  # the state, as it was seen
    REPAIR = "repair"  # make the guest match again
    LOST = "lost"  # its disks are gone: a fault, never a new disk
    REMOVE = "remove"  # it should not be there
    REPORT = "report"  # nobody here knows it


@dataclass(frozen=True, slots=True)
class Wanted:
    """A server placed on the host, as far as reconciliation cares."""

    state: ServerState
    generation: int
    power: Power
    is_busy: bool
    changed_at: datetime.datetime  # of the row or its last operation


@dataclass(frozen=True, slots=True)
class Action:
    """One line of a plan."""

    act: Act
    server_id: str
    why: str
    power: Power = Power.MISSING

    def __str__(self) -> str:
        return f"{self.act} {self.server_id}: {self.why}"


def plan(
    wanted: Mapping[str, Wanted],
    observed: Mapping[str, ObservedDomain],
    *,
    disks: frozenset[str],
    ours: frozenset[str],
    t0: datetime.datetime,
    first_of_boot: bool = False,
) -> list[Action]:
    """What to do so that a host has what is wanted of it.

    `ours` are ids that a tombstone or a finished operation knows. What changed after `t0`, when the inventory was
    asked for, or is being operated on, is left alone.
    """
    actions: list[Action] = []
    for ident, server in sorted(wanted.items()):
        if server.is_busy or server.changed_at >= t0 or server.state not in WANTED_POWER:
            continue
        action = _of_server(ident, server, observed.get(ident), ident in disks, first_of_boot)
        if action is not None:
            actions.append(action)
    for ident in sorted((set(observed) | disks) - set(wanted)):
        where = "a guest" if ident in observed else "disks"
        if ident in ours:
            actions.append(Action(Act.REMOVE, ident, f"{where} of a server that is not here any more"))
        else:
            actions.append(Action(Act.REPORT, ident, f"{where} with our mark that the database never knew"))
    return actions


def _of_server(
    ident: str, server: Wanted, seen: ObservedDomain | None, has_disks: bool, first_of_boot: bool
) -> Action | None:
    power = WANTED_POWER[server.state]
    if seen is None or seen.power is Power.MISSING:
        if not has_disks:
            return Action(Act.LOST, ident, "the guest and its disks are gone from the host")
        return Action(Act.REPAIR, ident, "the guest is gone from the host")
    if seen.generation < server.generation:
        return Action(Act.REPAIR, ident, f"the guest is of generation {seen.generation}, not {server.generation}")
    if seen.power == power:
        return None if server.power == power else Action(Act.WRITE, ident, f"it is {seen.power}", seen.power)
    if first_of_boot and seen.power in {Power.SHUTOFF, Power.CRASHED}:
        return Action(Act.REPAIR, ident, f"it lost its power with the host and should be {power}")
    return Action(Act.WRITE, ident, f"it is {seen.power}, not {power}", seen.power)


# --- reading ---------------------------------------------------------------------------------------


def wanted_on(host_name: str, t0: datetime.datetime) -> dict[str, Wanted]:
    """Servers placed on a host; one whose operation ended after `t0` counts as changed then."""
    servers = list(Server.objects.filter(host_name=host_name))
    ids = [str(server.pk) for server in servers]
    operations = Operation.objects.filter(subject_type="server", subject_id__in=ids)
    busy = set(operations.filter(status__in=UNFINISHED).values_list("subject_id", flat=True))
    recent = set(operations.filter(finished_at__gte=t0).values_list("subject_id", flat=True))
    return {
        str(server.pk): Wanted(
            state=ServerState(server.state),
            generation=server.generation,
            power=Power(server.power),
            is_busy=str(server.pk) in busy,
            changed_at=max(
                server.updated_at or server.created_at, t0 if str(server.pk) in recent else server.created_at
            ),
        )
        for server in servers
    }


def known_before(idents: Iterable[str], t0: datetime.datetime) -> frozenset[str]:
    """Those of these ids that we once made and nobody works on: tombstones, and undone or finished operations."""
    wanted = [UUID(ident) for ident in idents]
    buried = ServerDeleted.objects.filter(pk__in=wanted, deleted_at__lt=t0)
    operations = Operation.objects.filter(subject_type="server", subject_id__in=[str(i) for i in wanted])
    busy = set(operations.filter(status__in=UNFINISHED).values_list("subject_id", flat=True))
    recent = set(operations.filter(finished_at__gte=t0).values_list("subject_id", flat=True))
    made = set(operations.filter(kind__in=[CREATE, DELETE]).values_list("subject_id", flat=True))
    ours = {str(ident) for ident in buried.values_list("pk", flat=True)} | made
    return frozenset(ours - busy - recent)


def plan_for(host: Host, inventory: Inventory) -> list[Action]:
    """The plan that follows from a host's inventory."""
    t0 = datetime.datetime.fromisoformat(inventory.asked_at)
    wanted = wanted_on(host.name, t0)
    observed = {domain.server_id: domain for domain in inventory.domains}
    disks = frozenset(inventory.disks)
    others = (set(observed) | disks) - set(wanted)
    return plan(
        wanted,
        observed,
        disks=disks,
        ours=known_before(others, t0),
        t0=t0,
        first_of_boot=_last_boot(host) != host.boot_id,
    )


# --- doing -----------------------------------------------------------------------------------------


@inventory_handler
def on_inventory(host: Host, inventory: Inventory) -> None:
    """Look at each inventory and do what follows."""
    actions = plan_for(host, inventory)
    carry_out(host.name, actions)
    if _last_boot(host) != host.boot_id:
        ReconciledBoot.objects.update_or_create(host_name=host.name, defaults={"boot_id": host.boot_id})


def _last_boot(host: Host) -> str:
    """The start of its worker that was last looked at."""
    return ReconciledBoot.objects.filter(host_name=host.name).values_list("boot_id", flat=True).first() or ""


def carry_out(host_name: str, actions: Sequence[Action]) -> list[Action]:
    """Do a plan, with a bound on repairs; returns what was done."""
    done: list[Action] = []
    repairs = 0
    for action in actions:
        if action.act in {Act.REPAIR, Act.REMOVE}:
            repairs += 1
            if repairs > REPAIRS_AT_ONCE:
                continue
        if action.act is Act.REPORT:
            continue
        try:
            with transaction.atomic():
                _DO[action.act](host_name, action)
        except (Conflict, Server.DoesNotExist) as busy:
            logger.info("left alone: %s", busy, extra={"server": action.server_id})
            continue
        logger.warning("reconciled: %s", action, extra={"host": host_name, "server": action.server_id})
        done.append(action)
    return done


def _write(host_name: str, action: Action) -> None:
    server = locked_row(action.server_id)
    if server.host_name == host_name and ServerState(server.state) in WANTED_POWER:
        touched(server, power=action.power, state=STATE_OF_POWER[action.power])


def _repair(host_name: str, action: Action) -> None:
    if not settings.CONFIG.compute.repair_guests:
        _fault(action, "Its guest vanished from the host, and this cloud does not repair by itself.")
        return
    server = Server.objects.get(pk=action.server_id)
    operation_start(
        _context(server),
        kind=REPAIR,
        subject_type="server",
        subject_id=server.pk,
        project_id=str(server.project_id),
        input={"why": action.why},
    )
    touched(locked_row(server.pk), power=Power.MISSING)


def _lost(host_name: str, action: Action) -> None:
    _fault(action, "Its guest and disks are gone from the host.")


def _fault(action: Action, message: str) -> None:
    server = locked_row(action.server_id)
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
        now = cursor.fetchone()[0]
    fault = {"code": 500, "created": now, "message": message, "details": action.why}
    touched(server, power=Power.MISSING, state=ServerState.ERROR, fault=fault)


def _remove(host_name: str, action: Action) -> None:
    operation_start(
        system(),
        kind=REMOVE,
        subject_type="guest",
        subject_id=action.server_id,
        project_id="",
        input={"host": host_name},
    )


_DO = {Act.WRITE: _write, Act.REPAIR: _repair, Act.LOST: _lost, Act.REMOVE: _remove}


def _context(server: Server) -> RequestContext:
    """Kumo's own work, on the server's behalf."""
    owner = RequestContext(user_id=server.user_id, user_name="kumo", project_id=str(server.project_id))
    return system(on_behalf_of=owner)


# --- events ----------------------------------------------------------------------------------------


@on_report("compute.domain_event", DomainEvent)
def on_domain_event(report: Report) -> None:
    """libvirt said that a guest changed: shut down inside, killed from outside, crashed, paused."""
    seen: ObservedDomain = report.message.observed
    if seen.power is Power.MISSING:
        return  # the next inventory tells whether it should be there
    if ReconciledBoot.objects.filter(host_name=report.host).exclude(boot_id=report.boot_id).exists():
        return  # the first inventory after a start tells what lost its power with the host
    with transaction.atomic():
        server = Server.objects.select_for_update(no_key=True).filter(pk=seen.server_id, host_name=report.host).first()
        if server is None or seen.generation != server.generation or ServerState(server.state) not in WANTED_POWER:
            return
        busy = Operation.objects.filter(subject_type="server", subject_id=str(server.pk), status__in=UNFINISHED)
        state = STATE_OF_POWER[seen.power]
        if busy.exists() or (server.state, server.power) == (state, seen.power):
            return
        touched(server, state=state, power=seen.power)
    logger.info("guest changed: %s", report.message.reason, extra={"server": seen.server_id, "host": report.host})


# --- people who ask --------------------------------------------------------------------------------


@reconciler("guests")
def reconcile(host_name: str, dry_run: bool) -> Iterator[str]:
    """Ask a host for its inventory and do, or only tell, what follows. Raises NotFound, Unavailable."""
    host, inventory = inventory_of(system(), host_name=host_name)
    actions = plan_for(host, inventory)
    yield from map(str, actions)
    if not dry_run:
        carry_out(host.name, actions)


@doctor_check("guests")
def check_guests(repair: bool) -> Iterator[str]:
    """Servers against what their hosts have."""
    for name in Host.objects.order_by("name").values_list("name", flat=True):
        try:
            for line in reconcile(name, not repair):
                yield f"{name}: {line}"
        except KumoError as error:
            yield f"{name}: {error}"


@doctor_check("servers")
def check_servers(repair: bool) -> Iterator[str]:
    """Servers against their own rows: each that is placed has a claim there, each that is busy an operation."""
    unfinished = Operation.objects.filter(subject_type="server", status__in=UNFINISHED)
    claimed = Claim.objects.filter(consumer_id=OuterRef("pk")).values("host__name")
    busy = unfinished.filter(subject_id=Cast(OuterRef("pk"), TextField()))
    servers = Server.objects.annotate(held=Coalesce(Subquery(claimed), Value("")), is_busy=Exists(busy))
    for server in servers.exclude(held=F("host_name")).order_by("created_at"):
        yield f"{server.pk} is on '{server.host_name}' and has its claim on '{server.held}'"
        if repair and not server.host_name and not server.is_busy:
            release(system(), consumer_id=server.pk)
    for server in servers.filter(state=ServerState.BUILDING, is_busy=False).order_by("created_at"):
        yield f"{server.pk} is building and nothing builds it"
        if repair:
            with transaction.atomic():
                _fault(Action(Act.LOST, str(server.pk), "no operation"), "Nothing builds it any more.")


@doctor_check("claims")
def check_claims(repair: bool) -> Iterator[str]:
    """Room on hosts that is held for a server which does not exist: given back."""
    known = Server.objects.filter(pk=OuterRef("consumer_id"))
    for claim in Claim.objects.filter(~Exists(known)).select_related("host"):
        yield f"{claim.host.name} has a claim of server {claim.consumer_id}, which does not exist"
        if repair:
            release(system(), consumer_id=claim.consumer_id)


# --- consoles --------------------------------------------------------------------------------------

CONSOLE_CHANNEL = "kumo_console"


def dial_consoles(stop: threading.Event) -> None:
    """Hear of browsers that used their token, and make the guest's host dial in."""
    while not stop.is_set():
        try:
            _listen(stop)
        except (psycopg2.Error, Error):
            logger.exception("console listener failed")
            connection.close()
            stop.wait(1)


def _listen(stop: threading.Event) -> None:
    """On a connection of its own: LISTEN needs a session that stays."""
    given = connection.get_connection_params()
    given.pop("cursor_factory", None)
    given.pop("context", None)
    direct = psycopg2.connect(**given)
    direct.autocommit = True
    try:
        with direct.cursor() as cursor:
            cursor.execute(f"LISTEN {CONSOLE_CHANNEL}")
        while not stop.is_set():
            if not select.select([direct], [], [], 1.0)[0]:
                continue
            direct.poll()
            while direct.notifies:
                console_dial(system(), session_id=direct.notifies.pop(0).payload)
            connection.close()
    finally:
        direct.close()


daemon("compute.consoles", dial_consoles)


# --- tombstones ------------------------------------------------------------------------------------

KEPT = datetime.timedelta(days=90)
TIDY_S = 3600


def tidy(stop: threading.Event) -> None:
    """Forget deleted servers and console sessions whose time is over."""
    while not stop.is_set():
        try:
            ServerDeleted.objects.filter(deleted_at__lt=Now() - KEPT).delete()
            ConsoleSession.objects.filter(expires_at__lt=Now() - datetime.timedelta(days=1)).delete()
        except Error:
            logger.exception("tidying failed")
        connection.close()
        stop.wait(TIDY_S)


daemon("compute.tidy", tidy)
