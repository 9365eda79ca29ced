"""What every page passes and no API call does: sessions, language, CSRF, and the headers that keep a page safe.

The paths of pages are listed, everything else is left alone: an API prefix can neither read nor set a cookie.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.module_loading import import_string

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
        response: HttpResponse = self.chain(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "private, no-cache")
        patch_vary_headers(response, ("HX-Request", "Cookie"))
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """Django asks only the outermost layers, so this one hands the question on."""
        return self._first("process_view", request, view, args, kwargs) if is_page(request.path_info) else None

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """As `process_view`."""
        return self._first("process_exception", request, error) if is_page(request.path_info) else None

    def _first(self, hook: str, *args: Any) -> HttpResponseBase | None:
        for layer in self.layers:
            answer = getattr(layer, hook, lambda *_: None)(*args)
            if answer is not None:
                return answer  # type: ignore[no-any-return]
        return None
