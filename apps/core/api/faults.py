"""One place where an error becomes an HTTP answer in the words of the API that was called."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from django.views import defaults
from rest_framework import exceptions as drf
from rest_framework.response import Response

from apps.core import errors
from apps.core.api.rendering import JsonRenderer
from apps.core.api.service import Api, api_of, nova_fault, unauthorized
from apps.core.transactions import is_database_away

logger = logging.getLogger("kumo.api")

_TITLES = {
    405: "Method Not Allowed",
    406: "Not Acceptable",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
}


def translate(error: Exception) -> errors.KumoError | None:
    """An error of the framework as one of ours; None for what nobody foresaw."""
    match error:
        case errors.KumoError():
            return error
        case drf.NotAuthenticated() | drf.AuthenticationFailed():
            return errors.Unauthorized("The request you have made requires authentication.")
        case drf.ParseError() | UnreadablePostError():
            return errors.Invalid(str(getattr(error, "detail", error)))
        case drf.UnsupportedMediaType():
            return errors.UnsupportedMedia(str(error.detail))
        case RequestDataTooBig():
            return errors.TooLarge("The body is larger than this API takes.")
        case TooManyFieldsSent():
            return errors.Invalid("The request has more parameters than this API takes.")
        case Http404():
            return errors.NotFound("The resource")
    if is_database_away(error):
        logger.error("the database does not answer", exc_info=error)
        return errors.Unavailable("The database does not answer.", hint="Try again in a moment.")
    return None


def answer(
    api: Api | None, error: Exception, *, request_id: str = "", base: str = ""
) -> tuple[int, Any, dict[str, str]]:
    """Status, body and headers. What is not foreseen is logged whole and told only by its request id."""
    known = translate(error)
    fault = api.fault if api else nova_fault
    if known is None and isinstance(error, drf.APIException):
        status = error.status_code
        return status, fault(status, _TITLES.get(status, "Error"), str(error.detail), ""), {}
    if known is None:
        logger.error("unexpected error", exc_info=error)
        message = (
            "An unexpected error prevented the server from fulfilling your request. "
            f"Tell your administrator the request id {request_id}."
        )
        return 500, fault(500, "Internal Server Error", message, ""), {}
    if isinstance(known, errors.Unauthorized):
        headers = {"WWW-Authenticate": f'Keystone uri="{base}/identity"'}
        return 401, unauthorized(known.message), headers
    body = fault(known.status, known.title, str(known), known.code)
    if isinstance(known, errors.NotAcceptable) and isinstance(body, dict) and "errors" in body:
        body["errors"][0] |= {"min_version": known.minimum, "max_version": known.maximum}
    return known.status, body, {}


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's hook: every exception of a view ends here."""
    view, request = context["view"], context["request"]
    status, body, headers = answer(
        getattr(view, "api", None),
        error,
        request_id=getattr(request, "request_id", ""),
        base=f"{request.scheme}://{request.get_host()}",
    )
    response = Response(body, status=status, headers=headers)
    if isinstance(error, drf.MethodNotAllowed) and hasattr(view, "allowed_methods"):
        response["Allow"] = ", ".join(view.allowed_methods)
    return response


def plain(request: HttpRequest, error: Exception) -> HttpResponse:
    """The same outside a view: unknown paths and errors of middleware."""
    status, body, headers = answer(
        api_of(request.path),
        error,
        request_id=getattr(request, "request_id", ""),
        base=f"{request.scheme}://{request.get_host()}",
    )
    return HttpResponse(JsonRenderer().render(body), status=status, content_type="application/json", headers=headers)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404: a fault below an API's prefix, a page elsewhere."""
    if api_of(request.path) is None:
        return defaults.page_not_found(request, exception)
    return plain(request, errors.NotFound("The resource"))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500."""
    if api_of(request.path) is None:
        return defaults.server_error(request)
    return plain(request, sys.exc_info()[1] or RuntimeError("no exception"))  # type: ignore[arg-type]
