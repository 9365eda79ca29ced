"""What a server is inside: its counters, the password its guest made, the shape of its machine."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from agents.contracts import Diagnostics, Power
from apps.compute import selectors, services
from apps.compute.api.base import ComputeView
from apps.compute.models import Server
from apps.core.clock import database_time

POWER_WORDS = {Power.SHUTOFF: "shutdown", Power.MISSING: "pending"}  # where the API's word is another
KIB_IN_MIB = 1024


class ServerDiagnostics(ComputeView):
    """`GET /servers/{id}/diagnostics`: the hypervisor's own counters until 2.47, one form for all since 2.48."""

    def get(self, request: Request, server_id: str) -> Response:
        server, found = services.server_diagnostics(self.ctx, server_id=server_id)
        return Response(_plain(found) if self.version < (2, 48) else _standard(server, found))


def _plain(found: Diagnostics) -> dict[str, int]:
    """Names and units as libvirt has them: bytes, nanoseconds, KiB; errors that are not counted are -1."""
    shown = {f"cpu{vcpu.number}_time": vcpu.time_ns for vcpu in found.vcpus}
    for disk in found.disks:
        shown |= {
            f"{disk.name}_read": disk.read_bytes,
            f"{disk.name}_read_req": disk.read_requests,
            f"{disk.name}_write": disk.write_bytes,
            f"{disk.name}_write_req": disk.write_requests,
            f"{disk.name}_errors": -1 if disk.errors is None else disk.errors,
        }
    for nic in found.nics:
        for way in ("rx", "tx"):
            shown[f"{nic.name}_{way}"] = getattr(nic, f"{way}_bytes")
            shown |= {
                f"{nic.name}_{way}_{what}": getattr(nic, f"{way}_{what}") for what in ("packets", "errors", "drop")
            }
    shown["memory"] = found.memory_kib
    return shown | {f"memory-{name}": value for name, value in found.memory_stats_kib.items()}


def _standard(server: Server, found: Diagnostics) -> dict[str, Any]:
    """Null is what no hypervisor here tells."""
    launched = server.launched_at
    return {
        "state": POWER_WORDS.get(found.power, found.power.value),
        "driver": found.driver,
        "hypervisor": found.virtualization,
        "hypervisor_os": "linux",
        "uptime": int((database_time() - launched).total_seconds()) if launched else None,
        "config_drive": server.config_drive,
        "num_cpus": len(found.vcpus),
        "num_nics": len(found.nics),
        "num_disks": len(found.disks),
        "memory_details": {"maximum": found.memory_kib // KIB_IN_MIB, "used": _memory_used(found.memory_stats_kib)},
        "cpu_details": [{"id": vcpu.number, "time": vcpu.time_ns, "utilisation": None} for vcpu in found.vcpus],
        "disk_details": [
            {
                "read_bytes": disk.read_bytes,
                "read_requests": disk.read_requests,
                "write_bytes": disk.write_bytes,
                "write_requests": disk.write_requests,
                "errors_count": disk.errors,
            }
            for disk in found.disks
        ],
        "nic_details": [
            {"mac_address": nic.mac}
            | {
                f"{way}_{shown}": getattr(nic, f"{way}_{kept}") if kept else None
                for way in ("rx", "tx")
                for shown, kept in (
                    ("octets", "bytes"), ("errors", "errors"), ("drop", "drop"), ("packets", "packets"), ("rate", ""),
                )
            }
            for nic in found.nics
        ],
    }  # fmt: skip


def _memory_used(stats_kib: dict[str, int]) -> int | None:
    """MiB in use by the guest, which only its balloon driver knows."""
    if "available" not in stats_kib or "unused" not in stats_kib:
        return None
    return max(stats_kib["available"] - stats_kib["unused"], 0) // KIB_IN_MIB


class ServerPassword(ComputeView):
    """`/servers/{id}/os-server-password`: what the guest posted, encrypted with its user's public key."""

    def get(self, request: Request, server_id: str) -> Response:
        return Response({"password": selectors.server_password_get(self.ctx, server_id=server_id)})

    def delete(self, request: Request, server_id: str) -> Response:
        services.server_password_clear(self.ctx, server_id=server_id)
        return Response(status=204)


class ServerTopology(ComputeView):
    """`GET /servers/{id}/topology`, since 2.78: no machine here is divided into NUMA nodes."""

    since = (2, 78)

    def get(self, request: Request, server_id: str) -> Response:
        selectors.server_topology_check(self.ctx, server_id=server_id)
        return Response({"nodes": [], "pagesize_kb": None})
