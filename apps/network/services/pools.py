"""Subnet pools: prefixes from which subnets are cut without overlapping."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from django.db import connection

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Invalid
from apps.core.transactions import internal, on_violation, service
from apps.network.models import SubnetPool
from apps.network.services.common import (
    Prefix,
    change,
    check_revision,
    claim,
    find,
    guard,
    guard_attributes,
    in_use,
    parse_prefix,
    project_for,
    target,
)

_MIN_LENGTH = {4: 8, 6: 64}

on_violation(
    "network_pool_one_default",
    lambda detail: Invalid("A default subnetpool for this IP family has already been set.", code="InvalidInput"),
)


@service("create_subnetpool")
def subnetpool_create(
    ctx: RequestContext,
    *,
    prefixes: Sequence[str],
    name: str = "",
    description: str = "",
    project_id: str | None = None,
    min_prefixlen: int | None = None,
    max_prefixlen: int | None = None,
    default_prefixlen: int | None = None,
    default_quota: int | None = None,
    shared: bool = False,
    is_default: bool = False,
    address_scope_id: None = None,
) -> SubnetPool:
    """Make a pool. Raises Invalid for prefixes of two families or lengths that do not fit, Forbidden, OverQuota."""
    owner = project_for(ctx, project_id)
    given = {"shared": shared, "is_default": is_default}
    guard_attributes(ctx, "create_subnetpool", given, {"shared": False, "is_default": False}, {"project_id": owner})
    ranges, version = _prefixes(prefixes)
    longest = ranges[0].max_prefixlen
    least = min_prefixlen or _MIN_LENGTH[version]
    most = max_prefixlen or longest
    usual = default_prefixlen or max(least, min(most, least))
    _check_lengths(least, usual, most, longest)
    claim(ctx, project_id=owner, resource="subnetpool")
    return SubnetPool.objects.create(
        name=name,
        description=description,
        project_id=owner,
        shared=shared,
        is_default=is_default,
        prefixes=[str(p) for p in ranges],
        ip_version=version,
        min_prefixlen=least,
        max_prefixlen=most,
        default_prefixlen=usual,
        default_quota=default_quota,
    )


def _prefixes(texts: Sequence[str]) -> tuple[list[Any], int]:
    found = [parse_prefix(text, "prefixes") for text in texts]
    if not found:
        raise Invalid("A subnet pool needs at least one prefix.", field="prefixes")
    if len({p.version for p in found}) != 1:
        raise Invalid("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", code="PrefixVersionMismatch")
    return list(ipaddress.collapse_addresses(found)), found[0].version  # type: ignore[type-var]


def _check_lengths(least: int, usual: int, most: int, longest: int) -> None:
    if not 0 <= least <= usual <= most <= longest:
        raise Invalid(
            f"Illegal prefix lengths: min_prefixlen={least}, default_prefixlen={usual}, max_prefixlen={most}.",
            code="IllegalSubnetPoolPrefixBounds",
        )


@service("update_subnetpool")
def subnetpool_update(
    ctx: RequestContext, *, subnetpool_id: str, if_revision: int | None = None, **values: Any
) -> SubnetPool:
    """Change a pool; its prefixes may only grow. Raises NotFound, Forbidden, Invalid."""
    pool = find(SubnetPool.objects.visible(ctx), "subnetpool", subnetpool_id, lock=True)
    guard(ctx, "update_subnetpool", pool)
    check_revision(pool, if_revision)
    if "is_default" in values:
        guard_attributes(ctx, "update_subnetpool", {"is_default": values["is_default"]}, {}, target(pool))
    if "prefixes" in values:
        ranges, version = _prefixes(values["prefixes"])
        kept = all(any(ipaddress.ip_network(old).subnet_of(new) for new in ranges) for old in pool.prefixes)
        if version != pool.ip_version or not kept:
            raise Invalid(
                "Existing prefixes must be a subset of the new prefixes.", code="IllegalSubnetPoolPrefixUpdate"
            )
        values["prefixes"] = [str(p) for p in ranges]
    values.pop("address_scope_id", None)
    merged = {k: values.get(k) or getattr(pool, k) for k in ("min_prefixlen", "default_prefixlen", "max_prefixlen")}
    longest = 32 if pool.ip_version == 4 else 128
    _check_lengths(merged["min_prefixlen"], merged["default_prefixlen"], merged["max_prefixlen"], longest)
    change(pool, **values)
    return pool


@service("delete_subnetpool")
def subnetpool_delete(ctx: RequestContext, *, subnetpool_id: str, if_revision: int | None = None) -> None:
    """Delete a pool. Raises NotFound, Forbidden, Conflict while subnets are cut from it."""
    pool = find(SubnetPool.objects.visible(ctx), "subnetpool", subnetpool_id, lock=True)
    guard(ctx, "delete_subnetpool", pool)
    check_revision(pool, if_revision)
    if pool.subnets.exists():
        raise in_use("Unable to delete subnet pool: Subnets allocated out of this pool still exist.", "SubnetPoolInUse")
    pool.delete()


@internal("subnet_create asks, which enforces its own rule")
def pool_for(
    ctx: RequestContext, subnetpool_id: str | None, use_default: bool, ip_version: int | None
) -> SubnetPool | None:
    """The pool to cut from, locked; None where the body names none. Raises NotFound."""
    if subnetpool_id:
        return find(SubnetPool.objects.visible(ctx), "subnetpool", subnetpool_id, lock=True)
    if not use_default:
        return None
    pool = SubnetPool.objects.select_for_update().filter(is_default=True, ip_version=ip_version or 4).first()
    if pool is None:
        raise Invalid("No default subnetpool found for this IP version.", code="NoDefaultSubnetpool")
    return pool


def cut(pool: SubnetPool, cidr: str | None, length: int | None, project_id: str) -> Prefix:
    """A free prefix of the pool: the one named, or the first of this length.

    Raises Invalid for a length out of bounds, Conflict when nothing of the kind is free.
    """
    wanted = parse_prefix(cidr, "cidr") if cidr else None
    size = wanted.prefixlen if wanted else length or pool.default_prefixlen
    if size < pool.min_prefixlen:
        raise Invalid(
            f"Unable to allocate subnet with prefix length {size}, minimum allowed prefix is {pool.min_prefixlen}.",
            code="MinPrefixSubnetAllocationError",
        )
    if size > pool.max_prefixlen:
        raise Invalid(
            f"Unable to allocate subnet with prefix length {size}, maximum allowed prefix is {pool.max_prefixlen}.",
            code="MaxPrefixSubnetAllocationError",
        )
    _check_quota(pool, size, project_id)
    found = str(wanted) if wanted and _is_free(pool, str(wanted)) else "" if wanted else _first_free(pool, size)
    if not found:
        raise Conflict(
            f"Failed to allocate subnet: no free prefix in subnet pool {pool.pk}.", code="SubnetAllocationError"
        )
    return ipaddress.ip_network(found)


def _is_free(pool: SubnetPool, cidr: str) -> bool:
    wanted = ipaddress.ip_network(cidr)
    inside = any(
        wanted.version == ipaddress.ip_network(p).version and wanted.subnet_of(ipaddress.ip_network(p))  # type: ignore[arg-type]
        for p in pool.prefixes
    )
    taken = pool.subnets.values_list("cidr", flat=True)
    return inside and not any(wanted.overlaps(ipaddress.ip_network(t)) for t in taken)


def _first_free(pool: SubnetPool, size: int) -> str:
    """The lowest free prefix of this length: candidates are the pool's starts and the ends of what is taken."""
    taken = sorted(
        (ipaddress.ip_network(c) for c in pool.subnets.values_list("cidr", flat=True)), key=lambda n: int(n[0])
    )
    step = 1 << ((32 if pool.ip_version == 4 else 128) - size)
    for text in pool.prefixes:
        whole = ipaddress.ip_network(text)
        if whole.prefixlen > size:
            continue
        at, end = int(whole[0]), int(whole[-1])
        for used in taken:
            first, last = int(used[0]), int(used[-1])
            if last < at or first > end:
                continue
            if first >= at + step:
                break
            at = -(-(last + 1) // step) * step
        if at + step - 1 <= end:
            return f"{ipaddress.ip_address(at) if pool.ip_version == 4 else ipaddress.IPv6Address(at)}/{size}"
    return ""


def _check_quota(pool: SubnetPool, size: int, project_id: str) -> None:
    """`default_quota` counts addresses for IPv4 and /64 prefixes for IPv6, per project."""
    if pool.default_quota is None:
        return
    unit = 32 if pool.ip_version == 4 else 64
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(sum(2.0 ^ (%s - masklen(cidr))), 0) FROM network_subnet"
            " WHERE subnetpool_id = %s AND project_id = %s",
            [unit, str(pool.pk), project_id],
        )
        used = float(cursor.fetchone()[0])
    if used + 2.0 ** (unit - size) > pool.default_quota:
        raise Conflict("Per-tenant subnet pool prefix quota exceeded.", code="SubnetPoolQuotaExceeded")
