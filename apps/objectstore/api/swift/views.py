"""The one view of Swift's API: which call a method on an address is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views import View

from apps.core.context import RequestContext
from apps.core.errors import Invalid
from apps.objectstore import selectors
from apps.objectstore.api.swift import accounts, bulk, cors, formpost, objects, ratelimit, staticweb, tempurl
from apps.objectstore.api.swift.base import (
    Address,
    Call,
    Handler,
    MethodNotAllowed,
    address_of,
    caller_of,
    fault,
    finished,
)

ACCOUNT: dict[str, Handler] = {
    "GET": accounts.account_get,
    "HEAD": accounts.account_head,
    "PUT": accounts.account_put,
    "POST": accounts.account_post,
    "DELETE": accounts.account_delete,
}
CONTAINER: dict[str, Handler] = {
    "GET": accounts.container_get,
    "HEAD": accounts.container_head,
    "PUT": accounts.container_put,
    "POST": accounts.container_post,
    "DELETE": accounts.container_delete,
}
OBJECT: dict[str, Handler] = {
    "GET": objects.object_get,
    "HEAD": objects.object_head,
    "PUT": objects.object_put,
    "POST": objects.object_post,
    "DELETE": objects.object_delete,
    "COPY": objects.object_copy,
}


# Headers that promise what this store does not do: taken silently, a user would rely on them.
NOT_SERVED = (
    "X-Container-Sync-Key",
    "X-Container-Sync-To",
)


def calls_of(address: Address) -> dict[str, Handler]:
    """The calls that an address has, by method."""
    return OBJECT if address.name else CONTAINER if address.container else ACCOUNT


def handler_of(call: Call, *, signed: bool) -> Handler:
    """What answers a call. Raises MethodNotAllowed. A signature is for one object, never for many."""
    if promised := [name for name in NOT_SERVED if name in call.headers]:
        raise Invalid(f"{promised[0]} is not supported here.", hint="See /info.")
    if not signed and bulk.is_asked(call):
        return bulk.answered
    handler = calls_of(call.address).get(call.request.method or "")
    if handler is None:
        allowed = ", ".join(sorted(calls_of(call.address)))
        raise MethodNotAllowed("The method is not allowed for this resource.", hint=allowed)
    return partial(staticweb.answered, handler=handler) if staticweb.is_asked(call) else handler


def _expected(address: Address) -> AbstractContextManager[None]:
    """Calls for an object look at its container first."""
    return selectors.container_expected(address.project_id, address.container) if address.name else nullcontext()


class Store(View):
    """Everything below `/object-store`."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        ctx: RequestContext | None = None
        address: Address | None = None
        try:
            signed = tempurl.is_signed(request)
            address = address_of(request)
            if request.method == "OPTIONS":
                return finished(cors.preflight(request, address, calls_of(address)))
            if formpost.is_form(request) and address.container:
                response = formpost.answered(request, address)
            else:
                with _expected(address):
                    ctx = tempurl.caller_of(request, address) if signed else caller_of(request)
                    ratelimit.counted(call := Call(request, address, ctx))
                    response = handler_of(call, signed=signed)(call)
            if signed:
                tempurl.named(request, address, response)
        except Exception as error:  # noqa: BLE001 - each becomes an answer, what nobody foresaw a logged one
            response = fault(request, error, ctx)
        if response.status_code < 500:
            cors.shared(request, address, response)
        return finished(response)
