"""What stands in a table's cell or beside a fact: small functions from a row to safe HTML.

A row is a model instance or a mapping; `pick` reads both, following dots.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Mapping
from typing import Any

from django.templatetags.static import static
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

Cell = Callable[[Any, Any], Any]  # (row, page) -> text or safe HTML

NOTHING = mark_safe('<span class="muted">–</span>')


def pick(row: Any, path: str) -> Any:
    """`a.b` of a row; None where something on the way is missing."""
    for part in path.split("."):
        row = row.get(part) if isinstance(row, Mapping) else getattr(row, part, None)
        if row is None:
            return None
    return row


def text(path: str) -> Cell:
    """The value as it is, or a dash."""
    return lambda row, page: NOTHING if pick(row, path) in (None, "") else pick(row, path)


def link(url_name: str, path: str = "name", ident: str = "id") -> Cell:
    """The row's name, leading to its page; where it has no name, the start of its id."""

    def cell(row: Any, page: Any) -> SafeString:
        label = pick(row, path) or str(pick(row, ident))[:8]
        return format_html('<a class="name" href="{}">{}</a>', page.url(url_name, pick(row, ident)), label)

    return cell


def short_id(path: str = "id") -> Cell:
    """The first eight characters with the whole id to copy."""
    return lambda row, page: copied(pick(row, path), str(pick(row, path) or "")[:8])


def mono(path: str) -> Cell:
    """An address or a key: fixed width, with a button that copies it."""
    return lambda row, page: copied(pick(row, path))


def copied(value: Any, label: str = "") -> SafeString:
    """Text with a button that copies it."""
    if value in (None, ""):
        return NOTHING
    return format_html(
        '<span class="copy"><span class="mono" title="{0}">{1}</span>'
        '<button type="button" class="bare tiny" data-copy="{0}" aria-label="{2}">{3}</button></span>',
        value,
        label or value,
        _("Copy %(what)s") % {"what": value},
        icon("copy"),
    )


@functools.cache
def icon(name: str, extra: str = "") -> SafeString:
    """One icon of the sprite; a page shows hundreds, so they are made once."""
    return format_html(
        '<svg class="i {}" aria-hidden="true"><use href="{}#{}"></use></svg>',
        extra,
        static("kumo/icons.svg"),
        name,
    )


def ago(path: str) -> Cell:
    """How long ago, with the exact time on hover."""
    return lambda row, page: time_ago(pick(row, path))


def time_ago(moment: datetime.datetime | None) -> SafeString:
    """`3 d`, as an element whose exact time the browser puts into the reader's zone."""
    if moment is None:
        return NOTHING
    seconds = max(0, int((timezone.now() - moment).total_seconds()))
    return format_html(
        '<time class="nowrap" datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        moment.strftime("%Y-%m-%d %H:%M:%S UTC"),
        span(seconds),
    )


SPANS = ((86400, lambda n: ngettext("%d d", "%d d", n)), (3600, lambda n: ngettext("%d h", "%d h", n)))


def span(seconds: float) -> str:
    """A length of time in its largest unit."""
    whole = int(seconds)
    for size, unit in SPANS:
        if whole >= size:
            return unit(whole // size) % (whole // size)
    if whole >= 60:
        return _("%d min") % (whole // 60)
    return _("%d s") % whole


def mib(path: str) -> Cell:
    """Memory: GiB from 1,024 MiB on."""
    return lambda row, page: size_mib(pick(row, path))


def size_mib(value: int | None) -> Any:
    if value is None:
        return NOTHING
    return f"{value / 1024:g} GiB" if value >= 1024 and value % 512 == 0 else f"{value} MiB"


def size_bytes(value: int | None) -> Any:
    """Bytes in the unit that leaves one to four digits."""
    if value is None:
        return NOTHING
    amount, units = float(value), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:.0f} {units[0]}" if amount >= 100 or units[0] == "B" else f"{amount:.1f} {units[0]}"


def bytes_of(path: str) -> Cell:
    return lambda row, page: size_bytes(pick(row, path))


def gib(path: str) -> Cell:
    return lambda row, page: NOTHING if pick(row, path) is None else f"{pick(row, path)} GiB"


def yes_no(path: str, yes: str | Promise, no: str | Promise) -> Cell:
    return lambda row, page: yes if pick(row, path) else no


def state(path: str, words: Mapping[str, tuple[str, Any]]) -> Cell:
    """A state from a table `value -> (tone, word)`; tones are those of the style sheet."""
    return lambda row, page: badge(*words.get(str(pick(row, path)), ("idle", str(pick(row, path)))))


def badge(tone: str, word: Any, percent: int | None = None) -> SafeString:
    """Shape and word of a state, with how far it is where that is known."""
    figure = format_html(' <span class="pct">{}&nbsp;%</span>', percent) if percent is not None else ""
    return format_html('<span class="state {}">{}{}</span>', tone, word, figure)


def tags(values: Any) -> Any:
    """A few words, each in a frame of its own."""
    values = list(values or ())
    if not values:
        return NOTHING
    return format_html_join(" ", '<span class="tag">{}</span>', ((v,) for v in values))


def lines(values: Any) -> Any:
    """Several values, one under the other."""
    values = [v for v in (values or ()) if v]
    if not values:
        return NOTHING
    return format_html_join(mark_safe("<br>"), "{}", ((v,) for v in values))
