"""Pages of other origins: which may use a container from a browser, by what its metadata says.

`Access-Control-Allow-Origin` of the container lists origins, or is `*`. Who is not named gets an answer without
these headers, which browsers keep from the page. Source: Swift's documentation of CORS, in its strict mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.core.context import RequestContext
from apps.core.errors import Unauthorized
from apps.objectstore import selectors
from apps.objectstore.api.swift.base import Address, answer

_ORIGIN, _AGE, _EXPOSED = "Access-Control-Allow-Origin", "Access-Control-Max-Age", "Access-Control-Expose-Headers"
_ALWAYS = (
    "cache-control", "content-language", "content-type", "expires", "last-modified", "pragma", "etag", "x-timestamp",
    "x-trans-id", "x-openstack-request-id",
)  # fmt: skip


def preflight(request: HttpRequest, address: Address, methods: Iterable[str]) -> HttpResponseBase:
    """`OPTIONS`: what may be asked. Raises Unauthorized for an origin or method that is not let in."""
    allowed = ", ".join(sorted({*methods, "OPTIONS"}))
    origin, method = request.headers.get("Origin", ""), request.headers.get("Access-Control-Request-Method", "")
    if not origin:
        return answer(200, {"Allow": allowed})
    settings = _settings(address)
    granted = _granted(settings, origin)
    if not granted or method not in methods:
        raise Unauthorized("The origin or the method is not let in.")
    headers = {"Allow": allowed, _ORIGIN: granted, "Access-Control-Allow-Methods": allowed}
    if settings.get(_AGE):
        headers[_AGE] = settings[_AGE]
    if wanted := request.headers.get("Access-Control-Request-Headers", ""):
        headers["Access-Control-Allow-Headers"] = wanted
    return answer(200, headers | {"Vary": "Origin, Access-Control-Request-Headers"})


def shared(request: HttpRequest, address: Address | None, response: HttpResponseBase) -> None:
    """Let the page that asked read the answer, if its origin is let in."""
    origin = request.headers.get("Origin", "")
    if not origin or address is None or not address.container or request.method == "OPTIONS":
        return
    settings = _settings(address)
    if not (granted := _granted(settings, origin)):
        return
    metadata = [
        name.lower() for name in response.headers if name.lower().startswith(("x-container-meta-", "x-object-"))
    ]
    response[_ORIGIN] = granted
    response[_EXPOSED] = ", ".join(dict.fromkeys([*_ALWAYS, *metadata, *settings.get(_EXPOSED, "").lower().split()]))
    if granted != "*":
        response["Vary"] = "Origin"


def _settings(address: Address) -> Mapping[str, str]:
    return selectors.container_origins(RequestContext(), account=address.project_id, container=address.container)


def _granted(settings: Mapping[str, str], origin: str) -> str:
    """What the answer says of the origin: itself, `*`, or nothing."""
    known = settings.get(_ORIGIN, "").split()
    return "*" if "*" in known else origin if origin in known else ""
