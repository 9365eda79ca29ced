"""The table of one resource, and what is built from it: the renderer, the columns to read, the schemas.

A `Resource` is the single description of what an API shows and takes. From it the kernel compiles, once for each
distinct set of visible fields, a plain function from a row (a dict of columns) to a JSON object.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models.expressions import BaseExpression, Combinable

from apps.core import policy
from apps.core.api import types as t
from apps.core.context import RequestContext

Version = tuple[int, int]
FIRST: Version = (0, 0)
LAST: Version = (9999, 9999)

# Where a field stands.
LIST = "list"  # the brief collection (GET /servers)
DETAIL = "detail"  # the full collection (GET /servers/detail, GET /networks)
SHOW = "show"  # one by id
CREATED = "created"  # the answer to a create, where it differs from SHOW
CREATE = "create"  # taken on create
UPDATE = "update"  # taken on update
READ = (DETAIL, SHOW)
WRITE = (CREATE, UPDATE)

# What happens to attributes that no table knows.
REFUSE = "refuse"
EXTRA = "extra"
IGNORE = "ignore"

# What a computed field returns when it shall not be in the answer at all; the field says `maybe=True`.
ABSENT: Any = object()

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Env:
    """What a computed field may look at besides its row."""

    ctx: RequestContext
    version: Version
    base: str  # scheme://host[:port] as the client reached the cloud


@dataclass(frozen=True, slots=True, eq=False)
class F:
    """One attribute on the wire: its type, where it appears, since when, and who may see or set it."""

    name: str
    type: t.Type = t.anything
    on: tuple[str, ...] = READ
    source: str = ""  # column, relation path or annotation, where it differs from the name
    value: Callable[[Row, Env], Any] | None = None  # computed instead of read
    needs: tuple[str, ...] = ()  # columns that `value` reads
    since: Version = FIRST
    until: Version = LAST
    rule: str = ""  # rule a caller needs to see it
    sets: str = ""  # rule a caller needs to set it; enforced by the view through the service's context
    filter: str = ""  # ORM lookup behind ?name=
    sort: str = ""  # ORM column behind sort_key=name
    arg: str = ""  # keyword of the service; default: the name in snake case
    required: bool = False  # in a body, unless that updates
    maybe: bool = False  # left out where `value` returns ABSENT

    @property
    def column(self) -> str:
        return self.source or self.name

    @property
    def keyword(self) -> str:
        return self.arg or snake(self.name)

    def in_version(self, version: Version) -> bool:
        return self.since <= version <= self.until


def snake(name: str) -> str:
    """`flavorRef` → `flavor_ref`, `OS-DCF:diskConfig` → `os_dcf_disk_config`."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"[^A-Za-z0-9]+", "_", words).lower().strip("_")


Annotation = Combinable | BaseExpression | Callable[[RequestContext], Any]


@dataclass(frozen=True, eq=False)
class Resource:
    """A noun of an API.

    `annotations` maps a column name that is no column of the table to the expression (or a function of the
    context that makes it) which supplies it, so related rows come in the same query.
    """

    member: str
    collection: str
    fields: tuple[F, ...]
    unknown: str = REFUSE
    bare: bool = False  # no envelope (image service)
    default_sort: tuple[str, ...] = ("-created_at", "-id")
    annotations: Mapping[str, Annotation] = field(default_factory=dict)
    siblings: Mapping[str, tuple[t.Type, str]] = field(default_factory=dict)  # beside the member: type, keyword
    sorts: Mapping[str, str] = field(default_factory=dict)  # sort keys that are no attribute's name: key → column
    noun: str = ""  # for messages
    key: str = ""  # keyword by which services take the id
    ident: str = "pk"  # column that names a row on the wire; another one where the primary key has several
    small: str = ""  # why its lists need no index: what keeps the table, or what one caller is shown of it, short

    def __post_init__(self) -> None:
        for one in self.fields:
            for other in self.fields:
                clash = (
                    one is not other
                    and one.name == other.name
                    and set(one.on) & set(other.on)
                    and one.since <= other.until
                    and other.since <= one.until
                )
                if clash:
                    raise ValueError(f"{self.member}.{one.name} is described twice for the same versions")

    @property
    def id_keyword(self) -> str:
        return self.key or f"{snake(self.member)}_id"

    @property
    def label(self) -> str:
        return self.noun or self.member.replace("_", " ")

    # --- going out ---------------------------------------------------------------------------------

    def visible(self, view: str, version: Version, ctx: RequestContext) -> tuple[F, ...]:
        """The fields this caller sees in this view at this version."""
        hidden = frozenset(rule for rule in self._rules(view, version) if not policy.allowed(ctx, rule))
        return self._fields(view, version, hidden)

    @functools.cache  # noqa: B019 - resources are module constants
    def _rules(self, view: str, version: Version) -> frozenset[str]:
        return frozenset(f.rule for f in self.fields if f.rule and view in f.on and f.in_version(version))

    @functools.cache  # noqa: B019
    def _fields(self, view: str, version: Version, hidden: frozenset[str]) -> tuple[F, ...]:
        return tuple(f for f in self.fields if view in f.on and f.in_version(version) and f.rule not in hidden)

    @functools.cache  # noqa: B019
    def columns(self, fields: tuple[F, ...]) -> tuple[str, ...]:
        """Columns that rendering these fields reads."""
        names = {self.ident} | {need for f in fields for need in f.needs}
        names |= {f.column for f in fields if f.value is None}
        return tuple(sorted(names))

    def annotated(self, columns: tuple[str, ...], ctx: RequestContext) -> dict[str, Any]:
        """The expressions behind those columns that are annotations."""
        found: dict[str, Any] = {}
        for name in columns:
            if name == "pk":
                continue
            expression = self.annotations.get(name)
            if expression is None:
                continue
            is_expression = isinstance(expression, Combinable | BaseExpression)
            found[name] = expression if is_expression else expression(ctx)  # type: ignore[operator]
        return found

    @functools.cache  # noqa: B019
    def renderer(self, fields: tuple[F, ...]) -> Callable[[Row, Env], dict[str, Any]]:
        """A function that renders one row; compiled, since lists of a thousand rows go through it."""
        scope: dict[str, Any] = {"ABSENT": ABSENT}
        items = []
        drops = [f"    if out[{f.name!r}] is ABSENT: del out[{f.name!r}]\n" for f in fields if f.maybe]
        for index, f in enumerate(fields):
            if f.value is not None:
                scope[f"v{index}"] = f.value
                items.append(f"{f.name!r}: v{index}(row, env)")
            elif f.type.render is not None:
                scope[f"r{index}"] = f.type.render
                items.append(f"{f.name!r}: r{index}(row[{f.column!r}])")
            else:
                items.append(f"{f.name!r}: row[{f.column!r}]")
        source = f"def render(row, env):\n    out = {{{', '.join(items)}}}\n{''.join(drops)}    return out\n"
        exec(compile(source, f"<renderer of {self.member}>", "exec"), scope)  # noqa: S102 - from our own table
        render: Callable[[Row, Env], dict[str, Any]] = scope["render"]
        return render

    # --- coming in ---------------------------------------------------------------------------------

    @functools.cache  # noqa: B019
    def taken(self, view: str, version: Version) -> tuple[F, ...]:
        """Fields a body may hold on create or update."""
        return tuple(f for f in self.fields if view in f.on and f.in_version(version))

    @functools.cache  # noqa: B019
    def schema(self, view: str, version: Version) -> dict[str, Any]:
        """JSON Schema (draft 2020-12) of a whole body."""
        fields = self.taken(view, version)
        inner: dict[str, Any] = {
            "type": "object",
            "properties": {f.name: f.type.schema for f in fields},
            "additionalProperties": self.unknown != REFUSE,
        }
        if view != UPDATE:
            inner["required"] = [f.name for f in fields if f.required]
        if self.bare:
            return inner
        outer = {self.member: inner} | {name: kind.schema for name, (kind, _) in self.siblings.items()}
        return {
            "type": "object",
            "properties": outer,
            "required": [self.member],
            "additionalProperties": self.unknown == IGNORE,
        }

    def arguments(self, view: str, version: Version, body: Mapping[str, Any]) -> dict[str, Any]:
        """A validated body as keyword arguments of the service; unknown attributes as `extra` where kept."""
        inner = body if self.bare else body[self.member]
        known = {f.name: f for f in self.taken(view, version)}
        arguments = {known[name].keyword: value for name, value in inner.items() if name in known}
        if self.unknown == EXTRA:
            arguments["extra"] = {name: value for name, value in inner.items() if name not in known}
        for name, (_, keyword) in self.siblings.items():
            if not self.bare and name in body:
                arguments[keyword] = body[name]
        return arguments

    def guarded(self, view: str, version: Version, body: Mapping[str, Any]) -> list[str]:
        """Rules that the attributes in this body need."""
        inner = body if self.bare else body[self.member]
        return [f.sets for f in self.taken(view, version) if f.sets and f.name in inner]
