"""What the services of the network share: finding rows, marking them for the projector, revisions, limits."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from django.db import connection, models
from django.db.models.functions import Now

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound, OverQuota, PreconditionFailed
from apps.core.transactions import internal
from apps.identity.models import Project
from apps.identity.services import quota_claim
from apps.network.models import FloatingIp, Network, Port, Router, SecurityGroup, SecurityGroupRule, Subnet, SubnetPool
from apps.network.states import Dirty, Owner

M = TypeVar("M", bound=models.Model)
CHANNEL = "kumo_network"  # what the projector listens to

QUOTA_DEFAULTS = {
    "network": 100,
    "subnet": 100,
    "subnetpool": -1,
    "port": 500,
    "router": 10,
    "floatingip": 50,
    "security_group": 10,
    "security_group_rule": 100,
}
_COUNTED: dict[str, type[models.Model]] = {
    "network": Network,
    "subnet": Subnet,
    "subnetpool": SubnetPool,
    "port": Port,
    "router": Router,
    "floatingip": FloatingIp,
    "security_group": SecurityGroup,
    "security_group_rule": SecurityGroupRule,
}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Prefix = ipaddress.IPv4Network | ipaddress.IPv6Network


class OverNetworkQuota(OverQuota):
    """This API answers 409 where others answer 403."""

    status = 409
    title = "Conflict"


def usage(resource: str, *project_ids: str) -> int:
    """How many of a resource these projects have. The cloud's own metadata ports do not count."""
    rows = _COUNTED[resource]._default_manager.filter(project_id__in=project_ids)
    if resource == "port":
        rows = rows.exclude(device_owner=Owner.METADATA)
    return rows.count()


@internal("services of this app claim before they create, inside their transaction")
def claim(ctx: RequestContext, *, project_id: str, resource: str, wanted: int = 1) -> None:
    """Refuse with OverNetworkQuota unless `wanted` more of the resource fit."""
    try:
        quota_claim(
            ctx,
            project_id=project_id,
            service="network",
            resource=resource,
            wanted=wanted,
            used=lambda: usage(resource, project_id),
            used_in=lambda projects: usage(resource, *projects),
        )
    except OverQuota as error:
        raise OverNetworkQuota(
            resource, used=error.used, wanted=error.wanted, limit=error.limit, code="OverQuota"
        ) from error


def identified(ident: object) -> uuid.UUID | None:
    """An id from outside as a UUID; None for what cannot be one."""
    try:
        return uuid.UUID(str(ident))
    except ValueError:
        return None


_NOUNS = {
    "network": ("Network", "NetworkNotFound"),
    "subnet": ("Subnet", "SubnetNotFound"),
    "subnetpool": ("Subnet pool", "SubnetPoolNotFound"),
    "port": ("Port", "PortNotFound"),
    "router": ("Router", "RouterNotFound"),
    "floatingip": ("Floating IP", "FloatingIPNotFound"),
    "security_group": ("Security group", "SecurityGroupNotFound"),
    "security_group_rule": ("Security group rule", "SecurityGroupRuleNotFound"),
}


def missing(noun: str, ident: object) -> NotFound:
    """The error for a thing that does not exist or is not this caller's to know of."""
    words, code = _NOUNS[noun]
    return NotFound(words, ident, code=code)


def find(rows: models.QuerySet[M], noun: str, ident: object, *, lock: bool = False) -> M:
    """The one row with this id among what the caller may see. Raises NotFound."""
    key = identified(ident)
    if lock:
        rows = rows.select_for_update(no_key=True, of=("self",))
    row = rows.filter(pk=key).first() if key else None
    if row is None:
        raise missing(noun, ident)
    return row


def target(row: Any, network: Network | None = None) -> dict[str, Any]:
    """What rules may look at in a row."""
    found = {"project_id": row.project_id, "tenant_id": row.project_id}
    if network is not None:
        found |= {"network_project_id": network.project_id, "network_shared": network.shared}
    return found


def guard(caller: RequestContext, rule: str, row: Any, network: Network | None = None) -> None:
    """Raise Forbidden unless the rule holds for this row."""
    policy.enforce(caller, rule, target(row, network))


def guard_attributes(
    caller: RequestContext, prefix: str, given: Mapping[str, Any], defaults: Mapping[str, Any], row: Mapping[str, Any]
) -> None:
    """Enforce `<prefix>:<attribute>` for each attribute that was given another value than its default."""
    for attribute, value in given.items():
        if value is not None and value != defaults.get(attribute):
            policy.enforce(caller, f"{prefix}:{attribute}", row)


def project_for(caller: RequestContext, project_id: str | None) -> str:
    """Whose the new thing is. Raises Forbidden for another project than the caller's, unless an administrator asks."""
    if not project_id or project_id == caller.project_id:
        if not caller.project_id:
            raise Invalid("The token is not scoped to a project; name one with project_id.", field="project_id")
        return caller.project_id
    if not caller.is_admin:
        raise Forbidden("Only an administrator may create this for another project.")
    if not Project.objects.filter(pk=project_id, is_domain=False).exists():
        raise Invalid(f"Project {project_id} could not be found.", field="project_id")
    return project_id


def check_revision(row: Any, wanted: int | None) -> None:
    """Raise PreconditionFailed unless the row is still at the revision that the caller saw."""
    if wanted is not None and row.revision != wanted:
        raise PreconditionFailed(
            f"Constrained to {wanted}, but current revision is {row.revision}",
            code="RevisionNumberConstraintFailed",
        )


def change(row: Any, **values: Any) -> None:
    """Write these attributes, and raise the row's revision."""
    for name, value in values.items():
        setattr(row, name, value)
    row.revision += 1
    row.updated_at = Now()
    row.save(update_fields=[*values, "revision", "updated_at"])


def touch(rows: models.QuerySet[Any]) -> None:
    """Raise the revision of rows whose parts changed."""
    rows.update(revision=models.F("revision") + 1, updated_at=Now())


def mark(kind: Dirty, *idents: Any) -> None:
    """Tell the projector, once this transaction commits, that these things are to be projected again."""
    if not idents:
        return
    rows = ", ".join(["(%s, %s)"] * len(idents))
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH marked AS (INSERT INTO network_change (kind, ident) VALUES {rows}) SELECT pg_notify(%s, '')",  # noqa: S608
            [value for ident in idents for value in (kind.value, ident)] + [CHANNEL],
        )


def mark_ports(rows: models.QuerySet[Port]) -> None:
    """Mark ports, and the routers that are theirs."""
    found = list(rows.values_list("pk", "router_id"))
    mark(Dirty.PORT, *(pk for pk, _ in found))
    mark(Dirty.ROUTER, *{router for _, router in found if router})


def parse_address(text: object, field: str) -> Address:
    """An address from a body. Raises Invalid."""
    try:
        return ipaddress.ip_address(str(text))
    except ValueError as error:
        raise Invalid(f"Invalid input for {field}. Reason: '{text}' is not a valid IP address.", field=field) from error


def parse_prefix(text: object, field: str, *, strict: bool = False) -> Prefix:
    """A prefix from a body. Raises Invalid."""
    try:
        return ipaddress.ip_network(str(text), strict=strict)
    except ValueError as error:
        raise Invalid(f"Invalid input for {field}. Reason: '{text}' is not a valid IP subnet.", field=field) from error


def parse_routes(items: Iterable[Mapping[str, Any]] | None, field: str) -> list[dict[str, str]]:
    """`[{"destination", "nexthop"}]` with readable prefixes and addresses, each pair once. Raises Invalid."""
    routes: list[dict[str, str]] = []
    for item in items or ():
        if not isinstance(item, Mapping) or set(item) != {"destination", "nexthop"}:
            raise Invalid(
                f"Invalid input for {field}. Reason: each route needs exactly destination and nexthop.", field=field
            )
        route = {
            "destination": str(parse_prefix(item["destination"], field)),
            "nexthop": str(parse_address(item["nexthop"], field)),
        }
        if route in routes:
            raise Invalid(f"Invalid input for {field}. Reason: Duplicate hostroute '{route}'.", field=field)
        routes.append(route)
    return routes


def in_use(message: str, code: str) -> Conflict:
    """A conflict with Neutron's name for it."""
    return Conflict(message, code=code)


@internal("the API's bulk calls: each item passes its own service with its own rule")
def create_many(ctx: RequestContext, *, call: Callable[..., Any], items: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Make all of these by one service, or none."""
    return [call(ctx, **item) for item in items]
