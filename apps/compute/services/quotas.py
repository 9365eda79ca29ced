"""Quotas of compute: their defaults, what is used, and changing them.

Usage is counted from the rows themselves in the transaction that creates more; nothing is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import Count, QuerySet, Sum

from apps.compute.models import KeyPair, Server, ServerGroup
from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid, OverQuota
from apps.core.transactions import internal, selector, service
from apps.identity import services as identity
from apps.identity.models import Project

SERVICE = "compute"
DEFAULTS = {
    "instances": 10,
    "cores": 20,
    "ram": 50 * 1024,  # MiB
    "key_pairs": 100,
    "metadata_items": 128,
    "server_groups": 10,
    "server_group_members": 10,
    "injected_files": 5,
    "injected_file_content_bytes": 10 * 1024,
    "injected_file_path_bytes": 255,
}


@internal("pages and claims, which enforce their own rule", atomic=False)
def server_usage_of(ctx: RequestContext, *, project_id: str, user_id: str = "") -> dict[str, int]:
    """What the servers of a project, or of one user in it, use: `instances`, `cores` and `ram` in MiB."""
    rows = _servers([project_id])
    return _sum(rows.filter(user_id=user_id) if user_id else rows)


def _servers(project_ids: Sequence[str]) -> QuerySet[Server]:
    return Server.objects.filter(project_id__in=project_ids, deleting_at=None)


def _sum(rows: QuerySet[Server]) -> dict[str, int]:
    used = rows.aggregate(instances=Count("pk"), cores=Sum("vcpus"), ram=Sum("ram_mib"))
    return {name: value or 0 for name, value in used.items()}


def _of_groups(project_ids: Sequence[str], user_id: str = "") -> int:
    rows = ServerGroup.objects.filter(project_id__in=project_ids)
    return (rows.filter(user_id=user_id) if user_id else rows).count()


@internal("limits and quota calls, which enforce their own rule", atomic=False)
def usage_of(ctx: RequestContext, *, project_id: str, user_id: str = "") -> dict[str, int]:
    """What a project, or one user in it, uses of each resource that is counted so; the others are bounds: 0."""
    groups = _of_groups([project_id], user_id)
    return (
        dict.fromkeys(DEFAULTS, 0)
        | server_usage_of(ctx, project_id=project_id, user_id=user_id)
        | {"server_groups": groups}
    )


def _own_limits(ctx: RequestContext) -> dict[str, int]:
    """Limits that the caller alone has within the project."""
    return identity.limits_of_users(ctx, project_id=ctx.project_id, service=SERVICE).get(ctx.user_id, {})


@internal("server_create claims in its own transaction")
def servers_claim(ctx: RequestContext, *, project_id: str, vcpus: int, ram_mib: int, least: int, most: int) -> int:
    """Claim room for as many servers of a size as fit, between `least` and `most`; returns how many.

    Raises OverQuota when not even `least` fit, in the project or for the user.
    """
    count = most
    own = _own_limits(ctx)
    for resource, size in {"instances": 1, "cores": vcpus, "ram": ram_mib}.items():
        count = _fitting(ctx, project_id, resource, size, least, count)
        if resource in own:
            count = _fitting(ctx, project_id, resource, size, least, count, ctx.user_id, own[resource])
    return count


def _fitting(
    ctx: RequestContext,
    project_id: str,
    resource: str,
    size: int,
    least: int,
    most: int,
    user_id: str = "",
    limit: int | None = None,
) -> int:
    """How many of a size fit, between `least` and `most`. Raises OverQuota."""
    try:
        identity.quota_claim(
            ctx,
            project_id=project_id,
            service=SERVICE,
            resource=resource,
            wanted=most * size,
            used=lambda: server_usage_of(ctx, project_id=project_id, user_id=user_id)[resource],
            used_in=lambda projects: _sum(_servers(projects))[resource],
            limit=limit,
        )
    except OverQuota as refused:
        fitting: int = max(refused.limit - refused.used, 0) // size
        if fitting < least:
            raise
        return fitting
    return most


@internal("key_pair_create claims in its own transaction")
def key_pair_claim(ctx: RequestContext, *, user_id: str) -> None:
    """Key pairs are counted by user. Raises OverQuota."""
    identity.quota_claim(
        ctx,
        project_id=ctx.project_id,
        service=SERVICE,
        resource="key_pairs",
        wanted=1,
        used=lambda: KeyPair.objects.filter(user_id=user_id).count(),
        limit=_own_limits(ctx).get("key_pairs"),
    )


@internal("server_group_create claims in its own transaction")
def server_group_claim(ctx: RequestContext) -> None:
    """Raises OverQuota."""
    bounds: list[tuple[str, int | None]] = [("", None)]
    if (own := _own_limits(ctx).get("server_groups")) is not None:
        bounds.append((ctx.user_id, own))
    for user_id, limit in bounds:
        identity.quota_claim(
            ctx,
            project_id=ctx.project_id,
            service=SERVICE,
            resource="server_groups",
            wanted=1,
            used=lambda user_id=user_id: _of_groups([ctx.project_id], user_id),  # type: ignore[misc]
            used_in=_of_groups,
            limit=limit,
        )


@internal("server_create and the place step keep a group within its bound")
def group_members_check(ctx: RequestContext, *, project_id: str, members: int) -> None:
    """Raises OverQuota when a group would have more members than it may."""
    _bound(ctx, project_id, "server_group_members", members)


@internal("services that set metadata check its bound")
def metadata_check(ctx: RequestContext, *, project_id: str, items: Mapping[str, str]) -> None:
    """Raises OverQuota when there are more items than the project may give one server."""
    _bound(ctx, project_id, "metadata_items", len(items))


@internal("server_create checks the bounds of its files")
def files_check(ctx: RequestContext, *, project_id: str, files: Mapping[str, bytes]) -> None:
    """Raises OverQuota for too many, too large or too deep."""
    _bound(ctx, project_id, "injected_files", len(files))
    for path, content in files.items():
        _bound(ctx, project_id, "injected_file_path_bytes", len(path.encode()))
        _bound(ctx, project_id, "injected_file_content_bytes", len(content))


def _bound(ctx: RequestContext, project_id: str, resource: str, wanted: int) -> None:
    limit = identity.limit_get(ctx, project_id=project_id, service=SERVICE, resource=resource)
    if limit != identity.UNLIMITED and wanted > limit:
        raise OverQuota(resource, used=0, wanted=wanted, limit=limit)


# --- showing and changing --------------------------------------------------------------------------


def _other_project(ctx: RequestContext, project_id: str) -> None:
    if not ctx.is_admin and project_id != ctx.project_id:
        raise Forbidden("Quotas of another project are shown to administrators only.")


def _known(project_id: str) -> None:
    if not Project.objects.filter(pk=project_id, is_domain=False).exists():
        raise Invalid(f"Project ID {project_id} is not a valid project.", field="project_id")


def _in_force(ctx: RequestContext, project_id: str, user_id: str) -> dict[str, int]:
    """Limits of a project, or of a user in it: what is set for the user, else what the project has."""
    limits = identity.limits_of(ctx, project_id=project_id, service=SERVICE)
    if not user_id:
        return limits
    return limits | identity.limits_of_users(ctx, project_id=project_id, service=SERVICE).get(user_id, {})


@selector("os_compute_api:os-quota-sets:show")
def quota_set_get(ctx: RequestContext, *, project_id: str, user_id: str = "") -> dict[str, int]:
    """Limits in force for a project, or for one user in it. Raises Invalid for no such project."""
    _other_project(ctx, project_id)
    _known(project_id)
    return _in_force(ctx, project_id, user_id)


@selector("os_compute_api:os-quota-sets:detail")
def quota_set_detail(ctx: RequestContext, *, project_id: str, user_id: str = "") -> dict[str, dict[str, int]]:
    """The same with what is used."""
    _other_project(ctx, project_id)
    _known(project_id)
    used = usage_of(ctx, project_id=project_id, user_id=user_id)
    limits = _in_force(ctx, project_id, user_id)
    return {name: {"limit": value, "in_use": used[name], "reserved": 0} for name, value in limits.items()}


@selector("os_compute_api:os-quota-sets:defaults")
def quota_set_defaults(ctx: RequestContext, *, project_id: str) -> dict[str, int]:
    """What a project has that nobody set anything for. Raises Invalid for no such project."""
    _known(project_id)
    return identity.limits_of(ctx, project_id=None, service=SERVICE)


def _room(ctx: RequestContext, project_id: str, user_id: str, resource: str) -> tuple[int, int]:
    """Least and most that a limit may be: from what is used to what the project's other users leave of it."""
    by_user = identity.limits_of_users(ctx, project_id=project_id, service=SERVICE)
    others = sum(max(own.get(resource, 0), 0) for name, own in by_user.items() if name != user_id)
    used = usage_of(ctx, project_id=project_id, user_id=user_id)[resource]
    if not user_id:
        return max(used, others), identity.UNLIMITED
    limit = identity.limit_get(ctx, project_id=project_id, service=SERVICE, resource=resource)
    return used, identity.UNLIMITED if limit == identity.UNLIMITED else max(limit - others, 0)


def _more(limit: int, other: int) -> bool:
    """Is the first limit the larger one?"""
    return limit != other and (limit == identity.UNLIMITED or (other != identity.UNLIMITED and limit > other))


def _check_room(ctx: RequestContext, project_id: str, user_id: str, resource: str, value: int) -> None:
    least, most = _room(ctx, project_id, user_id, resource)
    if _more(least, value):
        raise Invalid(
            f"Quota limit {value} for {resource} must be greater than or equal to already used and reserved {least}.",
            field=resource,
        )
    if _more(value, most):
        raise Invalid(f"Quota limit {value} for {resource} must be less than or equal to {most}.", field=resource)


@service("os_compute_api:os-quota-sets:update")
def quota_set_update(
    ctx: RequestContext, *, project_id: str, limits: Mapping[str, int], force: bool = False, user_id: str = ""
) -> dict[str, int]:
    """Set limits of a project, or of one user in it.

    Unless `force`, raises Invalid below what is used or above what the project has left for a user; always for no
    such project.
    """
    _known(project_id)
    for resource, value in limits.items():
        if not force:
            _check_room(ctx, project_id, user_id, resource, value)
        identity.limit_set(ctx, project_id=project_id, user_id=user_id, service=SERVICE, resource=resource, value=value)
    return _in_force(ctx, project_id, user_id)


@service("os_compute_api:os-quota-sets:delete")
def quota_set_delete(ctx: RequestContext, *, project_id: str, user_id: str = "") -> None:
    """Let a project have the defaults again, its users included; or one user what the project has."""
    identity.limits_reset(ctx, project_id=project_id, service=SERVICE, user_id=user_id)


@selector("os_compute_api:os-quota-class-sets:show")
def quota_class_get(ctx: RequestContext) -> dict[str, int]:
    """The cloud's defaults."""
    return identity.limits_of(ctx, project_id=None, service=SERVICE)


@service("os_compute_api:os-quota-class-sets:update")
def quota_class_update(ctx: RequestContext, *, limits: Mapping[str, int]) -> dict[str, int]:
    """Set the cloud's defaults."""
    for resource, value in limits.items():
        identity.limit_set(ctx, project_id=None, service=SERVICE, resource=resource, value=value)
    return identity.limits_of(ctx, project_id=None, service=SERVICE)


@selector("os_compute_api:limits")
def limits_get(ctx: RequestContext, *, project_id: str = "") -> dict[str, Any]:
    """Limits and usage of the own project, or of another one under its rule."""
    wanted = project_id or ctx.project_id
    if wanted != ctx.project_id:
        policy.enforce(ctx, "os_compute_api:limits:other_project")
    return {
        "limits": identity.limits_of(ctx, project_id=wanted, service=SERVICE),
        "used": usage_of(ctx, project_id=wanted),
    }
