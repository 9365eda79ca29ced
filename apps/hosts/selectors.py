"""Reads of hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import le
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet, Sum
from django.http import HttpRequest
from django.utils import timezone

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Forbidden, NotFound
from apps.core.transactions import selector
from apps.hosts.models import Claim, Host
from apps.hosts.states import MAX_SKEW_S

NAME_HEADER = "X-Kumo-Host"
SERIAL_HEADER = "X-Kumo-Host-Serial"
WARN_DAYS = 60  # before a certificate ends


@selector("hosts:list")
def host_list(ctx: RequestContext) -> QuerySet[Host]:
    """All hosts."""
    return Host.objects.order_by("name")


@selector("hosts:list")
def host_get(ctx: RequestContext, *, host_id: UUID | str) -> Host:
    """One host by id or name. Raises NotFound."""
    text = str(host_id)
    try:
        found = Host.objects.filter(pk=UUID(text)).first()
    except ValueError:
        found = Host.objects.filter(name=text).first()
    if found is None:
        raise NotFound("host", host_id)
    return found


@selector("hosts:zones")
def host_fit(ctx: RequestContext, *, vcpus: int, ram_mib: int, disk_gib: int, zone: str = "") -> tuple[int, int]:
    """On how many of how many hosts that take servers one of this size would find room now."""
    taking = Host.objects.taking()
    if zone:
        taking = taking.filter(zone=zone)
    fits = taking.filter(
        used_vcpus__lte=F("capacity_vcpus") - vcpus,
        used_ram_mib__lte=F("capacity_ram_mib") - ram_mib,
        used_disk_gib__lte=F("capacity_disk_gib") - disk_gib,
    )
    return fits.count(), taking.count()


@dataclass(frozen=True, slots=True)
class Fits:
    """For each size asked about, on how many hosts one more would fit; how many take servers, and in which zones."""

    counts: list[int]
    taking: int
    zones: list[str]


@selector("hosts:zones")
def host_fits(ctx: RequestContext, *, sizes: Sequence[tuple[int, int, int]]) -> Fits:
    """The same for many sizes (vCPUs, MiB, GiB) at once."""
    rooms = Host.objects.taking().values_list(
        "zone",
        F("capacity_vcpus") - F("used_vcpus"),
        F("capacity_ram_mib") - F("used_ram_mib"),
        F("capacity_disk_gib") - F("used_disk_gib"),
    )
    zones, free = set(), []
    for zone, *room in rooms:
        zones.add(zone)
        free.append(room)
    counts = [sum(all(map(le, size, room)) for room in free) for size in sizes]
    return Fits(counts, len(free), sorted(zones))


@selector("placement:resource_providers:allocations:list")
def claim_list(ctx: RequestContext, *, host_id: UUID | str | None = None) -> QuerySet[Claim]:
    """What is claimed, of one host or of all."""
    claims = Claim.objects.order_by("created_at", "consumer_id")
    return claims if host_id is None else claims.filter(host_id=host_id)


@selector("hosts:list")
def disagreements(ctx: RequestContext) -> list[dict[str, Any]]:
    """Hosts whose used figures are not the sum of their claims; always empty unless somebody edited rows."""
    found = []
    for host in Host.objects.order_by("name"):
        sums = host.claims.aggregate(vcpus=Sum("vcpus"), ram_mib=Sum("ram_mib"), disk_gib=Sum("disk_gib"))
        claimed = {name: value or 0 for name, value in sums.items()}
        if claimed != host.used:
            found.append({"host": host, "used": host.used, "claimed": claimed})
    return found


def warnings(host: Host) -> list[str]:
    """What an operator should know about a host besides its state."""
    found = []
    if abs(host.clock_skew_s) > MAX_SKEW_S:
        found.append(f"clock {host.clock_skew_s:+.1f} s off: no new servers")
    if host.forced_down:
        found.append("declared down: no new servers until somebody says that it is up again")
    days = (host.certificate_expires_at - timezone.now()).days
    if days < WARN_DAYS:
        found.append(f"certificate ends in {days} days: enrol it again")
    return found


# --- as placement sees it ---------------------------------------------------------------------------


@selector("placement:resource_providers:list")
def provider_list(
    ctx: RequestContext, *, name: str = "", ident: str = "", room: Mapping[str, int] | None = None
) -> list[Host]:
    """Hosts as resource providers: by name, by id, and with room for what is named (`{"vcpus": 2, …}`)."""
    hosts = Host.objects.order_by("name")
    if name:
        hosts = hosts.filter(name=name)
    if ident:
        hosts = hosts.filter(pk=_uuid("resource provider", ident))
    return [h for h in hosts if all(h.capacity[r] - h.used[r] >= n for r, n in (room or {}).items())]


@selector("placement:resource_providers:show")
def provider_get(ctx: RequestContext, *, ident: str) -> Host:
    """One host as a resource provider. Raises NotFound."""
    found = Host.objects.filter(pk=_uuid("resource provider", ident)).first()
    if found is None:
        raise NotFound("resource provider", ident)
    return found


@selector("placement:allocation_candidates:list")
def candidate_list(ctx: RequestContext, *, room: Mapping[str, int]) -> list[Host]:
    """Hosts on which a claim of that size could succeed now."""
    wanted = {"vcpus": 0, "ram_mib": 0, "disk_gib": 0} | dict(room)
    taking = Host.objects.taking().order_by("name")
    return [h for h in taking if all(h.capacity[r] - h.used[r] >= n for r, n in wanted.items())]


@selector("placement:allocations:list")
def consumer_get(ctx: RequestContext, *, consumer: str) -> Claim | None:
    """What a consumer holds, or None. Raises NotFound for what cannot be an id."""
    claims = Claim.objects.select_related("host")
    return claims.filter(consumer_id=_uuid("consumer", consumer)).first()


@selector("placement:usages")
def project_usage(ctx: RequestContext, *, project_id: str) -> dict[str, int]:
    """What a project's servers hold: `{"vcpus", "ram_mib", "disk_gib"}`. Raises Forbidden for another's."""
    policy.enforce(ctx, "placement:usages", {"project_id": project_id})
    sums = Claim.objects.filter(project_id=project_id).aggregate(
        vcpus=Sum("vcpus"), ram_mib=Sum("ram_mib"), disk_gib=Sum("disk_gib")
    )
    return {name: value or 0 for name, value in sums.items()}


def _uuid(noun: str, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(noun, text) from None


# --- who asks --------------------------------------------------------------------------------------


def host_of_request(request: HttpRequest) -> Host:
    """The host that sent this request, by the client certificate that nginx verified.

    nginx alone reaches the application, and sets (or clears) both headers on every request. Raises Forbidden for
    no certificate, a removed host, or a certificate older than the host's latest enrolment.
    """
    name = request.headers.get(NAME_HEADER, "")
    serial = request.headers.get(SERIAL_HEADER, "").lower().lstrip("0")
    if not name:
        raise Forbidden("This address answers enrolled hosts only.")
    host = Host.objects.filter(name=name).first()
    if host is None or host.certificate_serial != serial:
        raise Forbidden(
            f"The certificate of host {name} no longer holds.",
            hint="Enrol the host again with a new token.",
        )
    return host
