"""What a list page shows, as tables: columns, filters, actions, and what to say when there is nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from apps.core.context import RequestContext
from apps.core.web import cells
from apps.core.web.cells import Cell, text

Text = str | Promise


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; `sort` is an ORM column that is never null."""

    key: str
    label: Text
    cell: Cell | None = None
    sort: str = ""
    lead: bool = False  # the card's heading at phone width
    number: bool = False
    minor: bool = False  # left out at phone width

    def show(self, row: Any, page: Any) -> Any:
        return (self.cell or text(self.key))(row, page)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A choice above the list: `?name=value` becomes the ORM condition of that value."""

    name: str
    label: Text
    choices: Mapping[str, tuple[Text, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something that can be done to a row, alone or to many: calls a service that checks its own rule.

    `loses` says in words what will be gone; an action that has it asks before it acts.
    """

    name: str
    label: Text
    call: Callable[[RequestContext, Any], Any]  # (ctx, row)
    icon: str = ""
    done: Text | Callable[[Sequence[Any]], Text] = ""  # said when it has begun; of the rows, where that depends on them
    when: Callable[[Any], bool] = lambda row: True
    rule: str = ""
    danger: bool = False
    bulk: bool = True
    question: Text = ""
    loses: Callable[[RequestContext, Any], Iterable[Any]] | None = None

    def said(self, rows: Sequence[Any]) -> Text:
        """What is said when it has begun with these rows."""
        return self.done(rows) if callable(self.done) else self.done

    @property
    def asks(self) -> bool:
        return self.loses is not None or bool(self.question)


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    """A list without rows: what this is for, and the one clear next step."""

    icon: str
    title: Text
    text: Text
    link: str = ""  # URL name
    label: Text = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A whole list."""

    columns: tuple[Column, ...]
    sort: str  # key of the column the list is ordered by at first; "-" in front turns it round
    search: tuple[str, ...] = ()  # ORM lookups behind the filter's box
    filters: tuple[Filter, ...] = ()
    actions: tuple[Action, ...] = ()
    live: str = ""  # kinds of events that concern it
    empty: Empty = field(default_factory=lambda: Empty(icon="list", title="", text=""))
    key: str = "pk"

    def column(self, key: str) -> Column | None:
        return next((c for c in self.columns if c.key == key and c.sort), None)


# --- what nearly every list has ---------------------------------------------------------------------


def name_column(url_name: str = "", *, sort: str = "name") -> Column:
    """The first column: the row's name, leading to its page where it has one."""
    cell = cells.link(url_name) if url_name else lambda row, page: format_html("<b>{}</b>", row.name)
    return Column(key="name", label=_("Name"), lead=True, sort=sort, cell=cell)


AGE = Column(key="created", label=_("Age"), sort="created_at", cell=cells.ago("created_at"))


def deletes(
    call: Callable[[RequestContext, Any], Any],
    *,
    rule: str = "",
    label: Text = "",
    done: Text | Callable[[Sequence[Any]], Text] = "",
    when: Callable[[Any], bool] = lambda row: True,
    question: Text = "",
    loses: Callable[[RequestContext, Any], Iterable[Any]] | None = None,
) -> Action:
    """The action that does away with a row; it always asks first."""
    return Action(
        name="delete",
        label=label or _("Delete"),
        icon="trash",
        danger=True,
        rule=rule,
        done=done or _("Deleted"),
        when=when,
        call=call,
        question=question,
        loses=loses,
    )
