"""Bytes from the browser: what the requests that carry them have in common."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext

from apps.core.errors import Invalid, KumoError
from apps.objectstore.states import MAX_FILE_BYTES, MAX_OBJECT_NAME

PART_BYTES = MAX_FILE_BYTES  # a file of more is sent in parts


def length(request: HttpRequest) -> int:
    """The bytes of a request's body. Raises Invalid where it does not say."""
    text = request.headers.get("Content-Length", "")
    if not (text.isascii() and text.isdecimal()):
        raise Invalid(gettext("The browser did not say how large the file is."))
    return int(text)


def named(name: str) -> str:
    """The name of an object to be. Raises Invalid for one that cannot be."""
    if not name or "\0" in name:
        raise Invalid(gettext("An object needs a name."))
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise Invalid(gettext("The name is not text.")) from None
    if size > MAX_OBJECT_NAME:
        raise Invalid(gettext("A name has at most %d bytes.") % MAX_OBJECT_NAME)
    return name


def refused(error: KumoError) -> JsonResponse:
    """What a service refused, for the page's script."""
    return JsonResponse({"error": str(error)}, status=error.status)
