"""Limits of projects and domains, and the claim that keeps a project in bounds.

An app registers its resources with their defaults in `ready()`. A row without a project is the registered limit of
everybody and replaces the default, a row with one replaces it there, one with a user as well bounds that user within
the project: the quota calls of the services and identity's unified limits read and write these same rows. Usage is
never stored: the claiming service counts its own rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import F, Q, QuerySet

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound, OverQuota
from apps.core.transactions import internal, on_violation, service
from apps.identity.models import Limit, Project, Region, Service
from apps.identity.selectors.access import row_of
from apps.identity.states import built_in_id, service_name

UNLIMITED = -1
MAX_VALUE = 2**31 - 1
TWO_LEVELS = "strict_two_level"

# Limits of projects and domains as a whole.
_OWN = Limit.objects.filter(project__isnull=False, user_id="")

_registered: dict[str, dict[str, int]] = {}

on_violation(
    "identity_limit_once",
    lambda detail: Conflict(f"Conflict occurred attempting to store limit - {detail}"),
)


def limits_register(service: str, defaults: Mapping[str, int]) -> None:
    """Name the resources of a service with their default limits; called by each app's `ready()`."""
    _registered.setdefault(service, {}).update(defaults)


@internal("`bootstrap`, so that the list of registered limits shows what the services check")
def registered_limits_ensured(ctx: RequestContext) -> None:
    """Make a row for every default that has none."""
    Limit.objects.bulk_create(
        [
            Limit(pk=built_in_id(f"{kind}:{resource}"), service=service, resource=resource, value=value)
            for kind, defaults in _registered.items()
            for service in (_service_of(kind),)
            for resource, value in defaults.items()
        ],
        ignore_conflicts=True,
    )


@internal("services of the apps ask before they create; what a caller may see, they decide", atomic=False)
def limit_get(ctx: RequestContext, *, project_id: str, service: str, resource: str) -> int:
    """The limit in force for a project, -1 for unlimited. Raises Invalid for a resource nobody registered."""
    default = _default(service, resource)
    return _in_force(project_id, service, resource).get(resource, default)


@internal("the quota calls of the apps, which enforce their own rule", atomic=False)
def limits_of(ctx: RequestContext, *, project_id: str | None, service: str) -> dict[str, int]:
    """All limits of a service in force for a project, by resource; without a project, the defaults."""
    known = _registered.get(service, {})
    return known | {name: value for name, value in _in_force(project_id, service).items() if name in known}


# Every create asks for a limit. Written out, because making this statement anew each time costs as much as all else.
_IN_FORCE = """
SELECT DISTINCT ON (resource) resource, value
FROM identity_limit JOIN identity_service ON identity_service.id = service_id
WHERE identity_service.type = %s AND user_id = '' AND (project_id = %s OR project_id IS NULL)
  AND (region_id = %s OR region_id IS NULL) AND (resource = %s OR %s)
ORDER BY resource, project_id NULLS LAST, region_id NULLS LAST
"""


def _in_force(project_id: str | None, service: str, resource: str = "") -> dict[str, int]:
    """The values that count for a project, by resource: its own before everybody's, a region's before all's."""
    with connection.cursor() as cursor:
        cursor.execute(_IN_FORCE, [service, project_id, settings.CONFIG.public.region, resource, not resource])
        return dict(cursor.fetchall())


@internal("the quota calls of the apps, which enforce their own rule, and their claims")
def limits_of_users(ctx: RequestContext, *, project_id: str, service: str) -> dict[str, dict[str, int]]:
    """Limits that single users of a project have: user → resource → limit."""
    found: dict[str, dict[str, int]] = {}
    rows = Limit.objects.filter(project_id=project_id, service__type=service).exclude(user_id="")
    for user_id, resource, value in rows.values_list("user_id", "resource", "value"):
        found.setdefault(user_id, {})[resource] = value
    return found


@internal("the quota calls of the apps, which enforce their own rule")
def limit_set(
    ctx: RequestContext, *, project_id: str | None, service: str, resource: str, value: int, user_id: str = ""
) -> None:
    """Set a project's limit, one user's in it, or with `project_id=None` everybody's default.

    Raises Invalid for an unknown resource or a value below -1, NotFound for an unknown project, Forbidden where the
    limits of domain and projects would contradict each other.
    """
    _default(service, resource)
    if not UNLIMITED <= value <= MAX_VALUE:
        raise Invalid(f"A limit is -1 for unlimited, or from 0 to {MAX_VALUE}.", field=resource)
    project = row_of(Project, project_id, "project") if project_id is not None else None
    row = Limit(project=project, user_id=user_id, service=_service_of(service), resource=resource, value=value)
    _fits_model(row)
    Limit.objects.update_or_create(
        project=project,
        user_id=user_id,
        service=row.service,
        region=None,
        resource=resource,
        defaults={"value": value},
    )


@internal("the quota calls of the apps, which enforce their own rule")
def limits_reset(ctx: RequestContext, *, project_id: str, service: str, user_id: str = "") -> None:
    """Let a project have the defaults of a service again, its users included; or one user what the project has."""
    rows = Limit.objects.filter(project_id=project_id, service__type=service)
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
    used_in: Callable[[Sequence[str]], int] | None = None,
    limit: int | None = None,
) -> None:
    """Refuse with OverQuota unless `wanted` more fit; `used` counts what the project has, `used_in` what several
    projects have together (what is not counted by project, such as a user's key pairs, has none).

    `limit` bounds a part of the project that has a limit of its own, such as one user, whose rows `used` then counts.

    Until the caller's transaction ends nobody else claims the same resource of this project, so that two
    callers cannot both take the last place. An unlimited resource is neither locked nor counted. With the model
    `strict_two_level` the domain's limit holds for all its projects together.
    """
    if wanted <= 0:
        return
    if used_in is not None and settings.CONFIG.identity.limits_model == TWO_LEVELS:
        _claim_in_domain(ctx, project_id, service, resource, wanted, used_in)
    if limit is None:
        limit = limit_get(ctx, project_id=project_id, service=service, resource=resource)
    _claim(project_id, service, resource, wanted, limit, used)


def _claim_in_domain(
    ctx: RequestContext,
    project_id: str,
    service: str,
    resource: str,
    wanted: int,
    used_in: Callable[[Sequence[str]], int],
) -> None:
    domain_id = Project.objects.filter(pk=project_id).values_list("domain_id", flat=True).first()
    if domain_id is None:
        return
    limit = limit_get(ctx, project_id=domain_id, service=service, resource=resource)
    inside = Project.objects.filter(Q(pk=domain_id) | Q(domain_id=domain_id))
    _claim(domain_id, service, resource, wanted, limit, lambda: used_in(list(inside.values_list("pk", flat=True))))


def _claim(place: str, service: str, resource: str, wanted: int, limit: int, used: Callable[[], int]) -> None:
    if limit == UNLIMITED:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{place}/{service}/{resource}"])
    count = used()
    if count + wanted > limit:
        raise OverQuota(resource, used=count, wanted=wanted, limit=limit)


def _default(service: str, resource: str) -> int:
    try:
        return _registered[service][resource]
    except KeyError:
        raise Invalid(f"{service} has no limit named {resource}.", field=resource) from None


def _service_of(kind: str) -> Service:
    """The service of this type that every cloud has."""
    made, _ = Service.objects.get_or_create(pk=built_in_id(kind), defaults={"type": kind, "name": service_name(kind)})
    return made


# --- unified limits --------------------------------------------------------------------------------


@service("identity:create_registered_limits")
def registered_limits_create(ctx: RequestContext, *, limits: Sequence[Mapping[str, Any]]) -> list[Limit]:
    """Defaults of resources, all or none. Raises Invalid for no such service or region, Conflict for a second one."""
    return [
        Limit.objects.create(
            **_place(one),
            resource=one["resource_name"],
            value=one["default_limit"],
            description=one.get("description"),
        )
        for one in limits
    ]


@service("identity:update_registered_limit")
def registered_limit_update(ctx: RequestContext, *, registered_limit_id: str, **changes: Any) -> Limit:
    """Change a default. Raises NotFound, Invalid, Forbidden while projects have limits of their own that rest on it."""
    row = _locked(Limit.objects.filter(project=None), registered_limit_id, "registered limit")
    moved = {name for name in ("service_id", "region_id", "resource_name") if name in changes}
    if moved and _resting_on(row).exists():
        raise _in_use(row)
    place = _place({"service_id": row.service_id, "region_id": row.region_id} | changes)
    row.service, row.region = place["service"], place["region"]
    row.resource = changes.get("resource_name", row.resource)
    row.value = changes.get("default_limit", row.value)
    row.description = changes.get("description", row.description)
    row.save()
    return row


@service("identity:delete_registered_limit")
def registered_limit_delete(ctx: RequestContext, *, registered_limit_id: str) -> None:
    """Remove a default. Raises NotFound, Forbidden while projects have limits of their own that rest on it."""
    row = _locked(Limit.objects.filter(project=None), registered_limit_id, "registered limit")
    if _resting_on(row).exists():
        raise _in_use(row)
    row.delete()


@service("identity:create_limits")
def limits_create(ctx: RequestContext, *, limits: Sequence[Mapping[str, Any]]) -> list[Limit]:
    """Limits of projects or domains, all or none, domains first, so that a body may hold both levels.

    Raises Invalid for an unknown service, region, project or domain, Forbidden without a registered limit or where
    domain and project contradict each other, Conflict for a second one.
    """
    made: dict[int, Limit] = {}
    for index in sorted(range(len(limits)), key=lambda at: not limits[at].get("domain_id")):
        one = limits[index]
        row = Limit(
            project=_holder(one),
            **_place(one),
            resource=one["resource_name"],
            value=one["resource_limit"],
            description=one.get("description"),
        )
        if not _registered_rows(row).exists():
            raise Forbidden("Unable to create a limit that has no corresponding registered limit.")
        _fits_model(row)
        row.save(force_insert=True)
        made[index] = row
    return [made[index] for index in range(len(limits))]


@service("identity:update_limit")
def limit_update(ctx: RequestContext, *, limit_id: str, **changes: Any) -> Limit:
    """Change value or description of a limit. Raises NotFound, Forbidden where levels would contradict each other."""
    row = _locked(_OWN, limit_id, "limit")
    row.value = changes.get("resource_limit", row.value)
    row.description = changes.get("description", row.description)
    _fits_model(row)
    row.save(update_fields=["value", "description"])
    return row


@service("identity:delete_limit")
def limit_delete(ctx: RequestContext, *, limit_id: str) -> None:
    """Remove a limit: the registered one holds again. Raises NotFound."""
    _locked(_OWN, limit_id, "limit").delete()


def _locked(rows: QuerySet[Limit], ident: str, noun: str) -> Limit:
    row = rows.select_for_update(no_key=True, of=("self",)).filter(pk=ident).first()
    if row is None:
        raise NotFound(noun, ident)
    return row


def _place(given: Mapping[str, Any]) -> dict[str, Any]:
    region_id = given.get("region_id")
    return {
        "service": _named(Service, given["service_id"], "service_id"),
        "region": _named(Region, region_id, "region_id") if region_id is not None else None,
    }


def _holder(given: Mapping[str, Any]) -> Project:
    if given.get("domain_id"):
        return _named(Project, given["domain_id"], "domain_id", is_domain=True)
    return _named(Project, given["project_id"], "project_id")


def _named(model: Any, ident: str, field: str, **more: Any) -> Any:
    row = model.objects.filter(pk=ident, **more).first()
    if row is None:
        raise Invalid(f"Expecting to find valid {field}: there is no {ident}.", field=field)
    return row


def _registered_rows(row: Limit) -> QuerySet[Limit]:
    return Limit.objects.filter(project=None, service=row.service, region=row.region, resource=row.resource)


def _resting_on(row: Limit) -> QuerySet[Limit]:
    same = Limit.objects.filter(service=row.service, region=row.region, resource=row.resource)
    return same.exclude(project=None)


def _in_use(row: Limit) -> Forbidden:
    return Forbidden(f"Unable to update or delete registered limit {row.pk} because there are project limits for it.")


def _fits_model(row: Limit) -> None:
    """With two levels no project has more than its domain, which only unlimited domains leave open."""
    if settings.CONFIG.identity.limits_model != TWO_LEVELS or row.project is None or row.user_id:
        return
    same = Limit.objects.filter(user_id="", service=row.service, region=row.region, resource=row.resource)
    if row.project.is_domain:
        below = same.filter(project__domain_id=row.project_id).values_list("value", flat=True)
        fits = all(_within(value, row.value) for value in below)
    else:
        above = same.filter(Q(project_id=row.project.domain_id) | Q(project=None))
        bound = above.order_by(F("project_id").asc(nulls_last=True)).values_list("value", flat=True).first()
        fits = bound is None or _within(row.value, bound)
    if not fits:
        raise Forbidden(
            f"Invalid resource limit: the limit {row.value} of {row.resource} for {row.project_id} doesn't satisfy "
            "current hierarchy model."
        )


def _within(value: int, bound: int) -> bool:
    return bound == UNLIMITED or (value != UNLIMITED and value <= bound)
