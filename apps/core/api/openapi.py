"""The OpenAPI 3.1 document of every API, generated from the routes and the field tables."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api import resource as r
from apps.core.api.microversions import text
from apps.core.api.service import Api, keystone_fault, keystone_links
from apps.core.api.views import ApiView, ResourceView

_GROUP = re.compile(r"\(\?P<([^>]+)>[^)]*\)")
_CONVERTER = re.compile(r"<(?:[^:>]+:)?([^>]+)>")
KUMO = Api(name="kumo", prefix="", fault=keystone_fault, links=keystone_links)


def routes() -> Iterator[tuple[str, type[ApiView], dict[str, Any]]]:
    """Every API route: path in OpenAPI's form, view class, and what the URL gives the view."""
    yield from _walk(get_resolver().url_patterns, "/")


def _walk(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[tuple[str, type[ApiView], dict[str, Any]]]:
    for pattern in patterns:
        path = prefix + _GROUP.sub(r"{\1}", str(pattern.pattern)).strip("^$")
        if isinstance(pattern, URLResolver):
            yield from _walk(pattern.url_patterns, path)
            continue
        view = getattr(pattern.callback, "cls", None)
        if isinstance(view, type) and issubclass(view, ApiView):
            yield _CONVERTER.sub(r"{\1}", path), view, getattr(pattern.callback, "initkwargs", {})


def methods(view: type[ApiView], path: str, given: dict[str, Any]) -> list[str]:
    """The HTTP methods a route answers, in lower case, without HEAD and OPTIONS."""
    if not issubclass(view, ResourceView):
        named = given.get("http_method_names", view.http_method_names)
        return [m for m in ("get", "post", "put", "patch", "delete") if m in named and hasattr(view, m)]
    made = view(**given)
    made.kwargs = {name: "" for name in re.findall(r"{([^}]+)}", path)}
    return [m.lower() for m in made.allowed_methods if m not in {"HEAD", "OPTIONS"}]


def _version(view: type[ApiView]) -> r.Version:
    return view.api.versions.maximum if view.api.versions else r.FIRST


def _request_schema(view: type[ApiView], method: str, given: dict[str, Any]) -> dict[str, Any] | None:
    if not issubclass(view, ResourceView):
        return None
    if given.get("list_view") == "action":
        return {
            "oneOf": [
                {"type": "object", "required": [name], "properties": {name: dict(action.body or {})}}
                for name, action in view.actions.items()
            ]
        }
    if method == "post":
        return view.resource.schema(r.CREATE, _version(view))
    if method in {"put", "patch"}:
        return view.resource.schema(r.UPDATE, _version(view))
    return None


def _response_schema(view: type[ApiView], path: str, given: dict[str, Any]) -> dict[str, Any]:
    if not issubclass(view, ResourceView) or given.get("list_view") == "action":
        return {}
    member = path.endswith("{ident}")
    shown = r.SHOW if member else given.get("list_view") or r.DETAIL
    fields = [f for f in view.resource.fields if shown in f.on and f.in_version(_version(view))]
    one: dict[str, Any] = {"type": "object", "properties": {f.name: dict(f.type.schema) for f in fields}}
    if not member:
        return {"type": "object", "properties": {view.resource.collection: {"type": "array", "items": one}}}
    return one if view.resource.bare else {"type": "object", "properties": {view.resource.member: one}}


def _query(view: type[ApiView], method: str, path: str) -> list[dict[str, Any]]:
    if method != "get" or not issubclass(view, ResourceView) or path.endswith("{ident}"):
        return []
    named = {f.name: f.type.schema for f in view.resource.fields if f.filter}
    named |= {p.name: p.type.schema for p in view.params}
    named |= {"limit": {"type": "integer", "minimum": 0}, "marker": {"type": "string"}}
    named |= {"sort_key": {"type": "string", "enum": sorted({f.name for f in view.resource.fields if f.sort})}}
    named |= {"sort_dir": {"type": "string", "enum": ["asc", "desc"]}}
    return [{"name": name, "in": "query", "schema": dict(schema)} for name, schema in named.items()]


def _operation(view: type[ApiView], method: str, path: str, given: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{([^}]+)}", path)
    ]
    found: dict[str, Any] = {
        "tags": [view.api.name],
        "parameters": parameters + _query(view, method, path),
        "responses": {"default": {"description": "", "content": {"application/json": {"schema": {}}}}},
    }
    if not view.public:
        found["security"] = [{"token": []}]
    body = _request_schema(view, method, given)
    if body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if method == "get":
        schema = _response_schema(view, path, given)
        found["responses"] = {"200": {"description": "", "content": {"application/json": {"schema": schema}}}}
    return found


@functools.cache
def document() -> dict[str, Any]:
    """The whole document, at the highest microversion of each API."""
    paths: dict[str, dict[str, Any]] = {}
    versions: dict[str, str] = {}
    for path, view, given in routes():
        if view.api.versions:
            versions[view.api.name] = text(view.api.versions.maximum)
        for method in methods(view, path, given):
            paths.setdefault(path, {})[method] = _operation(view, method, path, given)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Kumo", "version": "1", "x-microversions": versions},
        "components": {"securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}}},
        "paths": dict(sorted(paths.items())),
    }


class OpenApi(ApiView):
    """`GET /openapi.json`; needs no token, since it says nothing about anybody's data."""

    api = KUMO
    public = True

    def get(self, request: Request) -> Response:
        return Response(document())
