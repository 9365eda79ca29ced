"""Quotas of compute: their defaults, what is used, and changing them.

Usage is counted from the rows themselves in the transaction that creates more; nothing is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Count, Sum

from apps.compute.models import KeyPair, Server, ServerGroup
from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid, OverQuota
from apps.core.transactions import internal, selector, service
from apps.identity import services as identity

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


def _of_servers(project_id: str) -> dict[str, int]:
    used = Server.objects.filter(project_id=project_id, deleting_at=None).aggregate(
        instances=Count("pk"), cores=Sum("vcpus"), ram=Sum("ram_mib")
    )
    return {name: value or 0 for name, value in used.items()}


@internal("limits and quota calls, which enforce their own rule")
def usage_of(ctx: RequestContext, *, project_id: str) -> dict[str, int]:
    """What a project uses of each resource that is counted per project; the others are bounds, counted as 0."""
    groups = ServerGroup.objects.filter(project_id=project_id).count()
    return dict.fromkeys(DEFAULTS, 0) | _of_servers(project_id) | {"server_groups": groups}


@internal("server_create claims in its own transaction")
def servers_claim(ctx: RequestContext, *, project_id: str, vcpus: int, ram_mib: int, least: int, most: int) -> int:
    """Claim room for as many servers of a size as fit, between `least` and `most`; returns how many.

    Raises OverQuota when not even `least` fit.
    """
    count = most
    for resource, size in {"instances": 1, "cores": vcpus, "ram": ram_mib}.items():
        try:
            _claim(ctx, project_id, resource, count * size)
        except OverQuota as refused:
            fitting = (refused.limit - refused.used) // size
            if fitting < least:
                raise
            count = fitting
            _claim(ctx, project_id, resource, count * size)
    return count


def _claim(ctx: RequestContext, project_id: str, resource: str, wanted: int) -> None:
    identity.quota_claim(
        ctx,
        project_id=project_id,
        service=SERVICE,
        resource=resource,
        wanted=wanted,
        used=lambda: _of_servers(project_id)[resource],
    )


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
    )


@internal("server_group_create claims in its own transaction")
def server_group_claim(ctx: RequestContext) -> None:
    """Raises OverQuota."""
    identity.quota_claim(
        ctx,
        project_id=ctx.project_id,
        service=SERVICE,
        resource="server_groups",
        wanted=1,
        used=lambda: ServerGroup.objects.filter(project_id=ctx.project_id).count(),
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


@selector("os_compute_api:os-quota-sets:show")
def quota_set_get(ctx: RequestContext, *, project_id: str) -> dict[str, int]:
    """Limits in force for a project."""
    _other_project(ctx, project_id)
    return identity.limits_of(ctx, project_id=project_id, service=SERVICE)


@selector("os_compute_api:os-quota-sets:detail")
def quota_set_detail(ctx: RequestContext, *, project_id: str) -> dict[str, dict[str, int]]:
    """The same with what is used."""
    _other_project(ctx, project_id)
    used = usage_of(ctx, project_id=project_id)
    limits = identity.limits_of(ctx, project_id=project_id, service=SERVICE)
    return {name: {"limit": value, "in_use": used[name], "reserved": 0} for name, value in limits.items()}


@selector("os_compute_api:os-quota-sets:defaults")
def quota_set_defaults(ctx: RequestContext, *, project_id: str) -> dict[str, int]:
    """What a project has that nobody set anything for."""
    return identity.limits_of(ctx, project_id=None, service=SERVICE)


@service("os_compute_api:os-quota-sets:update")
def quota_set_update(
    ctx: RequestContext, *, project_id: str, limits: Mapping[str, int], force: bool = False
) -> dict[str, int]:
    """Set limits of a project. Raises Invalid below what is used (unless `force`), NotFound for no such project."""
    used = usage_of(ctx, project_id=project_id)
    for resource, value in limits.items():
        if not force and value != identity.UNLIMITED and value < used[resource]:
            raise Invalid(
                f"Quota limit {value} for {resource} must be greater than or equal to already used {used[resource]}.",
                field=resource,
            )
        identity.limit_set(ctx, project_id=project_id, service=SERVICE, resource=resource, value=value)
    return identity.limits_of(ctx, project_id=project_id, service=SERVICE)


@service("os_compute_api:os-quota-sets:delete")
def quota_set_delete(ctx: RequestContext, *, project_id: str) -> None:
    """Let a project have the defaults again."""
    identity.limits_reset(ctx, project_id=project_id, service=SERVICE)


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
