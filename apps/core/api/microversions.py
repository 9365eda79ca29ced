"""Negotiation of microversions, as described in OpenStack's API guidelines."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.http import HttpRequest

from apps.core.errors import Invalid, NotAcceptable

Version = tuple[int, int]
_FORM = re.compile(r"^(\d+)\.(\d+)$")


@dataclass(frozen=True, slots=True)
class Microversion:
    """A number and one line about what it brought."""

    version: Version
    summary: str


@dataclass(frozen=True, slots=True)
class Microversions:
    """The range an API speaks, and the headers that choose from it.

    `word` is the service's name in `OpenStack-API-Version`; `legacy` an older header of its own.
    """

    word: str
    minimum: Version
    maximum: Version
    legacy: str = ""

    def negotiate(self, request: HttpRequest) -> Version:
        """The version to answer in. No header: the minimum; `latest`: the maximum.

        Raises Invalid for a malformed header, NotAcceptable outside the range.
        """
        asked = self._asked(request)
        if not asked:
            return self.minimum
        if asked.lower() == "latest":
            return self.maximum
        match = _FORM.match(asked)
        if not match:
            raise Invalid(f"API Version String '{asked}' is of invalid format. Must be of format MajorNum.MinorNum.")
        version = (int(match[1]), int(match[2]))
        if not self.minimum <= version <= self.maximum:
            raise NotAcceptable(
                f"Version {asked} is not supported by the API. Minimum is {text(self.minimum)} "
                f"and maximum is {text(self.maximum)}.",
                minimum=text(self.minimum),
                maximum=text(self.maximum),
            )
        return version

    def _asked(self, request: HttpRequest) -> str:
        for item in request.headers.get("OpenStack-API-Version", "").split(","):
            word, _, version = item.strip().partition(" ")
            if word.lower() == self.word:
                return version.strip()
        return request.headers.get(self.legacy, "").strip() if self.legacy else ""

    def headers(self, version: Version) -> dict[str, str]:
        """Headers that tell the client which version it got."""
        names = ["OpenStack-API-Version"]
        found = {"OpenStack-API-Version": f"{self.word} {text(version)}"}
        if self.legacy:
            found[self.legacy] = text(version)
            names.append(self.legacy)
        return found | {"Vary": ", ".join(names)}


def text(version: Version) -> str:
    """(2, 1) → "2.1"."""
    return f"{version[0]}.{version[1]}"
