"""Reading the log: everybody their own events, managers their project's, system readers and administrators all."""

from __future__ import annotations

import datetime
import uuid

from django.db import connection
from django.db.models import Q, QuerySet

from apps.audit.models import Event
from apps.core import policy
from apps.core.context import RequestContext
from apps.core.transactions import internal, selector


@selector("audit:list_events")
def event_list(
    ctx: RequestContext,
    *,
    since: datetime.datetime | None = None,
    until: datetime.datetime | None = None,
    target_type: str = "",
    target_id: str = "",
) -> QuerySet[Event]:
    """The events this caller may see, from `since` on and before `until`."""
    rows = Event.objects.all()
    if since is not None:
        rows = rows.filter(at__gte=since)
    if until is not None:
        rows = rows.filter(at__lt=until)
    if target_type:
        rows = rows.filter(target_type=target_type)
    if target_id:
        rows = rows.filter(target_id=target_id)
    if policy.allowed(ctx, "audit:list_all_events"):
        return rows
    own = Q(user_id=ctx.user_id) if ctx.user_id else Q(id__in=[])
    if ctx.project_id and policy.allowed(ctx, "audit:list_project_events"):
        own |= Q(project_id=ctx.project_id)
    return rows.filter(own)


@selector("audit:list_events")
def event_get(ctx: RequestContext, *, event_id: uuid.UUID | str) -> QuerySet[Event]:
    """One event, if this caller may see it."""
    return event_list(ctx).filter(id=event_id)


@internal("doctor asks, before anybody is known", atomic=False)
def homeless_events(ctx: RequestContext) -> bool:
    """Whether events lie in the default partition because their month has none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM audit_event_default)")
        return bool(cursor.fetchone()[0])


@internal("doctor asks, before anybody is known", atomic=False)
def next_month_is_made(ctx: RequestContext) -> bool:
    """Whether the partition of the coming month exists."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_regclass('audit_event_' || to_char((now() AT TIME ZONE 'UTC') + interval '1 month', 'YYYY_MM'))"
            " IS NOT NULL"
        )
        return bool(cursor.fetchone()[0])
