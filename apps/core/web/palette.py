"""What the command palette finds: pages, commands, and the resources that apps search for.

Each app's `web/urls.py` registers a searcher; it calls the app's selectors, so it finds what the caller may see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import KumoError
from apps.core.web import navigation
from apps.core.web.navigation import Text

MOST = 6  # of each kind


@dataclass(frozen=True, slots=True)
class Hit:
    """One line of the palette: `args` of the URL follow the project."""

    label: Any
    url_name: str
    args: tuple[Any, ...] = ()
    icon: str = "circle-dot"
    detail: Any = ""


@dataclass(frozen=True, slots=True)
class Command:
    """Something one may do, found by its words."""

    label: Text
    url_name: str
    icon: str = "plus"
    rule: str = ""


Searcher = Callable[[RequestContext, str], Iterable[Hit]]

_commands: dict[str, Command] = {}
_searchers: dict[str, tuple[Text, Searcher]] = {}


def register(*commands: Command) -> None:
    """Add commands; one for the same page replaces the earlier."""
    _commands.update({c.url_name: c for c in commands})


def searcher(kind: str, title: Text, search: Searcher) -> None:
    """Add a kind of resource."""
    _searchers[kind] = (title, search)


def find(ctx: RequestContext, project: str, words: str) -> list[tuple[Text, list[dict[str, Any]]]]:
    """Groups of hits for what was typed: `(title, [{label, url, icon, detail}])`."""
    from django.utils.translation import gettext as _

    typed = words.strip().replace("\0", "").lower()
    groups: list[tuple[Text, list[Hit]]] = []
    if typed:
        groups += [(title, _search(search, ctx, typed)) for title, search in _searchers.values()]
    commands = [c for c in _commands.values() if not c.rule or policy.allowed(ctx, c.rule)]
    groups.append((_("Actions"), [Hit(c.label, c.url_name, icon=c.icon) for c in commands if _fits(c.label, typed)]))
    pages = [Hit(x.label, x.name, icon=x.icon, detail=x.keys) for x in navigation.visible(ctx) if _fits(x.label, typed)]
    groups.append((_("Pages"), pages))
    return [
        (
            title,
            [
                {
                    "label": h.label,
                    "url": reverse(h.url_name, args=(project, *h.args)),
                    "icon": h.icon,
                    "detail": h.detail,
                }
                for h in hits
            ],
        )
        for title, hits in groups
        if hits
    ]


def _search(search: Searcher, ctx: RequestContext, typed: str) -> list[Hit]:
    try:
        return list(search(ctx, typed))[:MOST]
    except KumoError:
        return []  # not allowed to see this kind


def _fits(label: Text, typed: str) -> bool:
    return all(part in str(label).lower() for part in typed.split())
