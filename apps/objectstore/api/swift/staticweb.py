"""Containers as web sites, for callers without a token or with a signed address: index, error pages and listings.

`X-Container-Meta-Web-Index`, `-Web-Error`, `-Web-Listings`, `-Web-Listings-CSS`, `-Web-Listings-Label` and
`-Web-Directory-Type` say how. Who may read what is decided as for any call. Source: Swift's documentation of
StaticWeb.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string

from apps.core.errors import Forbidden, KumoError, NotFound, Unauthorized
from apps.core.sendfile import ASKED
from apps.objectstore import selectors
from apps.objectstore.api import origins
from apps.objectstore.api.swift import objects
from apps.objectstore.api.swift.base import Call, Handler, answer, is_true, path_of
from apps.objectstore.selectors import Entry, Page
from apps.objectstore.selectors.access import LinkContext, SignedContext
from apps.objectstore.states import MAX_LISTING

MARKER_TYPE = "application/directory"
# Of an error page nothing is asked but its bytes, and nginx would send it as no error.
_CONDITIONS = ("HTTP_IF_", "HTTP_RANGE", ASKED)


class Listing(HttpResponse):
    """A page that was made here, not stored."""


@dataclass(frozen=True, slots=True)
class Site:
    """How a container is shown, from its metadata."""

    index: str
    error: str
    listings: str
    css: str
    label: str
    marker_type: str

    @property
    def is_on(self) -> bool:
        return bool(self.index or self.listings)


def is_asked(call: Call) -> bool:
    """Whether a request may be one of these; a link opens the one object that it names."""
    if isinstance(call.ctx, LinkContext):
        return False
    looks = call.request.method in {"GET", "HEAD"} and bool(call.address.container)
    nobody = not call.ctx.user_id and not call.ctx.project_id
    return looks and (nobody or is_true(call.headers.get("X-Web-Mode", "")))


def answered(call: Call, handler: Handler) -> HttpResponseBase:
    """What the site shows at an address; `handler` answers where the container is no site."""
    site = _site_of(call)
    response = _object(call, site, handler) if call.address.name else _container(call, site, handler)
    if site.is_on or site.error:
        origins.published(call.request, response)
    return response


def _site_of(call: Call) -> Site:
    found = selectors.container_site(call.ctx, account=call.address.project_id, container=call.address.container)
    word = {name: value.strip() for name, value in found.items()}
    return Site(
        index=word.get("Web-Index", ""),
        error=word.get("Web-Error", ""),
        listings=word.get("Web-Listings", ""),
        css=word.get("Web-Listings-Css", ""),
        label=word.get("Web-Listings-Label", ""),
        marker_type=word.get("Web-Directory-Type", "") or MARKER_TYPE,
    )


def _container(call: Call, site: Site, handler: Handler) -> HttpResponseBase:
    if not site.is_on:
        if is_true(call.headers.get("X-Web-Mode", "")):
            raise NotFound("The page")
        return handler(call)
    try:
        found = _attempt(call, site.index) if site.index else None
        shown = found or _listing(call, site, "")
        return shown if _ends_with_slash(call) else _to_folder(call)
    except (Forbidden, Unauthorized, NotFound) as error:
        return _error_page(call, site, error)


def _object(call: Call, site: Site, handler: Handler) -> HttpResponseBase:
    try:
        response = handler(call)
        if not site.is_on or not _is_marker(response, site):
            return response
        missing: KumoError = NotFound("object", call.address.name)
    except NotFound as error:
        missing = error
    if not site.is_on:
        raise missing
    try:
        return _folder(call, site)
    except NotFound as error:
        return _error_page(call, site, error)


def _folder(call: Call, site: Site) -> HttpResponseBase:
    """What is shown of a name that is no object: its index, or what lies below. Raises NotFound, Forbidden."""
    name = call.address.name
    folder = name if name.endswith("/") else f"{name}/"
    found = _attempt(call, f"{folder}{site.index}") if site.index else None
    if found is None and folder == name:
        return _listing(call, site, folder)
    if folder == name and found is not None:
        return found
    if found is None and not _is_folder(call, folder):
        raise NotFound("object", name)
    return _to_folder(call)


def _is_folder(call: Call, prefix: str) -> bool:
    """Whether something lies below, for callers who may know."""
    try:
        return bool(_entries(call, prefix, 1))
    except Forbidden:
        return False


def _is_marker(response: HttpResponseBase, site: Site) -> bool:
    """Whether an object only stands for a folder."""
    return response.headers.get("Content-Type") == site.marker_type and int(response.headers["Content-Length"]) <= 1


def _attempt(call: Call, name: str) -> HttpResponseBase | None:
    """An object of the site, None where there is none."""
    to = replace(call.address, name=name)
    read = objects.object_head if call.request.method == "HEAD" else objects.object_get
    try:
        return read(Call(call.request, to, call.ctx))
    except NotFound:
        return None


def _error_page(call: Call, site: Site, error: KumoError) -> HttpResponseBase:
    """The site's own page for an error, if it has one that the caller may read; else the error is raised."""
    status = 401 if isinstance(error, Forbidden) and not call.ctx.user_id else error.status
    if not site.error:
        raise error
    plain = Call(_unconditional(call.request), call.address, call.ctx)
    try:
        response = _attempt(plain, f"{status}{site.error}")
    except KumoError:
        response = None
    if response is None:
        raise error
    response.status_code = status
    return response


def _unconditional(request: HttpRequest) -> HttpRequest:
    """The same request, asking for all of an object whatever it is."""
    made = copy.copy(request)
    made.__dict__.pop("headers", None)  # kept from META as it was
    made.META = {name: value for name, value in request.META.items() if not name.startswith(_CONDITIONS)}
    return made


def _ends_with_slash(call: Call) -> bool:
    return path_of(call.request).endswith("/")


def _to_folder(call: Call) -> HttpResponseBase:
    """Where relative addresses of the page mean what lies below it."""
    query = call.request.META.get("QUERY_STRING", "")
    to = f"{quote(path_of(call.request))}/" + (f"?{query}" if query else "")
    return answer(301, {"Location": call.request.build_absolute_uri(to)})


# --- listings --------------------------------------------------------------------------------------


def _entries(call: Call, prefix: str, limit: int) -> list[Entry]:
    return selectors.object_list(
        call.ctx,
        account=call.address.project_id,
        container=call.address.container,
        page=Page(prefix=prefix, delimiter="/", limit=limit),
        referrer=call.referrer,
    )


def _listing(call: Call, site: Site, prefix: str) -> HttpResponseBase:
    """What lies directly below, as a page. Raises NotFound where nothing does, or where it is not shown."""
    words: dict[str, Any] = {"label": _label(call, site, prefix), "css": _css(site, prefix), "index": site.index}
    if not is_true(site.listings):
        body = render_to_string("objectstore/unlisted.html", words)
        if site.error:
            raise NotFound("The page")
        return Listing(body, status=404)
    found = _entries(call, prefix, MAX_LISTING)
    if prefix and not found:
        raise NotFound("The page")
    query, signed_prefix = _signed_query(call)
    rows = [_row(entry, len(prefix)) for entry in sorted(found, key=lambda e: not e.is_subdir)]
    words |= {"rows": rows, "query": query, "has_parent": len(prefix) > len(signed_prefix)}
    return Listing(render_to_string("objectstore/listing.html", words))


def _row(entry: Entry, skip: int) -> Mapping[str, object]:
    name = entry.name[skip:]
    href = quote(name).replace(".", "%2E")
    if entry.is_subdir:
        return {"name": name, "href": href, "kind": "subdir", "size": "", "at": None}
    kind = " ".join(f"type-{part.lower()}" for part in entry.content_type.split("/"))
    return {"name": name, "href": href, "kind": kind, "size": filesizeformat(entry.bytes), "at": entry.at}


def _label(call: Call, site: Site, prefix: str) -> str:
    return f"{site.label}/{prefix}" if site.label else path_of(call.request)


def _css(site: Site, prefix: str) -> str:
    if not site.css:
        return ""
    if site.css.startswith(("/", "http://", "https://")):
        return quote(site.css, ":/")
    return "../" * prefix.count("/") + quote(site.css)


def _signed_query(call: Call) -> tuple[str, str]:
    """The signature for addresses in a listing, and the prefix it is good for."""
    prefix = call.request.GET.get("temp_url_prefix")
    if prefix is None or not isinstance(call.ctx, SignedContext):
        return "", ""
    names = ("temp_url_prefix", "temp_url_expires", "temp_url_sig", "temp_url_ip_range")
    words = [f"{name}={quote(call.request.GET[name])}" for name in names if name in call.request.GET]
    return "?" + "&".join(words + (["inline"] if "inline" in call.request.GET else [])), prefix
