"""Finding one row by the text a client gave."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from apps.compute.models import Flavor, Server, ServerDeleted
from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import NotFound

M = TypeVar("M", bound=Model)
NOBODY = uuid.UUID(int=0)


def as_uuid(text: object) -> uuid.UUID | None:
    """A UUID with or without dashes, or None."""
    try:
        return uuid.UUID(str(text))
    except ValueError:
        return None


def key(text: object) -> uuid.UUID:
    """The same for looking a row up: what is no UUID becomes one that no row has."""
    return as_uuid(text) or NOBODY


def one(rows: QuerySet[M], noun: str, ident: object) -> M:
    """The only row. Raises NotFound."""
    found = rows.first()
    if found is None:
        raise NotFound(noun, ident)
    return found


def owned(ctx: RequestContext, rows: QuerySet[M]) -> QuerySet[M]:
    """Rows of the caller's project; of all for administrators."""
    return rows if ctx.is_admin else rows.filter(project_id=ctx.project_id)


def enforce_on(ctx: RequestContext, rule: str, row: Any) -> None:
    """Enforce a rule about a row that knows its project and user."""
    policy.enforce(ctx, rule, {"project_id": str(row.project_id), "user_id": row.user_id})


def visible_server(ctx: RequestContext, server_id: str) -> QuerySet[Server]:
    """At most one server, if the caller may know of it."""
    return owned(ctx, Server.objects.filter(pk=key(server_id)))


def server_for(ctx: RequestContext, server_id: str, rule: str) -> Server:
    """A server that the caller sees and that the rule lets them use. Raises NotFound, then Forbidden."""
    found = visible_server(ctx, server_id).first()
    if found is None:
        raise NotFound("Instance", server_id)
    enforce_on(ctx, rule, found)
    return found


def server_or_tombstone(ctx: RequestContext, server_id: str, rule: str) -> Server | ServerDeleted:
    """The server, or what is remembered of it. Raises NotFound, then Forbidden."""
    found: Server | ServerDeleted | None = visible_server(ctx, server_id).first()
    if found is None:
        found = owned(ctx, ServerDeleted.objects.filter(pk=key(server_id))).first()
    if found is None:
        raise NotFound("Instance", server_id)
    enforce_on(ctx, rule, found)
    return found


def access_rows(flavor: Flavor) -> list[Mapping[str, str]]:
    """The API's rows of who has access."""
    projects = flavor.accesses.order_by("project_id").values_list("project_id", flat=True)
    return [{"flavor_id": flavor.pk, "tenant_id": project} for project in projects]


def key_owner(ctx: RequestContext, user_id: str, rule: str) -> str:
    """Whose key pairs are meant; another user's need the rule."""
    owner = user_id or ctx.user_id
    policy.enforce(ctx, rule, {"user_id": owner, "project_id": ctx.project_id})
    return owner
