"""Quotas of projects, their users and the cloud, and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import services
from apps.compute.api.base import ComputeView, Query, wrapped_object
from apps.core.api import types as t
from apps.core.errors import Invalid
from apps.identity import services as identity
from apps.network.models import FloatingIp, SecurityGroup

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


NUMBER = {
    "anyOf": [{"type": "integer", "minimum": -1, "maximum": 2**31 - 1}, {"type": "string", "pattern": "^-?[0-9]+$"}]
}


class QuotaSet(ComputeView):
    """`/os-quota-sets/{project}`: of a project, or with `?user_id=` of one user in it."""

    takes = Query({"user_id": (2, 1)})

    @property
    def user_id(self) -> str:
        return self.query.get("user_id", "")

    def get(self, request: Request, project_id: str) -> Response:
        limits = services.quota_set_get(self.ctx, project_id=project_id, user_id=self.user_id)
        return Response({"quota_set": {"id": project_id, **_shown(limits, self.version, UNLIMITED)}})

    def put(self, request: Request, project_id: str) -> Response:
        known = _shown(services.quota_set_defaults(self.ctx, project_id=project_id), self.version, UNLIMITED)
        schema = dict.fromkeys(known, NUMBER) | {"force": t.loose_flag.schema, "tenant_id": {"type": "string"}}
        asked = self.body(wrapped_object("quota_set", schema, least=0))["quota_set"]
        kept = services.quota_set_update(
            self.ctx,
            project_id=project_id,
            user_id=self.user_id,
            limits=_asked(asked, known),
            force=t.as_flag(asked.get("force", False)),
        )
        return Response({"quota_set": _shown(kept, self.version, UNLIMITED)})

    def delete(self, request: Request, project_id: str) -> Response:
        services.quota_set_delete(self.ctx, project_id=project_id, user_id=self.user_id)
        return Response(status=202)


class QuotaSetDetail(QuotaSet):
    """`GET /os-quota-sets/{project}/detail`."""

    http_method_names = ["get", "head"]

    def get(self, request: Request, project_id: str) -> Response:
        found = services.quota_set_detail(self.ctx, project_id=project_id, user_id=self.user_id)
        return Response({"quota_set": {"id": project_id, **_shown(found, self.version, UNLIMITED_DETAIL)}})


class QuotaSetDefaults(ComputeView):
    """`GET /os-quota-sets/{project}/defaults`."""

    def get(self, request: Request, project_id: str) -> Response:
        shown = _shown(services.quota_set_defaults(self.ctx, project_id=project_id), self.version, UNLIMITED)
        return Response({"quota_set": {"id": project_id, **shown}})


def _asked(asked: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, int]:
    """The limits of a body that are kept here; those of the network belong to its own API."""
    return {name: int(value) for name, value in asked.items() if name in known and name not in OLD_NETWORK_QUOTAS}


class QuotaClassSet(ComputeView):
    """`/os-quota-class-sets/{name}`: there is one class, `default`, the cloud's defaults."""

    def get(self, request: Request, name: str) -> Response:
        shown = _shown(services.quota_class_get(self.ctx), self.version, UNLIMITED, classes=True)
        return Response({"quota_class_set": {"id": name, **shown}})

    def put(self, request: Request, name: str) -> Response:
        known = _shown(services.quota_class_get(self.ctx), self.version, UNLIMITED, classes=True)
        asked = self.body(wrapped_object("quota_class_set", dict.fromkeys(known, NUMBER), least=0))["quota_class_set"]
        if name != "default":
            raise Invalid("There is one quota class: default.", field="quota_class_set")
        kept = services.quota_class_update(self.ctx, limits=_asked(asked, known))
        return Response({"quota_class_set": _shown(kept, self.version, UNLIMITED, classes=True)})


class Limits(ComputeView):
    """`GET /limits`."""

    takes = Query({"tenant_id": (2, 1)})

    def get(self, request: Request) -> Response:
        project = self.query.get("tenant_id", "")
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
