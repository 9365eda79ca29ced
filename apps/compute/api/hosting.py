"""Hosts as services: switching them on and off, and the zones they stand in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import selectors, services
from apps.compute.api.base import UUIDS, ComputeView, Query, host_by, micros
from apps.core import policy
from apps.core.api import types as t
from apps.core.errors import Invalid, NotFound
from apps.hosts.models import Host

BINARY = "nova-compute"


def _service(host: Host, version: tuple[int, int]) -> dict[str, Any]:
    shown = {
        "id": str(host.pk) if version >= UUIDS else host.number,
        "binary": BINARY,
        "host": host.name,
        "zone": host.zone,
        "status": "enabled" if host.enabled else "disabled",
        "state": "up" if host.is_up else "down",
        "updated_at": micros(host.last_seen_at),
        "disabled_reason": host.mode_reason or None,
    }
    return shown | {"forced_down": host.forced_down} if version >= (2, 11) else shown


_TEXT = t.text(255, least=1).schema
_OLDER: dict[str, Any] = {
    "type": "object",
    "properties": {"host": _TEXT, "binary": _TEXT, "disabled_reason": _TEXT},
    "required": ["host", "binary"],
    "additionalProperties": False,
}
_OLDER_2_11 = _OLDER | {"properties": _OLDER["properties"] | {"forced_down": t.loose_flag.schema}}
_CHANGE = {
    "type": "object",
    "properties": {
        "status": {"enum": ["enabled", "disabled"]},
        "disabled_reason": _TEXT,
        "forced_down": t.loose_flag.schema,
    },
    "additionalProperties": False,
}


class Services(ComputeView):
    """`GET /os-services`."""

    takes = Query({"host": (2, 1), "binary": (2, 1)})

    def get(self, request: Request) -> Response:
        found = selectors.compute_service_list(self.ctx, host=self.query.get("host", ""))
        rows = [_service(host, self.version) for host in found if self.query.get("binary", BINARY) == BINARY]
        return Response({"services": rows})


class Service(ComputeView):
    """`PUT` and `DELETE /os-services/{id}`; until 2.52 `PUT` takes `enable`, `disable`, … in the id's place."""

    def put(self, request: Request, ident: str) -> Response:
        selectors.compute_service_list(self.ctx)
        return self._older(ident) if self.version < UUIDS else self._change(ident)

    def delete(self, request: Request, ident: str) -> Response:
        selectors.compute_service_list(self.ctx)
        host = host_by(self.version, ident, "Service")
        services.service_forget(self.ctx, host_id=host.pk)
        return Response(status=204)

    def _change(self, ident: str) -> Response:
        asked = self.body(_CHANGE)
        host = host_by(self.version, ident, "Service")
        status = asked.get("status", "")
        if status == "enabled" and "disabled_reason" in asked:
            raise Invalid("Specifying 'disabled_reason' with status 'enabled' is invalid.", field="disabled_reason")
        if not status and "forced_down" not in asked:
            raise Invalid("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
        if status:
            self._switch(host, status, asked.get("disabled_reason", ""))
        if "forced_down" in asked:
            services.service_force_down(self.ctx, host_id=host.pk, forced=t.as_flag(asked["forced_down"]))
        host.refresh_from_db()
        return Response({"service": _service(host, self.version)})

    def _older(self, word: str) -> Response:
        asked = self.body(_OLDER if self.version < (2, 11) else _OLDER_2_11)
        steps = {"enable": self._enable, "disable": self._disable, "disable-log-reason": self._disable_with_reason}
        if self.version >= (2, 11):
            steps["force-down"] = self._force_down
        if word not in steps:
            raise NotFound("Action", word)
        if asked["binary"] != BINARY:
            raise Invalid(f"Updating a {asked['binary']} service is not supported.", field="binary")
        host = Host.objects.filter(name=asked["host"]).first()
        if host is None:
            raise NotFound(f"Service {BINARY} on host", asked["host"])
        return Response({"service": {"host": host.name, "binary": BINARY} | steps[word](host, asked)})

    def _enable(self, host: Host, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._switch(host, "enabled")
        return {"status": "enabled"}

    def _disable(self, host: Host, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._switch(host, "disabled")
        return {"status": "disabled"}

    def _disable_with_reason(self, host: Host, asked: Mapping[str, Any]) -> dict[str, Any]:
        if "disabled_reason" not in asked:
            raise Invalid("Missing disabled reason field", field="disabled_reason")
        self._switch(host, "disabled", asked["disabled_reason"])
        return {"status": "disabled", "disabled_reason": asked["disabled_reason"]}

    def _force_down(self, host: Host, asked: Mapping[str, Any]) -> dict[str, Any]:
        if "forced_down" not in asked:
            raise Invalid("Missing forced_down field", field="forced_down")
        forced = t.as_flag(asked["forced_down"])
        services.service_force_down(self.ctx, host_id=host.pk, forced=forced)
        return {"forced_down": forced}

    def _switch(self, host: Host, status: str, reason: str = "") -> None:
        if status == "enabled":
            services.service_enable(self.ctx, host_id=host.pk)
        else:
            services.service_disable(self.ctx, host_id=host.pk, reason=reason)


class Hosts(ComputeView):
    """`GET /os-hosts` and `/os-hosts/{name}`, until 2.42."""

    until = (2, 42)

    def get(self, request: Request, name: str = "") -> Response:
        policy.enforce(self.ctx, f"os_compute_api:os-hosts:{'show' if name else 'list'}")
        found = list(selectors.compute_service_list(self.ctx, host=name))
        if name and not found:
            raise NotFound("Compute host", name)
        if name:
            servers = selectors.servers_by_host(self.ctx, hosts=[name])[name]
            return Response({"host": _resources(found[0], selectors.server_sums(self.ctx, servers=servers))})
        zone = self.query.get("zone", "")
        rows = [{"host_name": h.name, "service": "compute", "zone": h.zone} for h in found if zone in {"", h.zone}]
        return Response({"hosts": rows})


def _resources(host: Host, used: Mapping[str, tuple[int, int, int]]) -> list[dict[str, Any]]:
    """What a host has, what is used of it, and by whom."""
    rows = [("(total)", host.vcpus, host.ram_mib, host.disk_gib)]
    rows.append(("(used_now)", host.used_vcpus, host.used_ram_mib, host.used_disk_gib))
    rows += [(project, *sums) for project, sums in sorted(used.items())]
    return [
        {"resource": {"project": who, "host": host.name, "cpu": vcpus, "memory_mb": ram, "disk_gb": disk}}
        for who, vcpus, ram, disk in rows
    ]


# --- zones and aggregates --------------------------------------------------------------------------


class Zones(ComputeView):
    """`GET /os-availability-zone` and `/detail`."""

    detail = False

    def get(self, request: Request) -> Response:
        zones = (selectors.zone_detail if self.detail else selectors.zone_list)(self.ctx)
        return Response({"availabilityZoneInfo": [self._zone(zone) for zone in zones]})

    def _zone(self, zone: Mapping[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "zoneName": zone["name"],
            "zoneState": {"available": zone["available"]},
            "hosts": None,
        }
        if self.detail:
            shown["hosts"] = {
                host.name: {
                    BINARY: {
                        "available": host.is_up,
                        "active": host.enabled,
                        "updated_at": micros(host.last_seen_at),
                    }
                }
                for host in zone["hosts"]
            }
        return shown
