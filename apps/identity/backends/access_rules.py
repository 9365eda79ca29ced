"""Does a call fit one of an application credential's access rules?

The pattern of paths is that of Keystone's middleware: `*` and `{name}` stand for one segment, `**` for any number.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from apps.identity.states import CATALOGUE

_SERVICE_OF = {path.split("/")[1]: kind for kind, _, path in CATALOGUE}
_PART = re.compile(r"\*\*|\*|{[^}]*}")


@dataclass(frozen=True, slots=True)
class AllowedCall:
    """One rule: type of service, method, pattern of the path below the service's prefix."""

    service: str
    method: str
    path: str


def fits(rules: Iterable[AllowedCall], *, method: str, path: str) -> bool:
    """Is this request, its path as the cloud sees it (`/compute/v2.1/servers`), allowed by any of the rules?"""
    _, prefix, *rest = path.split("/", 2)
    service = _SERVICE_OF.get(prefix, "")
    below = f"/{rest[0]}" if rest else "/"
    return any(
        rule.service == service and rule.method == method and _pattern(rule.path).fullmatch(below) is not None
        for rule in rules
    )


@functools.lru_cache(maxsize=1024)
def _pattern(path: str) -> re.Pattern[str]:
    fixed = _PART.split(path)
    wild = [".*" if part == "**" else "[^/]+" for part in _PART.findall(path)]
    pieces = [re.escape(text) + (wild[index] if index < len(wild) else "") for index, text in enumerate(fixed)]
    return re.compile("".join(pieces))
