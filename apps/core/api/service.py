"""What distinguishes one OpenStack API from another: its prefix, versions, fault bodies and manner of paging."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.core.api.microversions import Microversions

Fault = Callable[[int, str, str, str], Any]  # status, title, message, code → body
PageLinks = Callable[["Page"], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Page:
    """What a paging style needs to know about one page of a collection."""

    collection: str
    path: str  # absolute URL of the collection, without a query
    base: str  # scheme://host[:port]
    next_query: str  # query string of the next page, or "" at the end
    previous_query: str  # likewise towards the start, where the style has one


@dataclass(frozen=True, slots=True, eq=False)
class Api:
    """One API; it is found by the prefix of a path."""

    name: str  # nova's word for itself in the catalogue: "compute"
    prefix: str  # "/compute"
    fault: Fault
    links: PageLinks
    versions: Microversions | None = None
    max_page: int = 1000
    id_header: str = ""  # an extra header that repeats the request id
    strict_filters: bool = False  # unknown query parameters are refused

    def __post_init__(self) -> None:
        if self.prefix:
            _by_prefix[self.prefix] = self


_by_prefix: dict[str, Api] = {}


def api_of(path: str) -> Api | None:
    """The API whose prefix a path lies under; None for pages."""
    return next((api for prefix, api in _by_prefix.items() if path == prefix or path.startswith(f"{prefix}/")), None)


# --- fault bodies ----------------------------------------------------------------------------------

_NOVA_NAMES = {
    400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod",
    406: "computeFault", 409: "conflictingRequest", 413: "overLimit", 415: "badMediaType", 429: "overLimit",
    501: "notImplemented", 503: "serviceUnavailable",
}  # fmt: skip


def nova_fault(status: int, title: str, message: str, code: str) -> Any:
    """`{"itemNotFound": {"code": 404, "message": …}}`; block storage uses it too."""
    return {_NOVA_NAMES.get(status, "computeFault"): {"code": status, "message": message}}


def neutron_fault(status: int, title: str, message: str, code: str) -> Any:
    """`{"NeutronError": {"type": …, "message": …, "detail": ""}}`."""
    return {"NeutronError": {"type": code or title.replace(" ", ""), "message": message, "detail": ""}}


def keystone_fault(status: int, title: str, message: str, code: str) -> Any:
    """`{"error": {"code": 404, "message": …, "title": "Not Found"}}`; Kumo's own API uses it too."""
    return {"error": {"code": status, "message": message, "title": title}}


def unauthorized(message: str) -> Any:
    """Every service's 401 is written by the same middleware in OpenStack, so it looks like identity's."""
    return keystone_fault(401, "Unauthorized", message, "")


def glance_fault(status: int, title: str, message: str, code: str) -> Any:
    """`{"code": "404 Not Found", "title": "Not Found", "message": …}`."""
    return {"message": message, "code": f"{status} {title}", "title": title}


def placement_fault(status: int, title: str, message: str, code: str) -> Any:
    """`{"errors": [{"status": 404, …}]}`."""
    return {
        "errors": [{"status": status, "title": title, "detail": message, "code": code or "placement.undefined_code"}]
    }


# --- paging ----------------------------------------------------------------------------------------


def nova_links(page: Page) -> Mapping[str, Any]:
    """`servers_links` with rel=next, absent at the end; block storage's too."""
    if not page.next_query:
        return {}
    return {f"{page.collection}_links": [{"rel": "next", "href": f"{page.path}?{page.next_query}"}]}


def neutron_links(page: Page) -> Mapping[str, Any]:
    """`networks_links` with rel=next and rel=previous."""
    found = [
        {"rel": rel, "href": f"{page.path}?{query}"}
        for rel, query in (("next", page.next_query), ("previous", page.previous_query))
        if query
    ]
    return {f"{page.collection}_links": found} if found else {}


def keystone_links(page: Page) -> Mapping[str, Any]:
    """`links` with next, self and previous, always there."""
    following = f"{page.path}?{page.next_query}" if page.next_query else None
    return {"links": {"next": following, "self": page.path, "previous": None}}
