"""What every call of Swift's API shares: the parts of its path, who asks, and errors as Swift answers them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.html import escape
from django.utils.http import http_date
from django.utils.module_loading import import_string
from rest_framework.exceptions import AuthenticationFailed

from apps.core import logs
from apps.core.api.faults import translate
from apps.core.context import RequestContext
from apps.core.errors import Forbidden, Invalid, KumoError, NotFound, PreconditionFailed, Unauthorized
from apps.objectstore.api import origins
from apps.objectstore.states import MAX_ACCOUNT_NAME, MAX_CONTAINER_NAME, MAX_OBJECT_NAME, PREFIX

logger = logging.getLogger("kumo.api")

ROOT = "/object-store"
ERROR_TYPE = "text/html; charset=UTF-8"
_TRUE = {"true", "1", "yes", "on", "t", "y"}


class LengthRequired(KumoError):
    """Nobody says how long the body is."""

    status = 411
    title = "Length Required"


class MethodNotAllowed(KumoError):
    """There is no such call here."""

    status = 405
    title = "Method Not Allowed"


class RangeNotSatisfiable(KumoError):
    """No byte that was asked for is there."""

    status = 416
    title = "Requested Range Not Satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"The object has {size} bytes.")
        self.size = size


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of `/v1/{account}/{container}/{object}`; what is not given is empty."""

    project_id: str
    container: str = ""
    name: str = ""

    @property
    def account(self) -> str:
        return f"{PREFIX}{self.project_id}"

    @property
    def path(self) -> str:
        """As signatures name it: from the version on."""
        return "/".join(["/v1", self.account, *filter(None, (self.container, self.name))])


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks for what."""

    request: HttpRequest
    address: Address
    ctx: RequestContext

    @property
    def headers(self) -> Mapping[str, str]:
        return self.request.headers

    @property
    def referrer(self) -> str:
        return self.headers.get("Referer", "")

    def header(self, name: str) -> str:
        """A header's value as UTF-8 text. Raises PreconditionFailed where it is not, or was not when nginx read it."""
        text = utf8(self.headers.get(name, ""), name)
        if "\ufffd" in text:
            raise PreconditionFailed(f"Invalid UTF8 in {name}")
        return text

    def parameter(self, name: str) -> str:
        """A parameter of the query. Raises PreconditionFailed for one that is not UTF-8 text."""
        value = self.request.GET.get(name, "")
        if "\x00" in value or "\ufffd" in value:
            raise PreconditionFailed(f"Bad UTF8 in {name}")
        return value


Handler = Callable[[Call], HttpResponseBase]


def is_true(text: str) -> bool:
    """Whether a header or parameter says yes, as Swift understands it."""
    return text.strip().lower() in _TRUE


def utf8(latin: str, what: str) -> str:
    """What WSGI gives as Latin-1, as the UTF-8 it is on the wire. Raises PreconditionFailed."""
    try:
        text = latin.encode("latin-1").decode()
    except UnicodeError:
        raise PreconditionFailed(f"Invalid UTF8 in {what}") from None
    if "\x00" in text:
        raise PreconditionFailed(f"NULL in {what}")
    return text


def path_of(request: HttpRequest) -> str:
    """The path that a request names, as text. Raises PreconditionFailed."""
    came = request.META.get("kumo.path")  # set by the server's entry point
    path = utf8(came, "the path") if came is not None else request.path_info
    if "\x00" in path:
        raise PreconditionFailed("NULL in the path")
    return path


def address_of(request: HttpRequest) -> Address:
    """The address that a request names. Raises NotFound, PreconditionFailed, Invalid for names too long."""
    parts = path_of(request).removeprefix(ROOT).split("/", 4)
    if len(parts) < 3 or parts[1] not in {"v1", "v1.0"} or not parts[2].startswith(PREFIX):
        raise NotFound("The resource")
    account, container, name = (*parts[2:], "", "")[:3]
    if name and not container:
        raise NotFound("The resource")
    found = Address(account.removeprefix(PREFIX), container, name)
    limits_checked(found)
    return found


def limits_checked(address: Address) -> None:
    """Raise Invalid for a name that is too long."""
    limits = (("Account", address.account, MAX_ACCOUNT_NAME), ("Container", address.container, MAX_CONTAINER_NAME))
    for noun, part, most in (*limits, ("Object", address.name, MAX_OBJECT_NAME)):
        if (length := len(part.encode())) > most:
            raise Invalid(f"{noun} name length of {length} longer than {most}")


def caller_of(request: HttpRequest) -> RequestContext:
    """Who asks; a context without a user where there is no token. Raises Unauthorized for one that does not hold."""
    if "X-Auth-Token" not in request.headers and "X-Storage-Token" in request.headers:
        request.META["HTTP_X_AUTH_TOKEN"] = request.headers["X-Storage-Token"]
        request.__dict__.pop("headers", None)  # kept from META as it was
    try:
        found = import_string(settings.KUMO_AUTHENTICATION)().authenticate(request)
    except AuthenticationFailed:
        raise Unauthorized("The token does not hold.") from None
    if found is None:
        return RequestContext(request_id=getattr(request, "request_id", ""))
    ctx: RequestContext = found[0]
    return ctx


def fault(request: HttpRequest, error: Exception, ctx: RequestContext | None) -> HttpResponse:
    """An error as Swift tells it. Who has no token and may not is asked for one."""
    known = translate(error)
    if known is None:
        return _page(*words_of(error))
    if isinstance(known, Forbidden) and ctx is not None and not ctx.user_id and not ctx.project_id:
        known = Unauthorized("This server could not verify that you may access the document you requested.")
    response = _page(known.status, known.title, str(known))
    for name, value in getattr(known, "headers", {}).items():
        response[name] = value
    if isinstance(known, Unauthorized):
        base = f"{request.scheme}://{request.get_host()}"
        response["WWW-Authenticate"] = f'Keystone uri="{base}/identity"'
    if isinstance(known, RangeNotSatisfiable):
        response["Content-Range"] = f"bytes */{known.size}"
    if isinstance(known, MethodNotAllowed):
        response["Allow"] = known.hint
    return response


def words_of(error: Exception) -> tuple[int, str, str]:
    """An error's status, title and text. What nobody foresaw is logged, and told to nobody."""
    known = translate(error)
    if known is None:
        logger.error("unexpected error", exc_info=error)
        return 500, "Internal Error", "The server has either erred or is incapable of performing the operation."
    return known.status, known.title, str(known)


def _page(status: int, title: str, text: str) -> HttpResponse:
    body = f"<html><h1>{escape(title)}</h1><p>{escape(text)}</p></html>"
    return HttpResponse(body, status=status, content_type=ERROR_TYPE)


def finished(response: HttpResponseBase) -> HttpResponseBase:
    """The answer with what every answer carries."""
    for name, value in origins.SAFE.items():
        response.headers.setdefault(name, value)
    response["X-Trans-Id"] = f"tx{logs.request_id.get()[4:].replace('-', '')[:21]:0<21}-{int(time.time()):010x}"
    return response


def last_modified(at: datetime) -> str:
    """As a date of HTTP, rounded up: what was changed since then is never taken for older."""
    return http_date(math.ceil(at.timestamp()))


def answer(
    status: int, headers: Mapping[str, Any] | None = None, body: bytes = b"", kind: str = "text/html"
) -> HttpResponse:
    """A short answer."""
    response = HttpResponse(body, status=status, content_type=f"{kind}; charset=utf-8", headers=dict(headers or {}))
    response["Content-Length"] = str(len(body))
    return response
