"""What every page passes and no API call does: sessions, language, CSRF, and the headers that keep a page safe.

The paths of pages are listed, everything else is left alone: an API prefix can neither read nor set a cookie.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from apps.core.errors import KumoError, NotFound, Unauthorized

Respond = Callable[[HttpRequest], HttpResponseBase]

PAGES = ("/p/", "/sign-in", "/sign-out", "/language", "/console")

HEADERS = {
    # No inline script or style, nothing from elsewhere: what a page runs is in static/.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_page(path: str) -> bool:
    """Does this path belong to the web admin?"""
    return path == "/" or path.startswith(PAGES)


class WebOnlyMiddleware:
    """Runs the middleware of `KUMO_WEB_MIDDLEWARE` for pages only."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response
        self.chain: Any = get_response
        self.layers: list[Any] = []
        for path in reversed(settings.KUMO_WEB_MIDDLEWARE):
            self.chain = import_string(path)(self.chain)
            self.layers.insert(0, self.chain)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_page(request.path_info):
            return self.get_response(request)
        with translation.override(settings.LANGUAGE_CODE):  # a page's language is not that of its thread's next call
            response: HttpResponse = self.chain(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if request.is_secure():
            response.headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        response.headers.setdefault("Cache-Control", "private, no-cache")
        patch_vary_headers(response, ("HX-Request", "Cookie"))
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """Django asks only the outermost layers, so this one hands the question on."""
        if not is_page(request.path_info):
            return None
        try:
            return self._first("process_view", request, view, args, kwargs)
        except KumoError as error:
            return self.process_exception(request, error)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """As `process_view`."""
        if not is_page(request.path_info):
            return None
        return self._first("process_exception", request, error, inward=False)

    def _first(self, hook: str, *args: Any, inward: bool = True) -> HttpResponseBase | None:
        for layer in self.layers if inward else reversed(self.layers):
            answer = getattr(layer, hook, lambda *_: None)(*args)
            if answer is not None:
                return answer
        return None


class ErrorsMiddleware:
    """What a service refuses becomes a page that says why and leads on; scripts get the words in a header."""

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        unknown = response.status_code == 404 and response.get("Content-Type", "").startswith("application/json")
        return (self.process_exception(request, Http404()) if unknown else None) or response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """Words for whoever looks at the page."""
        if isinstance(error, Http404):
            error = NotFound(_("This page"))
        if not isinstance(error, KumoError):
            return None  # a mistake of ours: logged by Django, answered by its 500 page
        if isinstance(error, Unauthorized):
            return _to_sign_in(request)
        if request.headers.get("HX-Request") or request.headers.get("X-Kumo-Act"):
            response = HttpResponse(status=error.status)
            response["X-Kumo-Toasts"] = quote(json.dumps([("error", str(error))]))
            return response
        shown = {"error": error, "home": _home(request)}
        return HttpResponse(render_to_string("core/error.html", shown, request), status=error.status)


def _home(request: HttpRequest) -> str:
    match = request.resolver_match
    project = match.kwargs.get("project") if match and hasattr(request, "ctx") else None
    return f"/p/{quote(project)}/" if project else "/"


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    """To the door, and back to the same page afterwards."""
    there = f"/sign-in?{urlencode({'next': request.get_full_path()})}"
    if request.headers.get("HX-Request") or request.headers.get("X-Kumo-Act"):
        response = HttpResponse(status=204)
        response["HX-Redirect"] = response["X-Kumo-Location"] = "/sign-in"
        return response
    return redirect(there)
