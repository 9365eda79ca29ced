"""Entry point of the API and bytes pools. It does not start where objects' bytes cannot be reached from here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloud.settings.base")
django = get_wsgi_application()

from django.conf import settings  # noqa: E402 - settings come first
from django.core.cache import close_caches  # noqa: E402
from django.db import reset_queries  # noqa: E402

from apps.core import processors  # noqa: E402
from apps.core.connections import end_with_threads  # noqa: E402
from apps.core.sendfile import for_nginx  # noqa: E402
from apps.objectstore.checks import refuse_foreign_disks, refuse_wrong_policies  # noqa: E402

# Django's caches are not used here, and queries not recorded: asking each request anew is a tenth of a small one.
request_finished.disconnect(close_caches)
request_started.disconnect(reset_queries)
end_with_threads()
refuse_wrong_policies()
refuse_foreign_disks()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Django's, with what server and framework would lose of paths and headers that are not ASCII.

    A path that is no UTF-8 is read as another; who must tell them apart finds it as it came.
    """
    if settings.KUMO_KEEPS_TOGETHER:
        processors.choose(environ)
    environ["kumo.path"] = environ.get("PATH_INFO", "")
    restore(environ)

    def respond(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        return start_response(status, for_nginx((name, on_the_wire(value)) for name, value in headers), *more)

    return django(environ, respond)


def restore(environ: dict[str, Any]) -> None:
    """Give headers their values again that the server read as empty; nginx hands them on in hexadecimal digits.

    A header that nginx sets itself is not empty, so no client can put another in its place.
    """
    for item in filter(None, environ.pop("HTTP_X_KUMO_HEADERS", "").split(",")):
        name, _, digits = item.partition("=")
        key = name.upper().replace("-", "_")
        key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
        if environ.get(key) == "":
            environ[key] = bytes.fromhex(digits).decode("latin-1")


def on_the_wire(value: str) -> str:
    """A header of an answer for a server that writes text as UTF-8, where WSGI's text stands for single bytes."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value
