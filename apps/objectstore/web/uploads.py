"""Bytes from the browser: small files in one request, large ones in parts that survive a break.

These are the store's own multipart uploads: a part that has arrived whole is kept, and whoever goes on, even after the
page was closed, asks which parts are there and sends the others.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import gettext

from apps.core.errors import Invalid, KumoError, NotFound, PreconditionFailed
from apps.core.web.pages import said
from apps.objectstore import selectors, services
from apps.objectstore.services import Listed, New, Whole
from apps.objectstore.states import MAX_OBJECT_NAME, MAX_PARTS
from apps.objectstore.web.browse import UNKNOWN_TYPE, InAccount, InContainer


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


def new_of(request: HttpRequest) -> New:
    """What the object shall be; one of that name stays unless the query says `replace`."""
    return New(content_type=request.content_type or UNKNOWN_TYPE, only_new="replace" not in request.GET)


class Target(InAccount):
    """The arguments of services that say which object is to be."""

    name: str


class Sending(InContainer):
    """A request of the page's script about the object that the query names; refusals are told in JSON."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().dispatch(request, *args, **kwargs)
        except KumoError as error:
            return JsonResponse({"error": str(error)}, status=error.status)

    @property
    def target(self) -> Target:
        return {**self.place, "name": named(self.request.GET.get("name", ""))}


class Uploads(Sending):
    """Begins an upload in parts."""

    def post(self, request: HttpRequest, ident: Any) -> HttpResponse:
        new = new_of(request)
        if new.only_new and self._is_there():  # said before the bytes are sent, not only at the end
            raise PreconditionFailed(gettext("There is an object of this name."))
        made = services.upload_create(self.ctx, **self.target, new=new)
        return JsonResponse({"upload": str(made.pk)})

    def _is_there(self) -> bool:
        try:
            selectors.object_get(self.ctx, **self.target)
        except NotFound:
            return False
        return True


class Upload(Sending):
    """One upload: GET tells the parts that have arrived, POST makes the object of them, or discards them."""

    def get(self, request: HttpRequest, ident: Any, upload: UUID) -> HttpResponse:
        parts = self._parts(upload)
        return JsonResponse({"parts": {part.number: part.bytes for part in parts}})

    def post(self, request: HttpRequest, ident: Any, upload: UUID) -> HttpResponse:
        if "discard" in request.POST:
            services.upload_abort(self.ctx, **self.target, upload_id=upload)
            words = ("success", said(gettext("Discarded"), self.target["name"]))
            return self.answer(self.url("objectstore:objects", ident), words)
        try:
            size = int(request.POST.get("size", ""))
        except ValueError:
            raise Invalid(gettext("The browser did not say how large the file is.")) from None
        listed = [Listed(part.number, part.etag) for part in self._parts(upload)]
        made = services.upload_complete(
            self.ctx,
            **self.target,
            upload_id=upload,
            listed=listed,
            whole=Whole(size=size),
            only_new="replace" not in request.GET,
        )
        return JsonResponse({"etag": made.etag})

    def _parts(self, upload: UUID) -> list[Any]:
        return selectors.upload_part_list(self.ctx, **self.target, upload_id=upload, limit=MAX_PARTS).parts


class UploadPart(Sending):
    """Keeps one part."""

    def put(self, request: HttpRequest, ident: Any, upload: UUID, number: int) -> HttpResponse:
        made = services.upload_part_put(
            self.ctx, **self.target, upload_id=upload, number=number, source=request, size=length(request)
        )
        return JsonResponse({"etag": made.etag})
