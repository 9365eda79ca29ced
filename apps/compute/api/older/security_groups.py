"""Security groups and their rules."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute.api.older.base import TEXT, OlderView, as_invalid, body
from apps.compute.selectors._common import as_uuid, key
from apps.compute.selectors.parts import older_group, older_rule
from apps.core.api import types as t
from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound
from apps.network import services as network
from apps.network.models import SecurityGroup, SecurityGroupRule

GROUP_BODY = body("security_group", {"name": {**TEXT, "minLength": 1, "pattern": r"\S"}, "description": TEXT}, "name")


def _groups(ctx: RequestContext) -> Any:
    if ctx.project_id:
        network.default_group(ctx, project_id=ctx.project_id)
    found = SecurityGroup.objects.filter(project_id=ctx.project_id)
    return found.prefetch_related("rules__remote_group").order_by("created_at", "pk")


def _group(ctx: RequestContext, ident: str) -> SecurityGroup:
    rows = SecurityGroup.objects.visible(ctx).prefetch_related("rules__remote_group")
    found: SecurityGroup | None = rows.filter(pk=key(ident)).first()
    if found is None:
        raise NotFound("Security group", ident)
    return found


class SecurityGroups(OlderView):
    """`/os-security-groups`."""

    rules = {"GET": "os-security-groups:get", "POST": "os-security-groups:create"}

    def get(self, request: Request) -> Response:
        rows = _groups(self.ctx)
        if t.parse_flag(request.query_params.get("all_tenants") or "0") and self.ctx.is_admin:
            rows = SecurityGroup.objects.prefetch_related("rules__remote_group").order_by("created_at", "pk")
        return Response({"security_groups": [older_group(group) for group in rows]})

    def post(self, request: Request) -> Response:
        asked = self.body(GROUP_BODY)["security_group"]
        made = as_invalid(
            network.security_group_create,
            self.ctx,
            name=asked["name"],
            description=asked.get("description") or "",
        )
        return Response({"security_group": older_group(_group(self.ctx, str(made.pk)))})


class SecurityGroupView(OlderView):
    """`/os-security-groups/{id}`."""

    rules = {
        "GET": "os-security-groups:show",
        "PUT": "os-security-groups:update",
        "DELETE": "os-security-groups:delete",
    }

    def get(self, request: Request, ident: str) -> Response:
        return Response({"security_group": older_group(_group(self.ctx, ident))})

    def put(self, request: Request, ident: str) -> Response:
        asked = self.body(GROUP_BODY)["security_group"]
        values = {"name": asked["name"], "description": asked.get("description") or ""}
        as_invalid(network.security_group_update, self.ctx, security_group_id=ident, **values)
        return Response({"security_group": older_group(_group(self.ctx, ident))})

    def delete(self, request: Request, ident: str) -> Response:
        as_invalid(network.security_group_delete, self.ctx, security_group_id=ident)
        return Response(status=202)


RULE_BODY = body(
    "security_group_rule",
    {
        "parent_group_id": {"type": ["string", "integer"]},
        "ip_protocol": {"type": ["string", "null"]},
        "from_port": {"type": ["integer", "string", "null"]},
        "to_port": {"type": ["integer", "string", "null"]},
        "cidr": {"type": ["string", "null"]},
        "group_id": {"type": ["string", "null"]},
    },
    "parent_group_id",
)


class SecurityGroupRules(OlderView):
    """`POST /os-security-group-rules`."""

    rules = {"POST": "os-security-groups:rule:create"}

    def post(self, request: Request) -> Response:
        asked = self.body(RULE_BODY)["security_group_rule"]
        parent = str(asked["parent_group_id"])
        protocol = (asked.get("ip_protocol") or "").lower() or None
        if protocol not in {"tcp", "udp", "icmp", None}:
            raise Invalid(f"Invalid IP protocol {asked['ip_protocol']}.", field="ip_protocol")
        first, last = _port(asked.get("from_port"), "from_port"), _port(asked.get("to_port"), "to_port")
        if protocol in {"tcp", "udp"} and (first is None or last is None or first < 1 or last < first):
            raise Invalid(f"Invalid port range {asked.get('from_port')}:{asked.get('to_port')}.", field="from_port")
        group = asked.get("group_id")
        cidr = asked.get("cidr") or (None if group else "0.0.0.0/0")
        for ident in filter(None, (parent, group)):
            if as_uuid(ident) is None:
                raise Invalid(f"Security group id {ident!r} is no UUID.", field="parent_group_id")
        _group(self.ctx, parent)
        made = as_invalid(
            network.security_group_rule_create,
            self.ctx,
            security_group_id=parent,
            direction="ingress",
            ethertype="IPv6" if cidr and ":" in cidr else "IPv4",
            protocol=protocol,
            port_range_min=None if first == -1 else first,
            port_range_max=None if last == -1 else last,
            remote_ip_prefix=cidr,
            remote_group_id=group,
        )
        rule = SecurityGroupRule.objects.select_related("remote_group", "security_group").get(pk=made.pk)
        return Response({"security_group_rule": older_rule(rule, rule.security_group)})


def _port(value: int | str | None, field: str) -> int | None:
    if value is None or value == "":
        return None
    try:
        number = int(value)
    except ValueError as error:
        raise Invalid(f"Invalid port {value!r}.", field=field) from error
    if not -1 <= number <= 65_535:
        raise Invalid(f"Invalid port {value!r}.", field=field)
    return number


class SecurityGroupRuleView(OlderView):
    """`DELETE /os-security-group-rules/{id}`."""

    rules = {"DELETE": "os-security-groups:rule:delete"}

    def delete(self, request: Request, ident: str) -> Response:
        network.security_group_rule_delete(self.ctx, security_group_rule_id=ident)
        return Response(status=202)
