"""Registered limits and limits, cut to what the caller may see."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.policy import enforce
from apps.core.transactions import selector
from apps.identity.models import Limit

MODELS = {
    "flat": "Limit enforcement and validation does not take project hierarchy into consideration.",
    "strict_two_level": "This model requires project hierarchy never exceeds a depth of two",
}


@selector("identity:get_limit_model")
def limit_model(ctx: RequestContext) -> dict[str, str]:
    """Name and description of the model in force."""
    name = settings.CONFIG.identity.limits_model
    return {"name": name, "description": MODELS[name]}


@selector("identity:list_registered_limits")
def registered_limit_list(ctx: RequestContext) -> QuerySet[Limit]:
    """The defaults of all resources."""
    return Limit.objects.filter(project=None)


@selector("identity:get_registered_limit")
def registered_limit_get(ctx: RequestContext, *, registered_limit_id: str) -> QuerySet[Limit]:
    """One default."""
    return Limit.objects.filter(project=None, pk=registered_limit_id)


@selector("identity:list_limits")
def limit_list(ctx: RequestContext) -> QuerySet[Limit]:
    """Limits: all for administrators, services and system scope, else those of the own domain or project."""
    rows = Limit.objects.filter(project__isnull=False, user_id="")
    if ctx.system_scope or ctx.is_admin or ctx.has_role("service"):
        return rows
    if ctx.domain_id:
        return rows.filter(Q(project_id=ctx.domain_id) | Q(project__domain_id=ctx.domain_id))
    return rows.filter(project_id=ctx.project_id)


@selector("anyone")
def limit_get(ctx: RequestContext, *, limit_id: str) -> QuerySet[Limit]:
    """One limit. Raises NotFound."""
    rows = Limit.objects.filter(project__isnull=False, user_id="").filter(pk=limit_id)
    row = rows.select_related("project").first()
    enforce(ctx, "identity:get_limit", {"target": {"limit": _facts(row)}} if row else {})
    if row is None:
        raise NotFound("limit", limit_id)
    return rows


def _facts(row: Limit) -> dict[str, Any]:
    assert row.project is not None
    if row.project.is_domain:
        return {"domain": {"id": row.project_id}}
    return {"project_id": row.project_id, "project": {"domain_id": row.project.domain_id}}
