"""The request's id: minted here for every request, answered in headers, put in every log line; and where it is from."""

from __future__ import annotations

import functools
import ipaddress
import logging
import re
import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from apps.core import logs, metrics
from apps.core.context import Origin, new_request_id, origin

logger = logging.getLogger("kumo.access")
_INBOUND = re.compile(r"^req-[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")


def client_address(request: HttpRequest) -> str:
    """Where the client is. The proxy in front writes `X-Forwarded-For` anew; from elsewhere the header says nothing."""
    near = _address(request.META.get("REMOTE_ADDR", ""))
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    if forwarded and (near is None or near.is_loopback):
        near = _address(forwarded.rsplit(",", 1)[-1].strip()) or near
    return str(near) if near else ""


@functools.lru_cache(maxsize=1024)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:  # a socket's path, or nothing
        return None


def _size(text: str) -> int:
    """A header's number of bytes; 0 for none, or what is none."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 20 else 0


class RequestIdMiddleware:
    """An inbound `X-Openstack-Request-Id` of the right form is kept as the global request id."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = new_request_id()
        sent = request.META  # `request.headers` would be made of all of them, at a cost that token checks feel
        inbound = sent.get("HTTP_X_OPENSTACK_REQUEST_ID", "")
        request.request_id = request_id  # type: ignore[attr-defined]
        request.global_request_id = inbound if _INBOUND.match(inbound) else ""  # type: ignore[attr-defined]
        token = logs.request_id.set(request_id)
        agent = sent.get("HTTP_USER_AGENT", "")[:256]
        came_from = origin.set(Origin(client_address(request), agent, request.is_secure()))
        started = time.monotonic()
        try:
            response = self.get_response(request)
        finally:
            logs.request_id.reset(token)
            origin.reset(came_from)
        response.headers.setdefault("X-Openstack-Request-Id", request_id)
        if request.path.startswith("/compute"):
            response.headers.setdefault("X-Compute-Request-Id", request_id)
        seconds = time.monotonic() - started
        received = _size(sent.get("CONTENT_LENGTH", ""))
        given = _size(response.headers.get("Content-Length", "")) if response.streaming else len(response.content)
        metrics.request_done(request.path, request.method or "", response.status_code, seconds, received, given)
        logger.info(
            "%s %s %s",
            request.method,
            request.path,
            response.status_code,
            extra={
                "request_id": request_id,
                "status": response.status_code,
                "ms": round(seconds * 1000, 1),
            },
        )
        return response
