"""What operations are about: each app says how its things are called and where their page is.

Operations stand below the apps whose things they change, so they ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from apps.core.web.navigation import Text


@dataclass(frozen=True, slots=True)
class Subject:
    """A kind of thing: its noun, its page's URL name, and the names of those ids that still exist."""

    noun: Text
    url_name: str
    names: Callable[[Iterable[str]], Mapping[str, str]]


_subjects: dict[str, Subject] = {}


def register(kind: str, subject: Subject) -> None:
    """Add a kind, or replace it."""
    _subjects[kind] = subject


def of_kind(kind: str) -> Subject | None:
    """What an app said of the kind."""
    return _subjects.get(kind)


def names(wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """`(kind, id)` → name, one query for each kind; what is gone is absent."""
    by_kind: dict[str, list[str]] = {}
    for kind, ident in wanted:
        by_kind.setdefault(kind, []).append(ident)
    found: dict[tuple[str, str], str] = {}
    for kind, idents in by_kind.items():
        if kind in _subjects:
            found |= {(kind, ident): name for ident, name in _subjects[kind].names(idents).items()}
    return found
