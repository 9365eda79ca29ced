"""Claims: a server's share of a host, taken in the statement that checks that there is room.

Candidates are chosen without locks, from one read of all hosts; the row's own `used + n <= capacity` decides.
Every choice leaves a decision record: per check how many hosts were left, and what was nearest where none was.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Sum
from django.db.models.functions import Greatest

from apps.core.context import RequestContext
from apps.core.errors import Conflict
from apps.core.transactions import internal
from apps.hosts.models import Claim, Host
from apps.hosts.states import MAX_SKEW_S, HostMode

ROUNDS = 3  # how often to look again when others took every candidate between our reading and our claiming


class NoValidHost(Conflict):
    """No host has room; `decision` says which check left none, and what was nearest."""

    title = "No valid host was found"

    def __init__(self, decision: dict[str, Any]) -> None:
        super().__init__(f"No valid host was found. {decision['reason']}")
        self.decision = decision


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a consumer asks for."""

    vcpus: int
    ram_mib: int
    disk_gib: int
    zone: str = ""
    host: str = ""
    exclude: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Check:
    """One question put to the hosts still left; `nearest` says in words why they all failed."""

    name: str
    holds: Callable[[Host, Wanted], bool]
    nearest: Callable[[Sequence[Host], Wanted], str]


def _free(host: Host, resource: str) -> int:
    return host.capacity[resource] - host.used[resource]


def _room(resource: str, noun: str) -> Check:
    def nearest(hosts: Sequence[Host], wanted: Wanted) -> str:
        best = max(hosts, key=lambda h: _free(h, resource))
        free = max(_free(best, resource), 0)
        return f"needs {getattr(wanted, resource)} {noun}; the best host, {best.name}, has {free} free"

    return Check(resource, lambda h, w: _free(h, resource) >= getattr(w, resource), nearest)


def _names(hosts: Sequence[Host], most: int = 3) -> str:
    shown = ", ".join(h.name for h in hosts[:most])
    return shown if len(hosts) <= most else f"{shown} and {len(hosts) - most} more"


CHECKS = (
    Check(
        "host",
        lambda h, w: w.host in {"", h.name},
        lambda hosts, w: f"the host {w.host} was asked for and does not exist",
    ),
    Check("exclude", lambda h, w: h.name not in w.exclude, lambda hosts, w: f"{_names(hosts)} excluded by the request"),
    Check(
        "zone",
        lambda h, w: w.zone in {"", h.zone},
        lambda hosts, w: f"the availability zone {w.zone} has no such host; there are {', '.join(_zones(hosts))}",
    ),
    Check(
        "enabled",
        lambda h, w: h.mode == HostMode.ENABLED,
        lambda hosts, w: f"{_names(hosts)} disabled or draining",
    ),
    Check("up", lambda h, w: h.is_up, lambda hosts, w: f"{_names(hosts)} not answering"),
    Check(
        "clock",
        lambda h, w: abs(h.clock_skew_s) <= MAX_SKEW_S,
        lambda hosts, w: f"the best clock is {min(abs(h.clock_skew_s) for h in hosts):.1f} s off",
    ),
    _room("vcpus", "vCPUs"),
    _room("ram_mib", "MiB of memory"),
    _room("disk_gib", "GiB of disk"),
)


def _zones(hosts: Sequence[Host]) -> list[str]:
    return sorted({h.zone for h in hosts})


@dataclass(slots=True)
class Decision:
    """How a choice was made, as it is kept and shown."""

    wanted: Wanted
    checks: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""
    chosen: str = ""
    rounds: int = 1

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        wanted = {"vcpus": self.wanted.vcpus, "ram_mib": self.wanted.ram_mib, "disk_gib": self.wanted.disk_gib}
        for name in ("zone", "host"):
            if value := getattr(self.wanted, name):
                wanted[name] = value
        return {
            "wanted": wanted,
            "checks": self.checks,
            "chosen": self.chosen,
            "reason": self.reason,
            "rounds": self.rounds,
        }


def fitting(hosts: Sequence[Host], wanted: Wanted) -> tuple[list[Host], Decision]:
    """The hosts that pass every check, best first, and the record of how they were found."""
    decision = Decision(wanted)
    left = list(hosts)
    if not left:
        decision.reason = "There is no host yet: enrol one with `manage.py host enroll`."
        return [], decision
    for check in CHECKS:
        passed = [h for h in left if check.holds(h, wanted)]
        entry: dict[str, Any] = {"check": check.name, "left": len(passed)}
        decision.checks.append(entry)
        if not passed:
            entry["nearest"] = check.nearest(left, wanted)
            decision.reason = (
                f"Of {len(hosts)} hosts {len(left)} passed up to the check '{check.name}': {entry['nearest']}."
            )
            return [], decision
        left = passed
    return _weighed(left, wanted), decision


def _weighed(hosts: list[Host], wanted: Wanted) -> list[Host]:
    """Most room first, counted in servers of the wanted size; equals at random, so parallel claims spread."""
    size = max(wanted.ram_mib, 1)
    return sorted(hosts, key=lambda h: (-(_free(h, "ram_mib") // size), random.random()))  # noqa: S311 - not a secret


@internal("the sagas of compute place what a service has already allowed")
def claim(
    ctx: RequestContext,
    *,
    consumer_id: UUID | str,
    project_id: str,
    vcpus: int,
    ram_mib: int,
    disk_gib: int,
    zone: str = "",
    host: str = "",
    exclude: Collection[str] = (),
) -> tuple[Host, dict[str, Any]]:
    """Take room on a host for a consumer; asked again, it answers the host taken before.

    Returns the host and the decision record. Raises NoValidHost.
    """
    held = Claim.objects.select_related("host").filter(consumer_id=consumer_id).first()
    if held is not None:
        return held.host, held.decision
    wanted = Wanted(vcpus, ram_mib, disk_gib, zone, host, frozenset(exclude))
    for attempt in range(1, ROUNDS + 1):
        candidates, decision = fitting(list(Host.objects.all()), wanted)
        decision.rounds = attempt
        for candidate in candidates:
            if _take(candidate, wanted):
                decision.chosen = candidate.name
                Claim.objects.create(
                    consumer_id=consumer_id,
                    host=candidate,
                    project_id=project_id,
                    vcpus=vcpus,
                    ram_mib=ram_mib,
                    disk_gib=disk_gib,
                    decision=decision.record(),
                )
                candidate.refresh_from_db()
                return candidate, decision.record()
        if not candidates:
            break
        decision.reason = f"Others claimed the last room on all {len(candidates)} hosts that fitted."
    raise NoValidHost(decision.record())


def _take(host: Host, wanted: Wanted) -> bool:
    """Claim on this host, if it still has room and still takes servers.

    A refused update may leave the row locked, and holding several in no order invites deadlocks: hence the
    savepoint, whose rollback lets go of it.
    """
    try:
        with transaction.atomic():
            taken = (
                Host.objects.taking()
                .filter(
                    pk=host.pk,
                    used_vcpus__lte=F("capacity_vcpus") - wanted.vcpus,
                    used_ram_mib__lte=F("capacity_ram_mib") - wanted.ram_mib,
                    used_disk_gib__lte=F("capacity_disk_gib") - wanted.disk_gib,
                )
                .update(
                    used_vcpus=F("used_vcpus") + wanted.vcpus,
                    used_ram_mib=F("used_ram_mib") + wanted.ram_mib,
                    used_disk_gib=F("used_disk_gib") + wanted.disk_gib,
                    generation=F("generation") + 1,
                )
            )
            if not taken:
                raise _FullError
    except _FullError:
        return False
    return True


class _FullError(Exception):
    """Rolls a savepoint back."""


@internal("the sagas of compute give back what they claimed")
def release(ctx: RequestContext, *, consumer_id: UUID | str) -> None:
    """Give a consumer's share back; no claim is success."""
    held = Claim.objects.filter(consumer_id=consumer_id).select_for_update(no_key=True).first()
    if held is None:
        return
    held.delete()
    Host.objects.filter(pk=held.host_id).update(
        used_vcpus=Greatest(F("used_vcpus") - held.vcpus, 0),
        used_ram_mib=Greatest(F("used_ram_mib") - held.ram_mib, 0),
        used_disk_gib=Greatest(F("used_disk_gib") - held.disk_gib, 0),
        generation=F("generation") + 1,
    )


@internal("doctor, asked to repair")
def host_recount(ctx: RequestContext, *, host_id: UUID | str) -> None:
    """Set what is used of a host to the sum of its claims."""
    Host.objects.select_for_update(no_key=True).get(pk=host_id)
    sums = Claim.objects.filter(host_id=host_id).aggregate(
        used_vcpus=Sum("vcpus"), used_ram_mib=Sum("ram_mib"), used_disk_gib=Sum("disk_gib")
    )
    used = {name: value or 0 for name, value in sums.items()}
    Host.objects.filter(pk=host_id).update(generation=F("generation") + 1, **used)
