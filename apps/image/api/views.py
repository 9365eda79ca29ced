"""Calls on images, their members and tags."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import policy
from apps.core.api import listing as lists
from apps.core.api import types as t
from apps.core.api.rendering import JsonParser
from apps.core.api.resource import DETAIL
from apps.core.api.service import Page
from apps.core.api.views import ApiView, Crud, ResourceView
from apps.core.errors import Forbidden, Invalid, UnsupportedMedia
from apps.image import selectors, services
from apps.image.api import filters
from apps.image.api.base import IMAGE_API
from apps.image.resources import IMAGE, MEMBER, SHOWN_ONLY
from apps.image.services import Change
from apps.image.states import IMPORT_METHODS

PATCH_21 = "application/openstack-images-v2.1-json-patch"
PATCH_20 = "application/openstack-images-v2.0-json-patch"
_OPERATIONS = ("add", "replace", "remove")
_ESCAPE = re.compile(r"~(?![01])")


class PatchParser(JsonParser):
    """A list of changes, in the newer form."""

    media_type = PATCH_21


class OldPatchParser(JsonParser):
    """A list of changes, in the older form."""

    media_type = PATCH_20


class Images(ResourceView):
    """`/v2/images`."""

    api = IMAGE_API
    resource = IMAGE
    params = filters.PARAMS
    update_methods = ("patch",)
    calls = Crud(
        list=selectors.image_list,
        get=selectors.image_get_query,
        create=services.image_create,
        update=services.image_update,
        delete=services.image_delete,
    )

    def get_parsers(self) -> list[BaseParser]:
        patch = self.request is not None and self.request.method == "PATCH"
        return [PatchParser(), OldPatchParser()] if patch else [JsonParser()]

    def list(self, request: Request, **_: Any) -> Response:
        query = request.query_params
        fields = self.resource.visible(DETAIL, self.version, self.ctx)
        parsed = lists.parse(
            query,
            resource=self.resource,
            fields=fields,
            params=self.params,
            version=self.version,
            max_page=self.api.max_page,
            strict=False,
        )
        known = lists.PAGING | {p.name for p in self.params}
        properties = {name: query[name] for name in query if name not in known}
        if unfit := sorted(set(properties) & SHOWN_ONLY):
            raise Invalid(f"Images cannot be filtered by {unfit[0]}.", field=unfit[0])
        rows = selectors.image_list(self.ctx, properties=properties, **filters.arguments(parsed.arguments))
        found = self._fetch(rows, parsed, fields)
        render, env = self.resource.renderer(fields), self.env
        return Response(self.wrap_list([render(row, env) for row in found.rows], self._page(found, parsed)))

    def wrap(self, member: Mapping[str, Any]) -> Any:
        """The user's own properties stand beside the attributes, which win."""
        known = dict(member)
        return {**known.pop("properties"), **known}

    def wrap_list(self, members: Sequence[Any], page: Page) -> Any:
        query = [(k, v) for k, vs in self.request.query_params.lists() for v in vs if k != "marker"]
        first = f"/v2/images?{urlencode(query)}" if query else "/v2/images"
        body = {"images": [self.wrap(m) for m in members], "first": first, "schema": "/v2/schemas/images"}
        return {**body, "next": f"/v2/images?{page.next_query}"} if page.next_query else body

    def create(self, request: Request, **_: Any) -> Response:
        body = request.data
        if isinstance(body, dict) and (fixed := sorted(set(body) & SHOWN_ONLY)):
            raise Forbidden(f"Attribute '{fixed[0]}' is read-only.")
        response = super().create(request)
        response["Location"] = f"{self.base}/image/v2/images/{response.data['id']}"
        response["OpenStack-image-import-methods"] = ",".join(IMPORT_METHODS)
        return response

    def update(self, request: Request, **_: Any) -> Response:
        changes = _changes(request)
        image = services.image_update(self.ctx, image_id=self.kwargs["ident"], changes=changes)
        return Response(self._written(image, self.show_view))


def _changes(request: Request) -> list[Change]:
    media = (request.content_type or "").split(";")[0].strip().lower()
    if media not in {PATCH_20, PATCH_21}:
        raise UnsupportedMedia(f"A change of an image is sent as {PATCH_21}.")
    body = request.data
    if not isinstance(body, list) or not all(isinstance(item, dict) for item in body):
        raise Invalid("The body must be a list of changes.")
    return [_change(item, old=media == PATCH_20) for item in body]


def _change(item: Mapping[str, Any], *, old: bool) -> Change:
    if old:
        named = [op for op in _OPERATIONS if op in item]
        if len(named) != 1:
            raise Invalid(f"Each change names one operation of {', '.join(_OPERATIONS)}.")
        op, path = named[0], item[named[0]]
    else:
        op, path = str(item.get("op")), item.get("path")
    if op not in _OPERATIONS:
        raise Invalid(f"There is no operation {op!r}: {', '.join(_OPERATIONS)}.", field="op")
    if not isinstance(path, str) or not path.startswith("/") or path.startswith("//") or path.endswith("/"):
        raise Invalid(f"The path {path!r} must begin with one slash and name an attribute.", field="path")
    name = path[1:]
    if _ESCAPE.search(name):
        raise Invalid(f"The path {path!r} holds a wrong escape.", field="path")
    if "/" in name:
        root = name.split("/", 1)[0]
        if root == "locations":
            raise Forbidden("Attribute 'locations' is reserved.")
        raise Invalid(f"Attributes such as {root} have no parts that can be changed alone.", field="path")
    if op != "remove" and "value" not in item:
        raise Invalid(f"Operation {op} needs a value.", field="value")
    return Change(op, name.replace("~1", "/").replace("~0", "~"), item.get("value"))


class Members(ResourceView):
    """`/v2/images/{image_id}/members`."""

    api = IMAGE_API
    resource = MEMBER
    update_methods = ("put",)
    create_status = 200
    calls = Crud(
        list=selectors.member_list,
        get=selectors.member_get_query,
        create=services.member_add,
        update=services.member_update,
        delete=services.member_remove,
    )

    def wrap_list(self, members: Sequence[Any], page: Page) -> Any:
        return {"members": members, "schema": "/v2/schemas/members"}

    def _written(self, made: Any, view: str) -> Any:
        found = selectors.member_get_query(self.ctx, image_id=made.image_id, member_id=made.member_id)
        return self._render_one(found, view)


class Tags(ApiView):
    """`/v2/images/{image_id}/tags/{tag}`."""

    api = IMAGE_API

    def put(self, request: Request, image_id: str, tag: str) -> Response:
        services.tag_add(self.ctx, image_id=image_id, tag=tag)
        return Response(status=204)

    def delete(self, request: Request, image_id: str, tag: str) -> Response:
        services.tag_remove(self.ctx, image_id=image_id, tag=tag)
        return Response(status=204)


class Deactivate(ApiView):
    """`POST /v2/images/{image_id}/actions/deactivate`."""

    api = IMAGE_API

    def post(self, request: Request, image_id: str) -> Response:
        services.image_deactivate(self.ctx, image_id=image_id)
        return Response(status=204)


class Reactivate(ApiView):
    """`POST /v2/images/{image_id}/actions/reactivate`."""

    api = IMAGE_API

    def post(self, request: Request, image_id: str) -> Response:
        services.image_reactivate(self.ctx, image_id=image_id)
        return Response(status=204)


class AllTasks(ApiView):
    """`/v2/tasks`: an administrator's list, always empty; bytes are taken by upload and import alone."""

    api = IMAGE_API

    def get(self, request: Request) -> Response:
        policy.enforce(self.ctx, "tasks_api_access")
        return Response({"tasks": [], "first": "/v2/tasks", "schema": "/v2/schemas/tasks"})

    def post(self, request: Request) -> Response:
        policy.enforce(self.ctx, "tasks_api_access")
        raise Invalid("Tasks are not taken here.", hint="Register an image, stage its bytes and import it.")


class Tasks(ApiView):
    """`GET /v2/images/{image_id}/tasks`: imports answer when they are done, so there never is a task."""

    api = IMAGE_API

    def get(self, request: Request, image_id: str) -> Response:
        selectors.image_get(self.ctx, image_id=image_id)
        return Response({"tasks": []})


IMPORT = t.shape(
    {
        "method": t.shape({"name": t.text(64)}, required=("name",), closed=False),
        "stores": t.array(t.text()),
        "all_stores": t.flag,
        "all_stores_must_succeed": t.flag,
    },
    required=("method",),
).schema


class Import(ApiView):
    """`POST /v2/images/{image_id}/import`."""

    api = IMAGE_API

    def post(self, request: Request, image_id: str) -> Response:
        method = self.body(IMPORT)["method"]["name"]
        if method not in IMPORT_METHODS:
            raise Invalid(
                f"Import method '{method}' is not offered here.",
                hint=f"There is: {', '.join(IMPORT_METHODS)}.",
                field="method",
            )
        services.image_import(self.ctx, image_id=image_id)
        return Response(status=202)
