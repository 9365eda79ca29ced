"""What every write leaves behind: who did what to what, from where, and how it ended.

`recorded` is part of `@service`, so no service can forget it. While a service runs, the rows of its noun that it
loads are remembered as they were (`Recalled.from_db`); when it is done, they are compared with what they have
become, and one event is handed to the journal inside the service's own transaction. A refusal is handed over after
the transaction was rolled back. The journal is the class named by `KUMO_AUDIT`: the kernel owns no table.

Nothing that looks like a secret is ever handed over: see `SECRET`, `Recalled.shown_fields` and `shown` of `@service`.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import functools
import ipaddress
import logging
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

from django.apps import apps
from django.conf import settings
from django.db import connection, models, transaction
from django.db.models.expressions import BaseExpression, Combinable
from django.utils.module_loading import import_string

from apps.core.context import RequestContext
from apps.core.errors import Forbidden, KumoError

logger = logging.getLogger("kumo.audit")

SUCCESS, FAILURE = "success", "failure"
HIDDEN = "(hidden)"
MOST_TEXT = 1000  # characters of one text that are kept
MOST_ITEMS = 100  # members of one list or mapping that are kept
MOST_DEPTH = 6
MOST_ROWS = 16  # rows of one call that are remembered

# Names whose values are never kept, wherever they stand: in columns, arguments, or inside JSON.
SECRET = re.compile(
    r"pass(wd|word|phrase|code)?(_|$)|secret|token|private|hash|blob|seal|wrapped|cipher|(^|_)t?otp(_|$)|seed|signature"
    r"|nonce|(^|_)salt|certificates?$|user_?data|personality|contents?$|(^|_)source$|digest"
    r"|(^|_)(code|pin|proof|assertion|jwt|cookie|bind)$"
    r"|(access|secret|encryption|api|license)_?key|[_-](key|credential)s?([_-]\d+)?$|^credentials?$|authorization|^auth$",
    re.IGNORECASE,
)
# Columns that change with every write and say nothing.
HOUSEKEEPING = frozenset({"created_at", "updated_at", "generation", "revision", "token_generation"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an event is about. `project_id` is the project that it belongs to, empty if none is known."""

    type: str
    id: str = ""
    name: str = ""
    project_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the log. `code` is the refusal's HTTP status, 0 for a success."""

    ctx: RequestContext
    action: str
    target: Target
    rule: str = ""
    outcome: str = SUCCESS
    code: int = 0
    reason: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


class Journal(Protocol):
    """Where events go. `write` runs in the caller's transaction."""

    def write(self, event: Event) -> None: ...


@functools.cache
def journal() -> Journal:
    """The journal that settings name."""
    made: Journal = import_string(settings.KUMO_AUDIT)()
    return made


# --- what a service is called in the log ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signature:
    """A service as its decorator sees it; `shown` names arguments that look like secrets and are none."""

    module: str
    name: str
    parameters: frozenset[str]
    shown: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Naming:
    """`apps.compute.services.servers.server_create` is the action `compute.server.create` on rows of `Server`."""

    action: str
    noun: str  # with its app: `compute.server`
    model: type[models.Model] | None
    id_keyword: str
    shown: frozenset[str]


@functools.cache
def naming_of(signature: Signature) -> Naming:
    """A beginning of the function's name that is a model of its app is the noun, the rest the verb.

    The longest such noun whose id the function takes; else, as for what creates rows, the longest.
    """
    path, words = signature.module.split("."), signature.name.split("_")
    app = path[1] if path[0] == "apps" and len(path) > 1 else path[-1]
    known = {model._meta.model_name: model for model in apps.get_models() if model._meta.app_label == app}
    nouns = [n for n in range(len(words) - 1, 0, -1) if "".join(words[:n]) in known] or [max(1, len(words) - 1)]
    count = nouns[0]
    if words[count:] != ["create"]:
        count = next((n for n in nouns if f"{'_'.join(words[:n])}_id" in signature.parameters), count)
    noun, verb = "_".join(words[:count]), "_".join(words[count:]) or "call"
    model = known.get("".join(words[:count]))
    shown = signature.shown | getattr(model, "shown_fields", frozenset())
    return Naming(f"{app}.{noun}.{verb}", f"{app}.{noun}", model, f"{noun}_id", shown)


# --- values that may be kept ------------------------------------------------------------------------


def is_secret(name: str, shown: frozenset[str] = frozenset()) -> bool:
    """Whether the values under this name stay out of the log."""
    return name not in shown and SECRET.search(name) is not None


def plain(text: str) -> str:
    """Text that PostgreSQL and JSON take whatever it was made of: no NUL, no half characters."""
    if not text.isascii():
        text = text.encode(errors="replace").decode()
    return text.replace("\0", "")


def kept(value: Any, shown: frozenset[str] = frozenset(), depth: int = 0) -> Any:
    """A value as it may stand in the log: JSON, bounded, without secrets. What is no plain value becomes HIDDEN."""
    match value:
        case enum.Enum():
            return kept(value.value, shown, depth)
        case None | bool() | float():
            return value
        case int():
            return value if abs(value) < 2**63 else str(value)
        case str():
            return plain(value if len(value) <= MOST_TEXT else f"{value[:MOST_TEXT]}…")
        case uuid.UUID() | ipaddress.IPv4Address() | ipaddress.IPv6Address():
            return str(value)
        case ipaddress.IPv4Network() | ipaddress.IPv6Network() | ipaddress.IPv4Interface() | ipaddress.IPv6Interface():
            return str(value)
        case datetime.datetime() | datetime.date():
            return value.isoformat()
    if depth >= MOST_DEPTH:
        return HIDDEN
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        names = list(value)[:MOST_ITEMS]
        return {plain(str(n)): HIDDEN if is_secret(str(n), shown) else kept(value[n], shown, depth + 1) for n in names}
    if isinstance(value, list | tuple | set | frozenset):
        return [kept(item, shown, depth + 1) for item in list(value)[:MOST_ITEMS]]
    return HIDDEN


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | tuple | dict | set | frozenset) and not value)


def _is_unset(value: Any) -> bool:
    """Defaults by which services tell *not given* from null, and values that the database will work out."""
    return isinstance(value, BaseExpression | Combinable) or type(value) is object or isinstance(value, type)


def _secrets_in(value: Any, shown: frozenset[str], hidden: bool = False) -> Iterator[str]:
    """Texts among the arguments that must not be quoted in a reason either."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _secrets_in(inner, shown, hidden or is_secret(str(name), shown))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets_in(inner, shown, hidden)
    elif hidden and isinstance(value, str) and len(value) > 3:
        yield value


# --- rows as they were ------------------------------------------------------------------------------


class Recalled(models.Model):
    """Base of rows whose former values an event may show.

    `shown_fields` names columns that look like secrets by their name and are none; `secret_fields` those that are
    secret whatever their name. Binary columns are always secret.
    """

    shown_fields: ClassVar[frozenset[str]] = frozenset()
    secret_fields: ClassVar[frozenset[str]] = frozenset()
    project_field: ClassVar[str] = "project_id"  # the column that names the project a row belongs to

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        adding = self._state.adding
        super().save(*args, **kwargs)
        change = _current.get()
        if adding and change is not None:
            change.made(self)

    @classmethod
    def from_db(cls, db: str | None, field_names: Any, values: Any, **options: Any) -> Self:
        row = super().from_db(db, field_names, values, **options)
        change = _current.get()
        if change is not None:
            change.remember(row)
        return row


@functools.cache
def _columns(model: type[models.Model]) -> tuple[tuple[str, bool], ...]:
    """Columns an event may name, and whether their value must be hidden."""
    shown: frozenset[str] = getattr(model, "shown_fields", frozenset())
    secret: frozenset[str] = getattr(model, "secret_fields", frozenset())
    return tuple(
        (
            one.attname,
            isinstance(one, models.BinaryField) or one.attname in secret or is_secret(one.attname, shown),
        )
        for one in model._meta.concrete_fields
        if one.attname not in HOUSEKEEPING
    )


class Change:
    """One call of a service while it runs."""

    def __init__(self, naming: Naming, ctx: RequestContext, rule: str, arguments: Mapping[str, Any]) -> None:
        self.naming, self.ctx, self.rule = naming, ctx, rule
        self.arguments = arguments
        named = not is_secret(naming.id_keyword, naming.shown)  # the id of a bearer token is the token
        self.asked_id = str(arguments.get(naming.id_keyword) or "") if named else ""
        self._rows: dict[str, tuple[dict[str, Any], list[models.Model]]] = {}
        self._made: list[models.Model] = []

    def remember(self, row: models.Model) -> None:
        """Keep what a row of the noun holds when it is first loaded."""
        if not self._concerns(row):
            return
        key = str(row.pk)
        known = self._rows.get(key)
        if known is not None:
            known[1].append(row)
        elif len(self._rows) < MOST_ROWS:
            values = {n: copy.deepcopy(v) if isinstance(v, dict | list) else v for n, v in vars(row).items()}
            self._rows[key] = (values, [row])

    def forget(self) -> None:
        """Begin anew, when the transaction does."""
        self._rows.clear()
        self._made.clear()

    def made(self, row: models.Model) -> None:
        """Note a row that was inserted."""
        if self._concerns(row) and len(self._made) < MOST_ROWS:
            self._made.append(row)

    def _concerns(self, row: models.Model) -> bool:
        model = self.naming.model
        return model is not None and row._meta.concrete_model is model._meta.concrete_model

    def done(self) -> None:
        """Hand over the event of a success, in the service's transaction."""
        made = self._made[0] if self._made else None
        key = self._key() if made is None else str(made.pk)
        old, rows = self._rows.get(key, ({}, []))
        before: dict[str, Any] | None
        after: dict[str, Any] | None
        if made is not None:
            before, after = None, self._all(vars(made))
        elif rows and self._deletes:
            before, after = self._all(old), None
        else:
            before, after = self._difference(old, rows)
        target = self._target(key, old if made is None else vars(made))
        also = {"also_made": [str(row.pk) for row in self._made[1:]]} if len(self._made) > 1 else {}
        journal().write(
            Event(
                ctx=self.ctx,
                action=self.naming.action,
                rule=self.rule,
                target=target,
                before=before or None,
                after=after or None,
                arguments=self._arguments() | also,
            )
        )

    def refused(self, error: Exception) -> None:
        """Hand over the event of a refusal, in a transaction of its own."""
        key = self._key()
        reason = str(error) if isinstance(error, KumoError) else f"unexpected {type(error).__name__}"
        for secret in sorted(_secrets_in(self.arguments, self.naming.shown), key=len, reverse=True):
            reason = reason.replace(secret, HIDDEN)
        write_apart(
            Event(
                ctx=self.ctx,
                action=self.naming.action,
                rule=(error.rule if isinstance(error, Forbidden) else "") or self.rule,
                outcome=FAILURE,
                code=error.status if isinstance(error, KumoError) else 500,
                reason=reason[:MOST_TEXT],
                target=self._target(key, self._rows.get(key, ({}, []))[0]),
                arguments=self._arguments(),
            )
        )

    @property
    def _deletes(self) -> bool:
        return self.naming.action.endswith(("delete", ".remove"))

    def _key(self) -> str:
        return self.asked_id or (next(iter(self._rows)) if len(self._rows) == 1 else "")

    def _target(self, key: str, values: Mapping[str, Any]) -> Target:
        name = values.get("name") or self.arguments.get("name") or ""
        project = str(values.get(getattr(self.naming.model, "project_field", "project_id")) or "")
        return Target(type=self.naming.noun, id=key[:255], name=str(name)[:255], project_id=project)

    def _all(self, values: Mapping[str, Any]) -> dict[str, Any]:
        assert self.naming.model is not None
        found = {}
        for name, secret in _columns(self.naming.model):
            value = values.get(name)
            if not _is_empty(value) and not _is_unset(value):
                found[name] = HIDDEN if secret else kept(value, self.naming.shown)
        return found

    def _difference(self, old: Mapping[str, Any], rows: list[models.Model]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the rows became; where a service wrote past its instance, what was asked for."""
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        if not rows:
            return before, after
        for name, secret in _columns(type(rows[0])):
            if name not in old:
                continue
            now = next((v for v in (vars(row).get(name) for row in rows) if v != old[name]), old[name])
            if now == old[name] and name in self.arguments:
                now = self.arguments[name]
            if now == old[name] or _is_unset(now):
                continue
            before[name] = HIDDEN if secret else kept(old[name], self.naming.shown)
            after[name] = HIDDEN if secret else kept(now, self.naming.shown)
        return before, after

    def _arguments(self) -> dict[str, Any]:
        found = {}
        for name, value in self.arguments.items():
            if name == self.naming.id_keyword or _is_empty(value) or _is_unset(value):
                continue
            found[name] = HIDDEN if is_secret(name, self.naming.shown) else kept(value, self.naming.shown)
        return found


_current: ContextVar[Change | None] = ContextVar("audited_change", default=None)


def is_recorded(ctx: RequestContext) -> bool:
    """Whether writes in this context are events: those of people and programs, not what follows from them.

    Kumo's own work is told by operations, whose request id is that of the event that began them.
    """
    return not ctx.is_system or bool(ctx.credential)


@contextmanager
def change_of(naming: Naming, ctx: RequestContext, rule: str, arguments: Mapping[str, Any]) -> Iterator[Change | None]:
    """The event of one outermost service; None inside another one, whose event says it all, and for Kumo's own work."""
    if _current.get() is not None or not is_recorded(ctx):
        yield None
        return
    change = Change(naming, ctx, rule, arguments)
    token = _current.set(change)
    try:
        yield change
    except Exception as error:
        change.refused(error)
        raise
    finally:
        _current.reset(token)


def note(
    ctx: RequestContext,
    action: str,
    target: Target,
    *,
    error: KumoError | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> None:
    """Write an event of what is no service, such as signing in and out, in a transaction of its own."""
    write_apart(
        Event(
            ctx=ctx,
            action=action,
            target=target,
            outcome=FAILURE if error else SUCCESS,
            code=error.status if error else 0,
            reason=error.message if error else "",
            arguments={n: HIDDEN if is_secret(n) else kept(v) for n, v in (arguments or {}).items() if v},
        )
    )


def write_apart(event: Event) -> None:
    """Write an event in a transaction of its own. A log that cannot be written never hides the caller's error."""
    try:
        if connection.in_atomic_block and connection.needs_rollback:
            raise transaction.TransactionManagementError("the surrounding transaction is broken")
        with transaction.atomic():
            journal().write(event)
    except Exception:
        logger.exception("an event could not be written", extra={"action": event.action, "outcome": event.outcome})
