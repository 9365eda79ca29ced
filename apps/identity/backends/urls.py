"""Addresses of the catalogue: templates with `$(public_url)s`, `$(project_id)s` and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.conf import settings

_VARIABLE = re.compile(r"[$%]\((\w+)\)s")


def endpoint_url(template: str, values: Mapping[str, str], *, keep_unknown: bool = False) -> str | None:
    """The URL with its variables filled in. One without a value makes it None, or stays with `keep_unknown`."""
    known = {"public_url": settings.CONFIG.public.url, **values}
    if not keep_unknown and any(not known.get(name) for name in _VARIABLE.findall(template)):
        return None
    return _VARIABLE.sub(lambda match: known.get(match[1]) or match[0], template)
