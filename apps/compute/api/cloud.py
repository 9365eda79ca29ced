"""What operators see and change: hypervisors, services, zones, aggregates; and limits, quotas and usage."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import selectors, services
from apps.compute.api.versions import COMPUTE
from apps.compute.models import Aggregate, ServerAny
from apps.compute.states import VM_STATES, ServerState
from apps.core.api import types as t
from apps.core.api.listing import Listing, page_of
from apps.core.api.views import ApiView
from apps.core.errors import Invalid, NotFound
from apps.hosts.models import Host
from apps.identity import services as identity
from apps.network.models import FloatingIp, SecurityGroup

UUIDS = (2, 53)
LEAN = (2, 88)
BINARY = "nova-compute"


def _micros(moment: datetime.datetime | None) -> str | None:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") if moment else None


def _host(version: tuple[int, int], ident: str, noun: str) -> Host:
    """By UUID since 2.53, by number before. Raises NotFound."""
    rows = Host.objects.all()
    try:
        found = rows.filter(pk=t.uuid.parse(ident)) if version >= UUIDS else rows.filter(number=int(ident))
        host = found.first()
    except (ValueError, OverflowError):
        host = None
    if host is None:
        raise NotFound(noun, ident)
    return host


# --- hypervisors -----------------------------------------------------------------------------------


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


class Hypervisors(ApiView):
    """`GET /os-hypervisors` and `/os-hypervisors/detail`."""

    api = COMPUTE
    detail = False

    def get(self, request: Request) -> Response:
        query = request.query_params
        pattern = query.get("hypervisor_hostname_pattern", "") if self.version >= UUIDS else ""
        found = list(selectors.hypervisor_list(self.ctx, pattern=pattern))
        if pattern and not found:
            raise NotFound(f"No hypervisor matching '{pattern}'")
        rows = self._rows(found, with_servers=self.version >= UUIDS and _flag(query, "with_servers"))
        if self.version < (2, 33):
            return Response({"hypervisors": rows})
        limit = query.get("limit", "")
        if limit and (not limit.isdigit() or int(limit) < 1):
            raise Invalid("limit must be a whole number from 1 on", field="limit")
        keyed = [{**row, "id": str(row["id"])} for row in rows]
        page = page_of(keyed, Listing(limit=int(limit) if limit else None, marker=query.get("marker", "")), 1000)
        ids = [str(row["id"]) for row in page.rows]
        body: dict[str, Any] = {"hypervisors": [row for row in rows if str(row["id"]) in set(ids)]}
        if page.more:
            body["hypervisors_links"] = [
                {"rel": "next", "href": f"{self.base}{request.path}?limit={limit}&marker={ids[-1]}"}
            ]
        return Response(body)

    def _rows(self, found: list[Host], *, with_servers: bool) -> list[dict[str, Any]]:
        if not self.detail:
            rows = [_hypervisor_brief(host, self.version) for host in found]
        else:
            counts = selectors.server_counts(self.ctx)
            rows = [_hypervisor(host, self.version, counts.get(host.name, 0)) for host in found]
        if with_servers:
            servers = selectors.servers_by_host(self.ctx, hosts=[host.name for host in found])
            for row, host in zip(rows, found, strict=True):
                if servers[host.name]:
                    row["servers"] = servers[host.name]
        return rows


def _flag(query: Mapping[str, str], name: str) -> bool:
    if name not in query:
        return False
    try:
        return t.parse_flag(query[name])
    except ValueError as error:
        raise Invalid(str(error), field=name) from error


class Hypervisor(ApiView):
    """`GET /os-hypervisors/{id}`."""

    api = COMPUTE

    def get(self, request: Request, ident: str) -> Response:
        selectors.hypervisor_list(self.ctx)
        host = _host(self.version, ident, "Hypervisor")
        counts = selectors.server_counts(self.ctx)
        shown = _hypervisor(host, self.version, counts.get(host.name, 0))
        if self.version >= LEAN or _flag(request.query_params, "with_servers"):
            servers = selectors.servers_by_host(self.ctx, hosts=[host.name])[host.name]
            if servers:
                shown["servers"] = servers
        return Response({"hypervisor": shown})


class HypervisorUptime(ApiView):
    """`GET /os-hypervisors/{id}/uptime`, until 2.87."""

    api = COMPUTE

    def get(self, request: Request, ident: str) -> Response:
        if self.version >= LEAN:
            raise NotFound("The resource")
        selectors.hypervisor_list(self.ctx)
        host = _host(self.version, ident, "Hypervisor")
        uptime = _uptime(host)
        if uptime is None:
            raise Invalid(f"Host {host.name} is down: its uptime is not known.")
        return Response({"hypervisor": _hypervisor_brief(host, self.version) | {"uptime": uptime}})


class HypervisorStatistics(ApiView):
    """`GET /os-hypervisors/statistics`, until 2.87."""

    api = COMPUTE

    def get(self, request: Request) -> Response:
        if self.version >= LEAN:
            raise NotFound("The resource")
        counts = selectors.server_counts(self.ctx)
        rows = [_hypervisor(host, (2, 28), counts.get(host.name, 0)) for host in selectors.hypervisor_list(self.ctx)]
        names = (
            "current_workload", "disk_available_least", "free_disk_gb", "free_ram_mb", "local_gb", "local_gb_used",
            "memory_mb", "memory_mb_used", "running_vms", "vcpus", "vcpus_used",
        )  # fmt: skip
        sums = {name: sum(row[name] for row in rows) for name in names}
        return Response({"hypervisor_statistics": {"count": len(rows), **sums}})


class HypervisorSearch(ApiView):
    """`GET /os-hypervisors/{pattern}/search` and `/servers`, until 2.52."""

    api = COMPUTE
    with_servers = False

    def get(self, request: Request, ident: str) -> Response:
        if self.version >= UUIDS:
            raise NotFound("The resource")
        found = list(selectors.hypervisor_list(self.ctx, pattern=ident))
        if not found:
            raise NotFound(f"No hypervisor matching '{ident}'")
        rows = [_hypervisor_brief(host, self.version) for host in found]
        if self.with_servers:
            servers = selectors.servers_by_host(self.ctx, hosts=[host.name for host in found])
            rows = [
                row | ({"servers": servers[host.name]} if servers[host.name] else {})
                for row, host in zip(rows, found, strict=True)
            ]
        return Response({"hypervisors": rows})


# --- services --------------------------------------------------------------------------------------


def _service(host: Host, version: tuple[int, int]) -> dict[str, Any]:
    shown = {
        "id": str(host.pk) if version >= UUIDS else host.number,
        "binary": BINARY,
        "host": host.name,
        "zone": host.zone,
        "status": "enabled" if host.enabled else "disabled",
        "state": "up" if host.is_up else "down",
        "updated_at": _micros(host.last_seen_at),
        "disabled_reason": host.mode_reason or None,
    }
    return shown | {"forced_down": False} if version >= (2, 11) else shown


SERVICE_BODY = {
    "type": "object",
    "properties": {
        "host": {"type": "string", "minLength": 1, "maxLength": 255},
        "binary": {"type": "string", "minLength": 1, "maxLength": 255},
        "disabled_reason": {"type": "string", "minLength": 1, "maxLength": 255},
        "forced_down": t.loose_flag.schema,
    },
    "required": ["host", "binary"],
    "additionalProperties": False,
}
SERVICE_CHANGE = {
    "type": "object",
    "properties": {
        "status": {"enum": ["enabled", "disabled"]},
        "disabled_reason": {"type": "string", "minLength": 1, "maxLength": 255},
        "forced_down": t.loose_flag.schema,
    },
    "minProperties": 1,
    "additionalProperties": False,
}


def _not_forced(body: Mapping[str, Any]) -> None:
    if "forced_down" in body and t.as_flag(body["forced_down"]):
        raise Invalid(
            "A host is down when it does not answer; it cannot be declared so.",
            field="forced_down",
            hint="Disable it to keep new servers away.",
        )


class Services(ApiView):
    """`GET /os-services`."""

    api = COMPUTE

    def get(self, request: Request) -> Response:
        query = request.query_params
        found = selectors.compute_service_list(self.ctx, host=query.get("host", ""))
        rows = [_service(host, self.version) for host in found if query.get("binary", BINARY) == BINARY]
        return Response({"services": rows})


class Service(ApiView):
    """`PUT` and `DELETE /os-services/{id}`; until 2.52 `PUT` takes `enable`, `disable`, … in the id's place."""

    api = COMPUTE

    def put(self, request: Request, ident: str) -> Response:
        selectors.compute_service_list(self.ctx)
        if self.version < UUIDS:
            return self._older(ident)
        body = self.body(SERVICE_CHANGE)
        _not_forced(body)
        if body.get("status") == "enabled" and "disabled_reason" in body:
            raise Invalid("Specifying 'disabled_reason' when status is 'enabled' is invalid.", field="disabled_reason")
        host = _host(self.version, ident, "Service")
        _switch(self.ctx, host.pk, body.get("status", ""), body.get("disabled_reason", ""))
        host.refresh_from_db()
        return Response({"service": _service(host, self.version)})

    def _older(self, word: str) -> Response:
        statuses = {"enable": "enabled", "disable": "disabled", "disable-log-reason": "disabled", "force-down": ""}
        if word not in statuses or (word == "force-down" and self.version < (2, 11)):
            raise NotFound("Action", word)
        body = self.body(SERVICE_BODY)
        reason = body.get("disabled_reason", "")
        if word == "disable-log-reason" and not reason:
            raise Invalid("Missing disabled reason field", field="disabled_reason")
        host = Host.objects.filter(name=body["host"]).first()
        if host is None or body["binary"] != BINARY:
            raise NotFound(f"Service {body['binary']} on host", body["host"])
        shown: dict[str, Any] = {"host": host.name, "binary": BINARY}
        if word == "force-down":
            _not_forced(body)
            return Response({"service": shown | {"forced_down": False}})
        _switch(self.ctx, host.pk, statuses[word], reason if word == "disable-log-reason" else "")
        shown["status"] = statuses[word]
        if word == "disable-log-reason":
            shown["disabled_reason"] = reason
        return Response({"service": shown})

    def delete(self, request: Request, ident: str) -> Response:
        selectors.compute_service_list(self.ctx)
        host = _host(self.version, ident, "Service")
        services.service_forget(self.ctx, host_id=host.pk)
        return Response(status=204)


def _switch(ctx: Any, host_id: UUID, status: str, reason: str) -> None:
    if status == "enabled":
        services.service_enable(ctx, host_id=host_id)
    elif status == "disabled" or reason:
        services.service_disable(ctx, host_id=host_id, reason=reason)


class Hosts(ApiView):
    """`GET /os-hosts` and `/os-hosts/{name}`, until 2.42."""

    api = COMPUTE

    def get(self, request: Request, name: str = "") -> Response:
        if self.version >= (2, 43):
            raise NotFound("The resource")
        found = list(selectors.compute_service_list(self.ctx, host=name))
        if name and not found:
            raise NotFound("Compute host", name)
        if name:
            servers = selectors.servers_by_host(self.ctx, hosts=[name])[name]
            return Response({"host": _resources(found[0], selectors.server_sums(self.ctx, servers=servers))})
        zone = request.query_params.get("zone", "")
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


class Zones(ApiView):
    """`GET /os-availability-zone` and `/detail`."""

    api = COMPUTE
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
                        "updated_at": _micros(host.last_seen_at),
                    }
                }
                for host in zone["hosts"]
            }
        return shown


def _aggregate(row: Aggregate, version: tuple[int, int], *, created: bool = False) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": row.pk,
        "name": row.name,
        "availability_zone": row.metadata.get("availability_zone"),
        "created_at": _micros(row.created_at),
        "updated_at": _micros(row.updated_at),
        "deleted": False,
        "deleted_at": None,
    }
    if version >= (2, 41):
        shown["uuid"] = str(row.uuid)
    return shown if created else shown | {"hosts": row.hosts, "metadata": row.metadata}


_NAME = t.text(255, least=1, pattern=r"^\S(.*\S)?$").schema
_ZONE = t.text(255, least=1, null=True, pattern=r"^\S(.*\S)?$").schema


def _one(member: str, properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    inner = {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "minProperties": 1,
        "additionalProperties": False,
    }
    return {"type": "object", "properties": {member: inner}, "required": [member], "additionalProperties": False}


class Aggregates(ApiView):
    """`/os-aggregates`."""

    api = COMPUTE
    BODY = _one("aggregate", {"name": _NAME, "availability_zone": _ZONE}, "name")

    def get(self, request: Request) -> Response:
        return Response({"aggregates": [_aggregate(row, self.version) for row in selectors.aggregate_list(self.ctx)]})

    def post(self, request: Request) -> Response:
        row = services.aggregate_create(self.ctx, **self.body(self.BODY)["aggregate"])
        return Response({"aggregate": _aggregate(row, self.version, created=True)})


class AggregateView(ApiView):
    """`/os-aggregates/{id}`."""

    api = COMPUTE
    BODY = _one("aggregate", {"name": _NAME, "availability_zone": _ZONE})

    def get(self, request: Request, ident: str) -> Response:
        return Response({"aggregate": _aggregate(selectors.aggregate_get(self.ctx, aggregate_id=ident), self.version)})

    def put(self, request: Request, ident: str) -> Response:
        row = services.aggregate_update(self.ctx, aggregate_id=ident, **self.body(self.BODY)["aggregate"])
        return Response({"aggregate": _aggregate(row, self.version)})

    def delete(self, request: Request, ident: str) -> Response:
        services.aggregate_delete(self.ctx, aggregate_id=ident)
        return Response(status=200)


class AggregateAction(ApiView):
    """`POST /os-aggregates/{id}/action`."""

    api = COMPUTE
    BODY = {
        "type": "object",
        "properties": {
            "add_host": _one("host", {})["properties"]["host"] | {"properties": {"host": _NAME}, "required": ["host"]},
            "remove_host": _one("host", {})["properties"]["host"]
            | {"properties": {"host": _NAME}, "required": ["host"]},
            "set_metadata": {
                "type": "object",
                "properties": {
                    "metadata": {
                        "type": "object",
                        "patternProperties": {
                            r"^[a-zA-Z0-9\-_:. ]{1,255}$": {"type": ["string", "null"], "maxLength": 255}
                        },
                        "additionalProperties": False,
                    }
                },
                "required": ["metadata"],
                "additionalProperties": False,
            },
        },
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }  # fmt: skip

    def post(self, request: Request, ident: str) -> Response:
        ((name, value),) = self.body(self.BODY).items()
        call: Any = {
            "add_host": services.aggregate_add_host,
            "remove_host": services.aggregate_remove_host,
            "set_metadata": services.aggregate_set_metadata,
        }[name]
        return Response({"aggregate": _aggregate(call(self.ctx, aggregate_id=ident, **value), self.version)})


# --- limits and quotas -----------------------------------------------------------------------------

OLD_NETWORK_QUOTAS = ("fixed_ips", "floating_ips", "security_groups", "security_group_rules")
OLD_FILE_QUOTAS = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")


def _shown(
    limits: Mapping[str, Any], version: tuple[int, int], unlimited: Any, *, classes: bool = False
) -> dict[str, Any]:
    """The quotas that this version has."""
    found = dict(limits)
    if version < ((2, 50) if classes else (2, 36)):
        found |= dict.fromkeys(OLD_NETWORK_QUOTAS, unlimited)
    if version >= (2, 57):
        found = {name: value for name, value in found.items() if name not in OLD_FILE_QUOTAS}
    if classes and version < (2, 50):
        found = {name: value for name, value in found.items() if not name.startswith("server_group")}
    return found


UNLIMITED = -1
UNLIMITED_DETAIL = {"limit": -1, "in_use": 0, "reserved": 0}


class QuotaSet(ApiView):
    """`/os-quota-sets/{project}`, with `/defaults` and `/detail`."""

    api = COMPUTE
    part = ""
    NUMBER = {
        "anyOf": [{"type": "integer", "minimum": -1, "maximum": 2**31 - 1}, {"type": "string", "pattern": "^-?[0-9]+$"}]
    }

    def get(self, request: Request, project_id: str) -> Response:
        if self.part == "detail":
            shown = _shown(services.quota_set_detail(self.ctx, project_id=project_id), self.version, UNLIMITED_DETAIL)
        else:
            read = services.quota_set_defaults if self.part else services.quota_set_get
            shown = _shown(read(self.ctx, project_id=project_id), self.version, UNLIMITED)
        return Response({"quota_set": {"id": project_id, **shown}})

    def put(self, request: Request, project_id: str) -> Response:
        if self.part:
            raise NotFound("The resource")
        if request.query_params.get("user_id"):
            raise Invalid("Quotas of single users are not kept; set the project's.", field="user_id")
        known = _shown(services.quota_set_defaults(self.ctx, project_id=project_id), self.version, UNLIMITED)
        schema = {name: self.NUMBER for name in known} | {"force": t.loose_flag.schema, "tenant_id": {"type": "string"}}
        asked = self.body(_body("quota_set", schema))["quota_set"]
        force = t.as_flag(asked.get("force", False))
        limits = {name: int(value) for name, value in asked.items() if name in known and name not in OLD_NETWORK_QUOTAS}
        kept = services.quota_set_update(self.ctx, project_id=project_id, limits=limits, force=force)
        return Response({"quota_set": _shown(kept, self.version, UNLIMITED)})

    def delete(self, request: Request, project_id: str) -> Response:
        if self.part:
            raise NotFound("The resource")
        services.quota_set_delete(self.ctx, project_id=project_id)
        return Response(status=202)


def _body(member: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    inner = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {"type": "object", "properties": {member: inner}, "required": [member], "additionalProperties": False}


class QuotaClassSet(ApiView):
    """`/os-quota-class-sets/{name}`: there is one class, `default`, the cloud's defaults."""

    api = COMPUTE

    def get(self, request: Request, name: str) -> Response:
        shown = _shown(services.quota_class_get(self.ctx), self.version, UNLIMITED, classes=True)
        return Response({"quota_class_set": {"id": name, **shown}})

    def put(self, request: Request, name: str) -> Response:
        known = _shown(services.quota_class_get(self.ctx), self.version, UNLIMITED, classes=True)
        asked = self.body(_body("quota_class_set", {one: QuotaSet.NUMBER for one in known}))["quota_class_set"]
        if name != "default":
            raise Invalid("There is one quota class: default.", field="quota_class_set")
        limits = {one: int(value) for one, value in asked.items() if one not in OLD_NETWORK_QUOTAS}
        kept = services.quota_class_update(self.ctx, limits=limits)
        return Response({"quota_class_set": _shown(kept, self.version, UNLIMITED, classes=True)})


class Limits(ApiView):
    """`GET /limits`."""

    api = COMPUTE

    def get(self, request: Request) -> Response:
        project = request.query_params.get("tenant_id", "")
        found = services.limits_get(self.ctx, project_id=project)
        limits, used = found["limits"], found["used"]
        absolute = {
            "maxTotalInstances": limits["instances"],
            "maxTotalCores": limits["cores"],
            "maxTotalRAMSize": limits["ram"],
            "maxServerMeta": limits["metadata_items"],
            "maxTotalKeypairs": limits["key_pairs"],
            "maxServerGroups": limits["server_groups"],
            "maxServerGroupMembers": limits["server_group_members"],
            "totalInstancesUsed": used["instances"],
            "totalCoresUsed": used["cores"],
            "totalRAMUsed": used["ram"],
            "totalServerGroupsUsed": used["server_groups"],
        }
        if self.version < (2, 39):
            absolute["maxImageMeta"] = limits["metadata_items"]
        if self.version < (2, 57):
            absolute["maxPersonality"] = limits["injected_files"]
            absolute["maxPersonalitySize"] = limits["injected_file_content_bytes"]
        if self.version < (2, 36):
            absolute |= self._network(project or self.ctx.project_id)
        return Response({"limits": {"rate": [], "absolute": absolute}})

    def _network(self, project_id: str) -> dict[str, int]:
        limits = identity.limits_of(self.ctx, project_id=project_id, service="network")
        return {
            "maxTotalFloatingIps": limits.get("floatingip", UNLIMITED),
            "maxSecurityGroups": limits.get("security_group", UNLIMITED),
            "maxSecurityGroupRules": limits.get("security_group_rule", UNLIMITED),
            "totalFloatingIpsUsed": FloatingIp.objects.filter(project_id=project_id).count(),
            "totalSecurityGroupsUsed": SecurityGroup.objects.filter(project_id=project_id).count(),
        }


# --- usage -----------------------------------------------------------------------------------------


def _period(query: Mapping[str, str]) -> tuple[datetime.datetime, datetime.datetime]:
    """`start` and `end`, by default the last four weeks. Raises Invalid."""
    now = timezone.now()
    found = {}
    for name, default in (("start", now - datetime.timedelta(weeks=4)), ("end", now)):
        try:
            found[name] = t.parse_time(query[name]) if query.get(name) else default
        except ValueError as error:
            raise Invalid(f"Datetime is in invalid format: {query[name]!r}", field=name) from error
    if found["end"] < found["start"]:
        raise Invalid("Invalid start time. The start time cannot occur after the end time.", field="start")
    return found["start"], found["end"]


def _server_usage(row: ServerAny, start: datetime.datetime, stop: datetime.datetime) -> dict[str, Any]:
    ended = row.deleted_at or row.deleting_at
    launched = row.launched_at
    assert launched is not None
    seconds = max((min(ended or stop, stop) - max(launched, start)).total_seconds(), 0)
    now = timezone.now()
    return {
        "instance_id": str(row.pk),
        "name": row.name,
        "tenant_id": row.project_id,
        "flavor": row.flavor["name"],
        "vcpus": row.vcpus,
        "memory_mb": row.ram_mib,
        "local_gb": row.flavor["disk"] + row.flavor["ephemeral"],
        "hours": seconds / 3600,
        "started_at": _micros(launched),
        "ended_at": _micros(ended),
        "state": "terminated" if ended else VM_STATES[ServerState(row.state)],
        "uptime": int(((ended or now) - launched).total_seconds()),
    }


def _usage(
    project_id: str, rows: Iterable[ServerAny], start: datetime.datetime, stop: datetime.datetime, detailed: bool
) -> dict[str, Any]:
    servers = [_server_usage(row, start, stop) for row in rows]
    shown: dict[str, Any] = {
        "tenant_id": project_id,
        "start": _micros(start),
        "stop": _micros(stop),
        "total_hours": sum(one["hours"] for one in servers),
        "total_vcpus_usage": sum(one["hours"] * one["vcpus"] for one in servers),
        "total_memory_mb_usage": sum(one["hours"] * one["memory_mb"] for one in servers),
        "total_local_gb_usage": sum(one["hours"] * one["local_gb"] for one in servers),
    }
    return shown | {"server_usages": servers} if detailed else shown


class Usages(ApiView):
    """`GET /os-simple-tenant-usage`."""

    api = COMPUTE

    def get(self, request: Request) -> Response:
        start, stop = _period(request.query_params)
        rows = selectors.usage_list(self.ctx, start=start, stop=stop)
        by_project: dict[str, list[ServerAny]] = {}
        for row in rows:
            by_project.setdefault(row.project_id, []).append(row)
        detailed = request.query_params.get("detailed") == "1"
        return Response(
            {"tenant_usages": [_usage(name, found, start, stop, detailed) for name, found in by_project.items()]}
        )


class Usage(ApiView):
    """`GET /os-simple-tenant-usage/{project}`."""

    api = COMPUTE

    def get(self, request: Request, project_id: str) -> Response:
        start, stop = _period(request.query_params)
        rows = selectors.usage_get(self.ctx, project_id=project_id, start=start, stop=stop)
        return Response({"tenant_usage": _usage(project_id, rows, start, stop, True) if rows else {}})


# --- extensions ------------------------------------------------------------------------------------

EXTENSIONS = (
    "NMN", "OS-DCF", "OS-EXT-AZ", "OS-EXT-IMG-SIZE", "OS-EXT-IPS", "OS-EXT-IPS-MAC", "OS-EXT-SRV-ATTR", "OS-EXT-STS",
    "OS-FLV-DISABLED", "OS-FLV-EXT-DATA", "OS-SCH-HNT", "OS-SRV-USG", "os-access-ips", "os-admin-actions",
    "os-aggregates", "os-attach-interfaces", "os-availability-zone", "os-config-drive", "os-console-output",
    "os-consoles", "os-create-server-ext", "os-deferred-delete", "os-extended-availability-zone",
    "os-extended-server-attributes", "os-extended-status", "os-flavor-access", "os-flavor-extra-specs",
    "os-flavor-manage", "os-flavor-rxtx", "os-flavor-swap", "os-hosts", "os-hypervisors", "os-instance-actions",
    "os-keypairs", "os-lock-server", "os-multiple-create", "os-pause-server", "os-personality", "os-quota-class-sets",
    "os-quota-sets", "os-remote-consoles", "os-security-groups", "os-server-groups", "os-server-usage",
    "os-services", "os-simple-tenant-usage", "os-suspend-server", "os-used-limits", "os-user-data", "server-metadata",
)  # fmt: skip


def _extension(alias: str) -> dict[str, Any]:
    return {
        "alias": alias,
        "name": alias.removeprefix("os-").replace("-", " ").title().replace(" ", ""),
        "description": f"{alias}, part of the API since 2.1.",
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "links": [],
        "updated": "2014-12-03T00:00:00Z",
    }


class Extensions(ApiView):
    """`GET /extensions` and `/extensions/{alias}`: what was optional before 2.1."""

    api = COMPUTE

    def get(self, request: Request, alias: str = "") -> Response:
        selectors.extensions_check(self.ctx)
        if not alias:
            return Response({"extensions": [_extension(one) for one in EXTENSIONS]})
        if alias not in EXTENSIONS:
            raise NotFound("Extension", alias)
        return Response({"extension": _extension(alias)})
