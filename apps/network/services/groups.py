"""Writes of security groups and their rules."""

from __future__ import annotations

import ipaddress
from typing import Any

from django.db import connection

from apps.core import live
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid
from apps.core.transactions import internal, on_violation, service
from apps.network.models import Port, PortGroup, SecurityGroup, SecurityGroupRule
from apps.network.services.common import (
    change,
    check_revision,
    claim,
    find,
    guard,
    identified,
    in_use,
    mark,
    missing,
    parse_prefix,
    project_for,
    touch,
)
from apps.network.states import Dirty

DEFAULT_NAME = "default"

# Names that Neutron knows, besides any number from 0 to 255.
PROTOCOLS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "icmpv6": 58, "igmp": 2, "ip": 0,
    "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}  # fmt: skip
WITH_PORTS = {6, 17, 33, 132, 136}
ICMP = {1, 58}
_ONLY_V6 = {"icmpv6", "ipv6-icmp", "ipv6-encap", "ipv6-frag", "ipv6-nonxt", "ipv6-opts", "ipv6-route"}
_ANY = {"any", "ip", "0"}

on_violation(
    "network_rule_once",
    lambda detail: Conflict("Security group rule already exists.", code="SecurityGroupRuleExists"),
)
on_violation(
    "network_group_one_default",
    lambda detail: Conflict("Default security group already exists.", code="SecurityGroupDefaultAlreadyExists"),
)


@internal("whoever first touches a project's security groups or ports")
def default_group(ctx: RequestContext, *, project_id: str) -> SecurityGroup:
    """The project's default group, made with Neutron's four rules where it does not exist."""
    group = SecurityGroup.objects.filter(project_id=project_id, is_default=True).first()
    if group is not None:
        return group
    made = SecurityGroup(
        project_id=project_id, name=DEFAULT_NAME, description="Default security group", is_default=True
    )
    SecurityGroup.objects.bulk_create([made], ignore_conflicts=True)
    group = SecurityGroup.objects.get(project_id=project_id, is_default=True)
    if group.pk == made.pk:
        _basic_rules(group)
        for ethertype in ("IPv4", "IPv6"):
            SecurityGroupRule.objects.create(
                security_group=group,
                project_id=project_id,
                direction="ingress",
                ethertype=ethertype,
                remote_group=group,
            )
        mark(Dirty.GROUP, group.pk)
    return group


def _basic_rules(group: SecurityGroup) -> None:
    """A new group lets everything out."""
    SecurityGroupRule.objects.bulk_create(
        SecurityGroupRule(security_group=group, project_id=group.project_id, direction="egress", ethertype=ethertype)
        for ethertype in ("IPv4", "IPv6")
    )


@service("create_security_group")
def security_group_create(
    ctx: RequestContext,
    *,
    name: str = "",
    description: str = "",
    project_id: str | None = None,
    stateful: bool = True,
) -> SecurityGroup:
    """Make a group with the two rules that let everything out. Raises Conflict for the name `default`, OverQuota."""
    owner = project_for(ctx, project_id)
    if name == DEFAULT_NAME:
        default_group(ctx, project_id=owner)
        raise Conflict("Default security group already exists.", code="SecurityGroupDefaultAlreadyExists")
    claim(ctx, project_id=owner, resource="security_group")
    group = SecurityGroup.objects.create(project_id=owner, name=name, description=description, stateful=stateful)
    _basic_rules(group)
    mark(Dirty.GROUP, group.pk)
    live.notify(owner, "security_group", group.pk)
    return group


@service("update_security_group")
def security_group_update(
    ctx: RequestContext, *, security_group_id: str, if_revision: int | None = None, **values: Any
) -> SecurityGroup:
    """Change name, description or statefulness. Raises NotFound, Conflict for `default`'s name or a group in use."""
    group = find(SecurityGroup.objects.visible(ctx), "security_group", security_group_id, lock=True)
    guard(ctx, "update_security_group", group)
    check_revision(group, if_revision)
    name = values.get("name", group.name)
    if group.is_default and name != group.name:
        raise in_use("Updating default security group not allowed.", "SecurityGroupCannotUpdateDefault")
    if name == DEFAULT_NAME and not group.is_default:
        raise Conflict("Default security group already exists.", code="SecurityGroupDefaultAlreadyExists")
    if values.get("stateful", group.stateful) != group.stateful:
        _check_unused(group)
    change(group, **values)
    mark(Dirty.GROUP, group.pk)
    live.notify(group.project_id, "security_group", group.pk)
    return group


def _check_unused(group: SecurityGroup) -> None:
    if PortGroup.objects.filter(security_group=group).exists():
        raise in_use(f"Security Group {group.pk} in use.", "SecurityGroupInUse")


@service("delete_security_group")
def security_group_delete(ctx: RequestContext, *, security_group_id: str, if_revision: int | None = None) -> None:
    """Delete a group. Raises NotFound, Conflict (SecurityGroupInUse) while ports are in it or for a default group.

    An administrator may delete a default group: it comes back at its project's next use.
    """
    group = find(SecurityGroup.objects.visible(ctx), "security_group", security_group_id, lock=True)
    guard(ctx, "delete_security_group", group)
    check_revision(group, if_revision)
    if group.is_default and not ctx.is_admin:
        raise in_use("Insufficient rights for removing default security group.", "SecurityGroupCannotRemoveDefault")
    _check_unused(group)
    referring = set(
        SecurityGroupRule.objects.filter(remote_group=group)
        .exclude(security_group=group)
        .values_list("security_group_id", flat=True)
    )
    project_id, pk = group.project_id, group.pk
    group.delete()
    mark(Dirty.GROUP, *referring, pk)
    live.notify(project_id, "security_group", pk)


@service("create_security_group_rule")
def security_group_rule_create(
    ctx: RequestContext,
    *,
    security_group_id: str,
    direction: str,
    ethertype: str | None = None,
    protocol: str | int | None = None,
    port_range_min: int | None = None,
    port_range_max: int | None = None,
    remote_ip_prefix: str | None = None,
    remote_group_id: str | None = None,
    description: str = "",
    project_id: str | None = None,
) -> SecurityGroupRule:
    """Add a rule. Raises NotFound for either group, Invalid, Conflict (SecurityGroupRuleExists), OverQuota."""
    group = find(SecurityGroup.objects.visible(ctx), "security_group", security_group_id, lock=True)
    guard(ctx, "create_security_group_rule", group)
    family = _family(ethertype, direction)
    word = _protocol(protocol, family)
    _check_range(word, port_range_min, port_range_max)
    if remote_ip_prefix and remote_group_id:
        raise Invalid(
            "Only remote_ip_prefix or remote_group_id may be provided.",
            code="SecurityGroupRemoteGroupAndRemoteIpPrefix",
        )
    remote = None
    if remote_group_id:
        remote = find(SecurityGroup.objects.visible(ctx), "security_group", remote_group_id)
    claim(ctx, project_id=group.project_id, resource="security_group_rule")
    rule = SecurityGroupRule.objects.create(
        security_group=group,
        project_id=group.project_id,
        direction=direction,
        ethertype=family,
        protocol=word,
        port_range_min=port_range_min,
        port_range_max=port_range_max,
        remote_ip_prefix=_remote_prefix(remote_ip_prefix, family),
        remote_group=remote,
        description=description,
    )
    touch(SecurityGroup.objects.filter(pk=group.pk))
    mark(Dirty.GROUP, group.pk)
    live.notify(group.project_id, "security_group", group.pk)
    return rule


def _family(ethertype: str | None, direction: str) -> str:
    if direction not in {"ingress", "egress"}:
        raise Invalid(
            f"Invalid input for direction. Reason: '{direction}' is not in ['ingress', 'egress'].", field="direction"
        )
    found = {"ipv4": "IPv4", "ipv6": "IPv6"}.get((ethertype or "IPv4").lower())
    if found is None:
        raise Invalid(
            f"Invalid input for ethertype. Reason: '{ethertype}' is not in ['IPv4', 'IPv6'].", field="ethertype"
        )
    return found


def _protocol(protocol: str | int | None, family: str) -> str | None:
    """The protocol as it was given, in lower case; None for any. Raises Invalid."""
    if protocol is None or str(protocol).lower() in _ANY:
        return None
    word = str(protocol).lower()
    known = word in PROTOCOLS or (word.isascii() and word.isdigit() and int(word) <= 255)
    if not known:
        raise Invalid(
            f"Security group rule protocol {protocol} not supported. Only protocol values {sorted(PROTOCOLS)} and "
            "integer representations [0 to 255] are supported.",
            field="protocol",
            code="SecurityGroupRuleInvalidProtocol",
        )
    if family == "IPv4" and word in _ONLY_V6:
        raise Invalid(
            f"Invalid ethertype {family} for protocol {protocol}.",
            field="ethertype",
            code="SecurityGroupEthertypeConflictWithProtocol",
        )
    return word


def protocol_number(word: str) -> int:
    """The number of a stored protocol."""
    return PROTOCOLS[word] if word in PROTOCOLS else int(word)


def _check_range(protocol: str | None, least: int | None, most: int | None) -> None:
    if least is None and most is None:
        return
    number = protocol_number(protocol) if protocol else None
    if number is None:
        raise Invalid(
            "Must also specify protocol if port range is given.", code="SecurityGroupProtocolRequiredWithPorts"
        )
    if number in ICMP:
        _check_icmp(protocol, least, most)
        return
    if number not in WITH_PORTS:
        raise Invalid(
            f"Invalid port range for protocol {protocol}: it has no ports.", code="SecurityGroupInvalidPortRange"
        )
    for value in (least, most):
        if value is not None and not 0 <= value <= 65535:
            raise Invalid(f"Invalid value for port {value}", code="SecurityGroupInvalidPortValue")
    if least is None or most is None or least > most:
        raise Invalid(
            "For TCP/UDP protocols, port_range_min must be <= port_range_max", code="SecurityGroupInvalidPortRange"
        )
    if least == 0:
        raise Invalid("Invalid value for port 0", code="SecurityGroupInvalidPortValue")


def _check_icmp(protocol: str | None, kind: int | None, code: int | None) -> None:
    for name, value in (("type", kind), ("code", code)):
        if value is not None and not 0 <= value <= 255:
            field = "port-range-min" if name == "type" else "port-range-max"
            raise Invalid(
                f"Invalid value for ICMP {name} ({field}) {value}. It must be 0 to 255.",
                code="SecurityGroupInvalidIcmpValue",
            )
    if kind is None and code is not None:
        raise Invalid(
            f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing.",
            code="SecurityGroupMissingIcmpType",
        )


def _remote_prefix(text: str | None, family: str) -> str | None:
    """As the user wrote it, with a length where there is none. Raises Invalid."""
    if not text:
        return None
    prefix = parse_prefix(text, "remote_ip_prefix")
    if prefix.version != (4 if family == "IPv4" else 6):
        raise Invalid(
            f"Conflicting value ethertype {family} for CIDR {text}",
            field="remote_ip_prefix",
            code="SecurityGroupRuleParameterConflict",
        )
    return text if "/" in text else str(ipaddress.ip_network(text))


@service("delete_security_group_rule")
def security_group_rule_delete(
    ctx: RequestContext, *, security_group_rule_id: str, if_revision: int | None = None
) -> None:
    """Delete a rule. Raises NotFound, Forbidden."""
    rule = find(SecurityGroupRule.objects.visible(ctx), "security_group_rule", security_group_rule_id, lock=True)
    guard(ctx, "delete_security_group_rule", rule)
    check_revision(rule, if_revision)
    group_id, project_id = rule.security_group_id, rule.project_id
    rule.delete()
    touch(SecurityGroup.objects.filter(pk=group_id))
    mark(Dirty.GROUP, group_id)
    live.notify(project_id, "security_group", group_id)


@internal("services of ports, which enforce their own rules")
def groups_for(ctx: RequestContext, *, ids: list[str]) -> list[Any]:
    """Ids of the groups that a body names, each once. Raises NotFound, naming the first that is not there."""
    wanted = [identified(i) for i in ids]
    known = set(SecurityGroup.objects.visible(ctx).filter(pk__in=[w for w in wanted if w]).values_list("pk", flat=True))
    for given, key in zip(ids, wanted, strict=True):
        if key not in known:
            raise missing("security_group", given)
    return list(dict.fromkeys(wanted))


@internal("services of ports, which enforce their own rules")
def join_default(ctx: RequestContext, *, port: Port) -> list[Any]:
    """Put a new port into its project's default group, in one statement where the group exists; returns its id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO network_portgroup (port_id, security_group_id) SELECT %s, id FROM network_securitygroup"
            " WHERE project_id = %s AND is_default RETURNING security_group_id",
            [port.pk, port.project_id],
        )
        row = cursor.fetchone()
    if row:
        return [row[0]]
    group = default_group(ctx, project_id=str(port.project_id))
    PortGroup.objects.create(port=port, security_group=group)
    return [group.pk]
