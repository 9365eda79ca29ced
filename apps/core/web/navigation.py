"""The left column and the palette's pages: each app's `web/urls.py` registers its own links."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from apps.core import policy
from apps.core.context import RequestContext

Text = str | Promise

SECTIONS: dict[str, Text] = {
    "": "",
    "compute": _("Compute"),
    "storage": _("Storage"),
    "network": _("Network"),
    "admin": _("Administration"),
}


@dataclass(frozen=True, slots=True)
class Link:
    """A page that is always within reach. `rule` hides it from those who would be refused."""

    name: str  # URL name; its only argument is the project
    label: Text
    icon: str
    section: str = ""
    order: int = 50
    rule: str = ""
    keys: str = ""  # pressed one after the other


@dataclass(frozen=True, slots=True)
class Shown:
    """A link as one page shows it."""

    link: Link
    url: str
    current: bool


_links: dict[str, Link] = {}


def register(*links: Link) -> None:
    """Add links; one that is registered again replaces itself."""
    _links.update({link.name: link for link in links})


def visible(ctx: RequestContext) -> Iterable[Link]:
    """The links this caller may follow, in order."""
    wanted = (x for x in _links.values() if not x.rule or policy.allowed(ctx, x.rule))
    return sorted(wanted, key=lambda x: (list(SECTIONS).index(x.section), x.order))


def sections(ctx: RequestContext, project: str, current: str) -> list[dict[str, Any]]:
    """What the left column shows: sections with their links."""
    found: dict[str, list[Shown]] = {}
    for link in visible(ctx):
        url = reverse(link.name, args=(project,))
        found.setdefault(link.section, []).append(Shown(link, url, link.name == current))
    return [{"label": SECTIONS[name], "links": links} for name, links in found.items()]
