"""How rules meet rows: the target that a rule compares the caller with, and lists cut to what a caller may see."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.policy import Target, allowed, enforce
from apps.identity.models import Role

M = TypeVar("M", bound=Model)


def target_of(**rows: Model | None) -> Target:
    """`{"target": {"user": {…}, …}}` with what Keystone's rules look at; a row that is None is left out."""
    return {"target": {noun: _facts(noun, row) for noun, row in rows.items() if row is not None}}


def _facts(noun: str, row: Any) -> dict[str, Any]:
    if isinstance(row, Role):
        return {"id": row.pk, "name": row.name, "domain_id": row.domain_id or "None"}
    if noun == "domain":
        return {"id": row.pk}
    return {"id": row.pk, "domain_id": row.domain_id}


def scoped(rows: QuerySet[M], ctx: RequestContext, rule: str, *, domain_column: str = "domain_id") -> QuerySet[M]:
    """All rows for callers whom the rule gives all, those of the caller's domain for its readers, else Forbidden."""
    if allowed(ctx, rule, {}):
        return rows
    of_domain = {"domain_id": ctx.domain_id}
    own = {
        "domain_id": ctx.domain_id,
        "domain": {"id": ctx.domain_id},
        "user": of_domain,
        "group": of_domain,
        "project": of_domain,
    }
    enforce(ctx, rule, {"target": own} if ctx.domain_id else {})
    return rows.filter(**{domain_column: ctx.domain_id})


def found(rows: QuerySet[M], ident: str, ctx: RequestContext, rule: str, *, noun: str) -> M:
    """The row, if the caller may. Forbidden for a row that is not there, to who may not see any; else NotFound."""
    row = rows.filter(pk=ident).first()
    enforce(ctx, rule, target_of(**{noun: row}))
    if row is None:
        raise NotFound(noun, ident)
    return row


def row_of(rows: type[M], ident: str, noun: str) -> M:
    """The row, for callers that are checked later. Raises NotFound."""
    row = rows._default_manager.filter(pk=ident).first()
    if row is None:
        raise NotFound(noun, ident)
    return row
