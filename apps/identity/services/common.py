"""Small things that the services of identity share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import Model
from django.db.models.functions import Now

from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden, Invalid
from apps.core.transactions import on_violation
from apps.identity.models import Named
from apps.identity.states import DEFAULT_DOMAIN_ID


def domain_or_own(domain_id: str | None, ctx: RequestContext) -> str:
    """The domain that was named, else that of the caller's scope."""
    return domain_id or ctx.domain_id or ctx.project_domain_id or DEFAULT_DOMAIN_ID


def unchangeable(row: Model, **asked: Any) -> None:
    """Raise Invalid if a body gives a fixed attribute another value; repeating the present one is fine."""
    for name, value in asked.items():
        if value is not None and value != getattr(row, name):
            raise Invalid(f"`{name}` cannot be changed after creation.", field=name)


def apply(row: Named, changes: Mapping[str, Any], *, extra: Mapping[str, Any] | None) -> None:
    """Write attributes that were given, merging `options` (null removes one) and `extra`, and save these columns."""
    written = dict(changes)
    if "description" in written:
        written["description"] = written["description"] or ""
    if "options" in written:
        written["options"] = merged_options(row.options, written["options"])
    if extra:
        written["extra"] = {**row.extra, **extra}
    for name, value in written.items():
        setattr(row, name, value)
    row.updated_at = Now()
    row.save(update_fields=[*written, "updated_at"])


def merged_options(present: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options after a change; null takes one away."""
    both = {**present, **(given or {})}
    return {name: value for name, value in both.items() if value is not None}


def mutable(row: Named, noun: str, *, options: Mapping[str, Any] | None = None, deleting: bool = False) -> None:
    """Raise Forbidden for a row with the option `immutable`, except when this very change takes it off."""
    if not row.options.get("immutable"):
        return
    if not deleting and options is not None and "immutable" in options and not options["immutable"]:
        return
    verb = "delete" if deleting else "update"
    raise Forbidden(
        f'Unable to {verb} immutable {noun} resource: `{row.pk}`. Set resource option "immutable" to false first.'
    )


def _duplicate(noun: str, constraint: str) -> None:
    on_violation(
        constraint, lambda detail: Conflict(f"Conflict occurred attempting to store {noun} - {detail or 'duplicate'}")
    )


for _noun, _constraint in (
    ("domain", "identity_domain_name"),
    ("project", "identity_project_name"),
    ("user", "identity_user_name"),
    ("group", "identity_group_name"),
    ("role", "identity_role_name"),
    ("project", "identity_project_pkey"),
    ("region", "identity_region_pkey"),
):
    _duplicate(_noun, _constraint)
