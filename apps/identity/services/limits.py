"""Limits of projects: what each service lets a project have, and the claim that keeps it in bounds.

An app registers its resources with their defaults in `ready()`; a row without a project replaces a default for
everybody, a row with one replaces it there; one with a user as well bounds that user within the project. Usage is
never stored: the claiming service counts its own rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.db import connection
from django.db.models import F, Q

from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound, OverQuota
from apps.core.transactions import internal
from apps.identity.models import Limit, Project

UNLIMITED = -1
MAX_VALUE = 2**31 - 1

_registered: dict[str, dict[str, int]] = {}


def limits_register(service: str, defaults: Mapping[str, int]) -> None:
    """Name the resources of a service with their default limits; called by each app's `ready()`."""
    _registered.setdefault(service, {}).update(defaults)


@internal("services of the apps ask before they create; what a caller may see, they decide", atomic=False)
def limit_get(ctx: RequestContext, *, project_id: str, service: str, resource: str) -> int:
    """The limit in force for a project, -1 for unlimited. Raises Invalid for a resource nobody registered."""
    default = _default(service, resource)
    row = (
        Limit.objects.filter(Q(project_id=project_id) | Q(project=None), user_id="", service=service, resource=resource)
        .order_by(F("project_id").asc(nulls_last=True))
        .values_list("value", flat=True)
        .first()
    )
    return default if row is None else row


@internal("the quota calls of the apps, which enforce their own rule", atomic=False)
def limits_of(ctx: RequestContext, *, project_id: str | None, service: str) -> dict[str, int]:
    """All limits of a service in force for a project, by resource; without a project, the defaults."""
    rows = Limit.objects.filter(Q(project_id=project_id) | Q(project=None), user_id="", service=service).order_by(
        F("project_id").asc(nulls_first=True)
    )
    known = _registered.get(service, {})
    return known | {row.resource: row.value for row in rows if row.resource in known}


@internal("the quota calls of the apps, which enforce their own rule, and their claims")
def limits_of_users(ctx: RequestContext, *, project_id: str, service: str) -> dict[str, dict[str, int]]:
    """Limits that single users of a project have: user → resource → limit."""
    found: dict[str, dict[str, int]] = {}
    rows = Limit.objects.filter(project_id=project_id, service=service).exclude(user_id="")
    for user_id, resource, value in rows.values_list("user_id", "resource", "value"):
        found.setdefault(user_id, {})[resource] = value
    return found


@internal("the quota calls of the apps, which enforce their own rule")
def limit_set(
    ctx: RequestContext, *, project_id: str | None, service: str, resource: str, value: int, user_id: str = ""
) -> None:
    """Set a project's limit, one user's in it, or with `project_id=None` everybody's default.

    Raises Invalid for an unknown resource or a value below -1, NotFound for an unknown project.
    """
    _default(service, resource)
    if not UNLIMITED <= value <= MAX_VALUE:
        raise Invalid(f"A limit is -1 for unlimited, or from 0 to {MAX_VALUE}.", field=resource)
    if project_id is not None and not Project.objects.filter(pk=project_id).exists():
        raise NotFound("project", project_id)
    Limit.objects.update_or_create(
        project_id=project_id, user_id=user_id, service=service, resource=resource, defaults={"value": value}
    )


@internal("the quota calls of the apps, which enforce their own rule")
def limits_reset(ctx: RequestContext, *, project_id: str, service: str, user_id: str = "") -> None:
    """Let a project have the defaults of a service again, its users included; or one user what the project has."""
    rows = Limit.objects.filter(project_id=project_id, service=service)
    (rows.filter(user_id=user_id) if user_id else rows).delete()


@internal("services of the apps claim before they create, inside their transaction")
def quota_claim(
    ctx: RequestContext,
    *,
    project_id: str,
    service: str,
    resource: str,
    wanted: int,
    used: Callable[[], int],
    limit: int | None = None,
) -> None:
    """Refuse with OverQuota unless `wanted` more fit; `used` counts what the project has.

    `limit` bounds a part of the project that has a limit of its own, such as one user, whose rows `used` then counts.

    Until the caller's transaction ends nobody else claims the same resource of this project, so that two
    callers cannot both take the last place. An unlimited resource is neither locked nor counted.
    """
    if limit is None:
        limit = limit_get(ctx, project_id=project_id, service=service, resource=resource)
    if limit == UNLIMITED or wanted <= 0:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{project_id}/{service}/{resource}"])
    count = used()
    if count + wanted > limit:
        raise OverQuota(resource, used=count, wanted=wanted, limit=limit)


def _default(service: str, resource: str) -> int:
    try:
        return _registered[service][resource]
    except KeyError:
        raise Invalid(f"{service} has no limit named {resource}.", field=resource) from None
