"""Hosts as hypervisors: what they are, what runs on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import selectors
from apps.compute.api.base import STRICT, UUIDS, ComputeView, Query, flag, host_by
from apps.core.api.listing import Listing, limit_of, next_query, page_of
from apps.core.api.resource import Version
from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound
from apps.hosts.models import Host

LEAN = (2, 88)


def _version_number(text: str) -> int:
    """`7.2.9` → 7002009."""
    digits = [int(part) for part in text.split(".")[:3] if part.isdigit()]
    major, minor, micro = (*digits, 0, 0, 0)[:3]
    return major * 1_000_000 + minor * 1_000 + micro


def _hypervisor_brief(host: Host, version: tuple[int, int]) -> dict[str, Any]:
    return {
        "id": str(host.pk) if version >= UUIDS else host.number,
        "hypervisor_hostname": host.name,
        "state": "up" if host.is_up else "down",
        "status": "enabled" if host.enabled else "disabled",
    }


def _uptime(host: Host) -> str | None:
    """As the command `uptime` begins, without the time of day; null while the host is down."""
    seconds = host.facts.get("uptime_s", 0)
    if not host.is_up or not seconds:
        return None
    days, rest = divmod(seconds, 86_400)
    return f"up {days} day{'' if days == 1 else 's'}, {rest // 3600:2}:{rest % 3600 // 60:02}"


def _hypervisor(host: Host, version: tuple[int, int], servers: int) -> dict[str, Any]:
    facts = host.facts
    shown = _hypervisor_brief(host, version) | {
        "hypervisor_type": "KVM" if facts.get("virtualization") == "kvm" else "QEMU",
        "hypervisor_version": _version_number(facts.get("hypervisor_version", "")),
        "host_ip": None,
        "service": {
            "id": str(host.pk) if version >= UUIDS else host.number,
            "host": host.name,
            "disabled_reason": host.mode_reason or None,
        },
    }
    if version >= LEAN:
        return shown | {"uptime": _uptime(host)}
    info: Any = {
        "arch": facts.get("architecture", ""),
        "model": facts.get("cpu_model", ""),
        "vendor": "",
        "features": list(facts.get("cpu_features", ())),
        "topology": {"sockets": 1, "cores": max(host.vcpus, 1), "threads": 1},
    }
    return shown | {
        "cpu_info": info if version >= (2, 28) else str(info).replace("'", '"'),
        "current_workload": 0,
        "disk_available_least": host.disk_free_gib,
        "free_disk_gb": max(host.disk_gib - host.used_disk_gib, 0),
        "free_ram_mb": max(host.ram_mib - host.used_ram_mib, 0),
        "local_gb": host.disk_gib,
        "local_gb_used": host.used_disk_gib,
        "memory_mb": host.ram_mib,
        "memory_mb_used": host.used_ram_mib,
        "running_vms": servers,
        "vcpus": host.vcpus,
        "vcpus_used": host.used_vcpus,
    }


def _servers(found: Sequence[Host], ctx: RequestContext, version: Version) -> list[dict[str, Any]]:
    """For each host the attribute `servers`; before 2.75 one without servers has none."""
    servers = selectors.servers_by_host(ctx, hosts=[host.name for host in found])
    return [{"servers": servers[host.name]} if servers[host.name] or version >= STRICT else {} for host in found]


class Hypervisors(ComputeView):
    """`GET /os-hypervisors` and `/os-hypervisors/detail`."""

    detail = False
    takes = Query(
        {"limit": (2, 33), "marker": (2, 33), "hypervisor_hostname_pattern": UUIDS, "with_servers": UUIDS},
        strict=UUIDS,
    )

    def get(self, request: Request) -> Response:
        pattern = self.query.get("hypervisor_hostname_pattern", "")
        if pattern and not {"limit", "marker"}.isdisjoint(self.query):
            raise Invalid("Paging over hypervisors with hypervisor_hostname_pattern is not supported.", field="limit")
        found = list(selectors.hypervisor_list(self.ctx, pattern=pattern))
        if pattern and not found:
            raise NotFound(f"No hypervisor matching '{pattern}'")
        rows = self._rows(found)
        if self.version < (2, 33) or pattern:
            return Response({"hypervisors": rows})
        keyed = [row | {"id": str(row["id"]), "row": row} for row in rows]
        page = page_of(
            keyed, Listing(limit=limit_of(self.query), marker=self.query.get("marker", "")), self.api.max_page
        )
        body: dict[str, Any] = {"hypervisors": [row["row"] for row in page.rows]}
        if page.more:
            link = f"{self.base}{request.path}?{next_query(self.query, page.rows[-1]['id'])}"
            body["hypervisors_links"] = [{"rel": "next", "href": link}]
        return Response(body)

    def _rows(self, found: list[Host]) -> list[dict[str, Any]]:
        if not self.detail:
            rows = [_hypervisor_brief(host, self.version) for host in found]
        else:
            counts = selectors.server_counts(self.ctx)
            rows = [_hypervisor(host, self.version, counts.get(host.name, 0)) for host in found]
        if flag(self.query, "with_servers"):
            rows = [row | one for row, one in zip(rows, _servers(found, self.ctx, self.version), strict=True)]
        return rows


class Hypervisor(ComputeView):
    """`GET /os-hypervisors/{id}`."""

    takes = Query({"with_servers": UUIDS}, strict=UUIDS)

    def get(self, request: Request, ident: str) -> Response:
        selectors.hypervisor_list(self.ctx)
        host = host_by(self.version, ident, "Hypervisor")
        counts = selectors.server_counts(self.ctx)
        shown = _hypervisor(host, self.version, counts.get(host.name, 0))
        if flag(self.query, "with_servers"):
            shown |= _servers([host], self.ctx, self.version)[0]
        return Response({"hypervisor": shown})


class HypervisorUptime(ComputeView):
    """`GET /os-hypervisors/{id}/uptime`, until 2.87."""

    until = (2, 87)

    def get(self, request: Request, ident: str) -> Response:
        selectors.hypervisor_list(self.ctx)
        host = host_by(self.version, ident, "Hypervisor")
        uptime = _uptime(host)
        if uptime is None:
            raise Invalid(f"Host {host.name} is down: its uptime is not known.")
        return Response({"hypervisor": _hypervisor_brief(host, self.version) | {"uptime": uptime}})


class HypervisorStatistics(ComputeView):
    """`GET /os-hypervisors/statistics`, until 2.87."""

    until = (2, 87)

    def get(self, request: Request) -> Response:
        counts = selectors.server_counts(self.ctx)
        rows = [_hypervisor(host, (2, 28), counts.get(host.name, 0)) for host in selectors.hypervisor_list(self.ctx)]
        names = (
            "current_workload", "disk_available_least", "free_disk_gb", "free_ram_mb", "local_gb", "local_gb_used",
            "memory_mb", "memory_mb_used", "running_vms", "vcpus", "vcpus_used",
        )  # fmt: skip
        sums = {name: sum(row[name] for row in rows) for name in names}
        return Response({"hypervisor_statistics": {"count": len(rows), **sums}})


class HypervisorSearch(ComputeView):
    """`GET /os-hypervisors/{pattern}/search` and `/servers`, until 2.52."""

    until = (2, 52)
    with_servers = False

    def get(self, request: Request, ident: str) -> Response:
        found = list(selectors.hypervisor_list(self.ctx, pattern=ident))
        if not found:
            raise NotFound(f"No hypervisor matching '{ident}'")
        rows = [_hypervisor_brief(host, self.version) for host in found]
        if self.with_servers:
            rows = [row | one for row, one in zip(rows, _servers(found, self.ctx, self.version), strict=True)]
        return Response({"hypervisors": rows})
