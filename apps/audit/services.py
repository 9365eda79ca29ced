"""Writing events, and looking after the partitions that hold them."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any

import orjson
from django.conf import settings
from django.db import connection

from apps.audit.states import AHEAD, BURST, QUIET, Outcome
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

_COUNT = """INSERT INTO audit_burst (key, began_at, last_at, count, event_id) VALUES (%s, now(), now(), 1, %s)
    ON CONFLICT (key) DO UPDATE SET count = audit_burst.count + 1, last_at = now() RETURNING count"""
# What the one event has not of the first: each refusal may have had another target and other arguments.
_OWN = {"id", "reason", "request_id", "global_request_id", "target_id", "target_name", "before", "after", "arguments"}
_SAME = ", ".join(name for name in _COLUMNS if name not in _OWN)
_TELL = f"""WITH ended AS (
    DELETE FROM audit_burst WHERE began_at < now() - %s::interval OR last_at < now() - %s::interval RETURNING *
), first AS (
    SELECT event.*, count - %s AS more, began_at, last_at
    FROM ended JOIN audit_event event ON event.at = began_at AND event.id = event_id
)
INSERT INTO audit_event
    ({_SAME}, id, request_id, global_request_id, target_id, target_name, reason, arguments)
SELECT {_SAME}, gen_random_uuid(), '', '', '', '', format('%%s more like this were refused', more),
    jsonb_build_object('more', more, 'since', began_at, 'until', last_at)
FROM first WHERE more > 0"""  # noqa: S608


class Journal:
    """Where the kernel hands events over: one INSERT in the caller's transaction."""

    def write(self, event: Event) -> None:
        """Store the event; its time is that of the transaction, by the database's clock.

        Of many refusals the first alone become events of their own: whoever asks in a loop fills no disk.
        """
        values = _values(event)
        with connection.cursor() as cursor:
            if event.outcome == Outcome.FAILURE:
                cursor.execute(_COUNT, [_kind(event), values[0]])
                if cursor.fetchone()[0] > settings.CONFIG.audit.refusals:
                    return
            cursor.execute(_INSERT, values)


def _kind(event: Event) -> str:
    """What tells refusals of one kind to one caller from others; who has no name is the network of an address."""
    caller = event.ctx.user_id or _network(origin.get().address)
    parts = (caller, event.ctx.credential, event.action, str(event.code), event.rule)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _network(address: str) -> str:
    """An address, of IPv6 the half of it that one site has."""
    return str(ipaddress.ip_network(f"{address}/64", strict=False)) if ":" in address else address


@internal("the periodic duty of the control worker; nobody asks for it")
def bursts_end(ctx: RequestContext) -> int:
    """Tell of refusals that were only counted, where an hour is over or all is quiet. Returns of how many kinds."""
    with connection.cursor() as cursor:
        cursor.execute(_TELL, [BURST, QUIET, settings.CONFIG.audit.refusals])
        return int(cursor.rowcount)


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
