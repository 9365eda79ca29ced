"""Writing events, and looking after the partitions that hold them."""

from __future__ import annotations

from typing import Any

import orjson
from django.conf import settings
from django.db import connection

from apps.audit.states import AHEAD
from apps.core.audit import Event, plain
from apps.core.context import RequestContext, origin
from apps.core.ids import timed_uuid
from apps.core.transactions import internal

_COLUMNS = (
    "id", "action", "outcome", "code", "reason", "rule", "user_id", "user_name", "user_domain_id", "scope", "scope_id",
    "roles", "credential", "token_id", "address", "agent", "request_id", "global_request_id", "project_id",
    "target_type", "target_id", "target_name", "before", "after", "arguments",
)  # fmt: skip
_INSERT = f"INSERT INTO audit_event ({', '.join(_COLUMNS)}) VALUES ({', '.join(['%s'] * len(_COLUMNS))})"  # noqa: S608


class Journal:
    """Where the kernel hands events over: one INSERT in the caller's transaction."""

    def write(self, event: Event) -> None:
        """Store the event; its time is that of the transaction, by the database's clock."""
        with connection.cursor() as cursor:
            cursor.execute(_INSERT, _values(event))


def _values(event: Event) -> list[Any]:
    ctx, target, came_from = event.ctx, event.target, origin.get()
    scope, scope_id = _scope(ctx)
    return [
        str(timed_uuid()), _text(event.action, 128), event.outcome, event.code, _text(event.reason, 1000),
        _text(event.rule, 128), _text(ctx.user_id, 255), _text(ctx.user_name, 255), _text(ctx.user_domain_id, 64),
        scope, _text(scope_id, 64), sorted(ctx.roles), _text(ctx.credential, 128), _text(ctx.token_id, 64),
        came_from.address or None, _text(came_from.agent, 256), _text(ctx.request_id, 64),
        _text(ctx.global_request_id, 64), _text(target.project_id or ctx.project_id, 64), _text(target.type, 64),
        _text(target.id, 255), _text(target.name, 255), _json(event.before), _json(event.after),
        _json(event.arguments) or "{}",
    ]  # fmt: skip


def _scope(ctx: RequestContext) -> tuple[str, str]:
    if ctx.project_id:
        return "project", ctx.project_id
    if ctx.domain_id:
        return "domain", ctx.domain_id
    return ("system", "") if ctx.system_scope or ctx.is_system else ("", "")


def _text(value: str, most: int) -> str:
    return plain(value)[:most]


def _json(value: object) -> str | None:
    return orjson.dumps(value).decode() if value else None


# --- partitions -------------------------------------------------------------------------------------


@internal("the periodic duty of the control worker; nobody asks for it")
def partitions_maintain(ctx: RequestContext) -> tuple[list[str], list[str]]:
    """Make the partitions of the months ahead and drop those out of keeping. Returns the names of both."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT audit_partitions_make(%s), audit_partitions_drop(%s)", [AHEAD, settings.CONFIG.audit.keep_months]
        )
        made, dropped = cursor.fetchone()
    return made, dropped
