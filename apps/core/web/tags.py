"""Template tags of all pages, built into the engine."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from apps.core.web import cells

register = template.Library()

register.simple_tag(cells.icon, name="icon")
register.filter("ago", cells.time_ago)
register.filter("span", cells.span)
register.filter("bytes", cells.size_bytes)
register.filter("mib", cells.size_mib)
register.filter("copied", cells.copied)


@register.simple_tag
def quota_bar(label: Any, used: float, limit: float, plus: float = 0, unit: str = "") -> SafeString:
    """Used of limit as words and a bar; `plus` is what a launch would add. A limit below zero means unlimited."""
    total = used + plus
    unlimited = limit is None or limit < 0
    share = 0.0 if unlimited or not limit else used / limit * 100
    tone = _tone(used, total, limit, unlimited)
    figure = _("%(used)s of %(limit)s") % {
        "used": f"{_plain(used)} + {_plain(plus)}" if plus else _plain(used),
        "limit": "∞" if unlimited else f"{_plain(limit)}{unit and ' ' + unit}",
    }
    return format_html(
        '<div class="quota {tone}"><div class="row"><span class="clip">{label}</span>'
        '<span class="figure muted small nowrap">{figure}</span></div>'
        '<svg role="img" aria-label="{label}: {figure}"><rect class="used" width="{used}%" height="100%"></rect>'
        '<rect class="plus" x="{used}%" width="{plus}%" height="100%"></rect></svg></div>',
        tone=tone,
        label=label,
        figure=figure,
        used=round(min(share, 100), 1),
        plus=0 if unlimited or not limit else round(min(plus / limit * 100, max(0, 100 - share)), 1),
    )


def _tone(used: float, total: float, limit: float, unlimited: bool) -> str:
    if unlimited:
        return ""
    if total > limit:
        return "over"
    if used >= limit:
        return "full"
    return "high" if limit and total / limit >= 0.8 else ""


def _plain(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
