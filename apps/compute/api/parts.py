"""What hangs on a server: addresses, metadata, tags, groups, interfaces, actions, diagnostics."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import selectors, services
from apps.compute.api.base import ComputeView, Query, micros, moment_of, wrapped
from apps.compute.models import Server
from apps.compute.resources.servers import METADATA, TAG, TAGS, render_addresses
from apps.core import policy
from apps.core.api import schema as schemas
from apps.core.api import types as t
from apps.core.errors import Invalid, NotFound
from apps.network.models import Port
from apps.operations.models import Operation, Step

# --- addresses -------------------------------------------------------------------------------------


class Addresses(ComputeView):
    """`GET /servers/{id}/ips` and `/ips/{network}`."""

    def get(self, request: Request, server_id: str, label: str = "") -> Response:
        found = render_addresses(selectors.server_address_list(self.ctx, server_id=server_id))
        plain = {
            name: [{"version": one["version"], "addr": one["addr"]} for one in addresses]
            for name, addresses in found.items()
        }
        if not label:
            return Response({"addresses": plain})
        if label not in plain:
            raise NotFound("Network", label)
        return Response({label: plain[label]})


# --- metadata --------------------------------------------------------------------------------------


class Metadata(ComputeView):
    """`/servers/{id}/metadata`."""

    BODY = wrapped("metadata", METADATA.schema)

    def get(self, request: Request, server_id: str) -> Response:
        return Response({"metadata": selectors.server_metadata_list(self.ctx, server_id=server_id)})

    def post(self, request: Request, server_id: str) -> Response:
        items = self.body(self.BODY)["metadata"]
        return Response({"metadata": services.server_metadata_add(self.ctx, server_id=server_id, metadata=items)})

    def put(self, request: Request, server_id: str) -> Response:
        items = self.body(self.BODY)["metadata"]
        return Response({"metadata": services.server_metadata_replace(self.ctx, server_id=server_id, metadata=items)})


class MetadataItem(ComputeView):
    """`/servers/{id}/metadata/{key}`."""

    BODY = wrapped("meta", {**METADATA.schema, "minProperties": 1, "maxProperties": 1})

    def get(self, request: Request, server_id: str, key: str) -> Response:
        return Response({"meta": selectors.server_metadata_get(self.ctx, server_id=server_id, key=key)})

    def put(self, request: Request, server_id: str, key: str) -> Response:
        meta = self.body(self.BODY)["meta"]
        return Response({"meta": services.server_metadata_set(self.ctx, server_id=server_id, key=key, meta=meta)})

    def delete(self, request: Request, server_id: str, key: str) -> Response:
        services.server_metadata_delete(self.ctx, server_id=server_id, key=key)
        return Response(status=204)


# --- tags ------------------------------------------------------------------------------------------


class _SinceTags(ComputeView):
    since = (2, 26)


class Tags(_SinceTags):
    """`/servers/{id}/tags`."""

    BODY = wrapped("tags", TAGS.schema)

    def get(self, request: Request, server_id: str) -> Response:
        return Response({"tags": selectors.server_tag_list(self.ctx, server_id=server_id)})

    def put(self, request: Request, server_id: str) -> Response:
        tags = self.body(self.BODY)["tags"]
        return Response({"tags": services.server_tags_replace(self.ctx, server_id=server_id, tags=tags)})

    def delete(self, request: Request, server_id: str) -> Response:
        services.server_tags_clear(self.ctx, server_id=server_id)
        return Response(status=204)


class Tag(_SinceTags):
    """`/servers/{id}/tags/{tag}`."""

    def get(self, request: Request, server_id: str, tag: str) -> Response:
        selectors.server_tag_check(self.ctx, server_id=server_id, tag=tag)
        return Response(status=204)

    def put(self, request: Request, server_id: str, tag: str) -> Response:
        schemas.validate(TAG.schema, tag)
        new = services.server_tag_add(self.ctx, server_id=server_id, tag=tag)
        return Response(status=201 if new else 204, headers={"Location": f"{self.base}{request.path}"})

    def delete(self, request: Request, server_id: str, tag: str) -> Response:
        services.server_tag_remove(self.ctx, server_id=server_id, tag=tag)
        return Response(status=204)


# --- interfaces and groups -------------------------------------------------------------------------


ADDRESS = t.Type({"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]})
FIXED_IPS = t.Type(
    {
        "type": "array",
        "minItems": 1,
        "maxItems": 1,
        "items": t.shape({"ip_address": ADDRESS}, required=("ip_address",)).schema,
    }
)


def _attachment_body(**more: t.Type) -> dict[str, Any]:
    known = {"net_id": t.uuid, "port_id": t.uuid, "fixed_ips": FIXED_IPS}
    return dict(t.shape({"interfaceAttachment": t.shape(known | more)}).schema)


class Interfaces(ComputeView):
    """`/servers/{id}/os-interface`."""

    BODY = _attachment_body()
    BODY_TAGGED = _attachment_body(tag=TAG)

    def get(self, request: Request, server_id: str) -> Response:
        server, ports = selectors.server_interface_list(self.ctx, server_id=server_id)
        return Response({"interfaceAttachments": [_attachment(server, port, self.version) for port in ports]})

    def post(self, request: Request, server_id: str) -> Response:
        body = self.BODY if self.version < (2, 49) else self.BODY_TAGGED
        asked = (self.body(body) or {}).get("interfaceAttachment", {})
        port = services.server_interface_attach(
            self.ctx,
            server_id=server_id,
            port_id=asked.get("port_id", ""),
            net_id=asked.get("net_id", ""),
            fixed_ips=asked.get("fixed_ips", ()),
            tag=asked.get("tag", ""),
        )
        server, port = selectors.server_interface_get(self.ctx, server_id=server_id, port_id=str(port.pk))
        return Response({"interfaceAttachment": _attachment(server, port, self.version)})


class Interface(ComputeView):
    """`/servers/{id}/os-interface/{port}`."""

    def get(self, request: Request, server_id: str, port_id: str) -> Response:
        server, port = selectors.server_interface_get(self.ctx, server_id=server_id, port_id=port_id)
        return Response({"interfaceAttachment": _attachment(server, port, self.version)})

    def delete(self, request: Request, server_id: str, port_id: str) -> Response:
        services.server_interface_detach(self.ctx, server_id=server_id, port_id=port_id)
        return Response(status=202)


def _attachment(server: Server, port: Port, version: tuple[int, int]) -> dict[str, Any]:
    shown = {
        "port_state": port.status,
        "fixed_ips": [{"subnet_id": str(f.subnet_id), "ip_address": str(f.address)} for f in port.fixed_ips.all()],
        "port_id": str(port.pk),
        "net_id": str(port.network_id),
        "mac_addr": port.mac_address,
    }
    return shown | {"tag": server.device_tags.get(str(port.pk))} if version >= (2, 70) else shown


class ServerGroupsOfServer(ComputeView):
    """`GET /servers/{id}/os-security-groups`."""

    def get(self, request: Request, server_id: str) -> Response:
        groups = selectors.server_security_group_list(self.ctx, server_id=server_id)
        return Response({"security_groups": groups})


# --- actions ---------------------------------------------------------------------------------------

ACTION_NAMES = {"reboot_hard": "reboot"}


def _action(operation: Operation, version: tuple[int, int]) -> dict[str, Any]:
    name = operation.kind.rsplit(".", 1)[-1]
    shown = {
        "action": ACTION_NAMES.get(name, name),
        "instance_uuid": operation.subject_id,
        "request_id": operation.request_id,
        "user_id": operation.actor.get("user_id", ""),
        "project_id": operation.project_id,
        "start_time": micros(operation.created_at),
        "message": "Error" if operation.error else None,
    }
    if version >= (2, 58):
        shown["updated_at"] = micros(operation.updated_at or operation.created_at)
    return shown


class InstanceActions(ComputeView):
    """`GET /servers/{id}/os-instance-actions`: the operations of a server."""

    takes = Query(
        {"limit": (2, 58), "marker": (2, 58), "changes-since": (2, 58), "changes-before": (2, 66)}, strict=(2, 58)
    )

    def get(self, request: Request, server_id: str) -> Response:
        query = self.query
        asked = {name: moment_of(query, name) for name in ("changes-since", "changes-before")}
        times = {name.replace("-", "_"): moment for name, moment in asked.items() if moment}
        operations = selectors.server_action_list(
            self.ctx, server_id=server_id, with_deleted=self.version >= (2, 21), **times
        )
        if self.version < (2, 58):
            return Response({"instanceActions": [_action(one, self.version) for one in operations]})
        page, following = _page(list(operations), query)
        body: dict[str, Any] = {"instanceActions": [_action(one, self.version) for one in page]}
        if following:
            link = f"{self.base}{request.path}?{urlencode({'limit': query['limit'], 'marker': following})}"
            body["links"] = [{"rel": "next", "href": link}]
        return Response(body)


def _page(operations: list[Operation], query: Mapping[str, str]) -> tuple[list[Operation], str]:
    start = 0
    if marker := query.get("marker"):
        ids = [one.request_id for one in operations]
        if marker not in ids:
            raise Invalid(f"marker [{marker}] not found", field="marker")
        start = ids.index(marker) + 1
    text = query.get("limit", "")
    if text and not text.isdigit():
        raise Invalid("limit must be a whole number that is not negative", field="limit")
    rest = operations[start:]
    limit = int(text) if text else len(rest)
    page = rest[:limit]
    return page, page[-1].request_id if page and len(rest) > limit else ""


class InstanceAction(ComputeView):
    """`GET /servers/{id}/os-instance-actions/{request_id}`: one, with its steps as events."""

    def get(self, request: Request, server_id: str, request_id: str) -> Response:
        operation, steps = selectors.server_action_get(
            self.ctx, server_id=server_id, request_id=request_id, with_deleted=self.version >= (2, 21)
        )
        shown = _action(operation, self.version)
        in_full = policy.allowed(self.ctx, "os_compute_api:os-instance-actions:events")
        if in_full or self.version >= (2, 51):
            shown["events"] = [self._event(operation, step, in_full) for step in steps]
        return Response({"instanceAction": shown})

    def _event(self, operation: Operation, step: Step, in_full: bool) -> dict[str, Any]:
        failed = bool(step.error)
        shown: dict[str, Any] = {
            "event": f"{operation.kind.split('.')[0]}_{operation.kind.rsplit('.', 1)[-1]}_{step.name}",
            "start_time": micros(step.started_at),
            "finish_time": micros(step.finished_at),
            "result": ("Error" if failed else "Success") if step.finished_at or failed else None,
        }
        if in_full:
            shown["traceback"] = (step.error or {}).get("traceback") or None
        if self.version >= (2, 62):
            digest = hashlib.sha224(f"{operation.project_id}{step.host}".encode()).hexdigest()
            shown["hostId"] = digest if step.host else ""
            if in_full:
                shown["host"] = step.host
        if self.version >= (2, 84) and policy.allowed(self.ctx, "os_compute_api:os-instance-actions:events:details"):
            shown["details"] = (step.error or {}).get("message") or None
        return shown


class PlacementDecision(ComputeView):
    """`GET /servers/{id}/kumo-decision`: how its place was chosen, or why none was found. Kumo's own call."""

    def get(self, request: Request, server_id: str) -> Response:
        return Response({"decision": selectors.server_decision_get(self.ctx, server_id=server_id)})
