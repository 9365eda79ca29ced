"""Metadata definitions over HTTP: `/v2/metadefs/…`.

All four kinds of definition go through the same views; `KINDS` says how each is called, what its body may hold and
how its list looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api import schema as schemas
from apps.core.api import types as t
from apps.core.api.views import ApiView
from apps.core.errors import Invalid
from apps.image import selectors, services
from apps.image.api.base import IMAGE_API
from apps.image.models import Definition, Namespace
from apps.image.states import DefinitionKind, Visibility

ROOT = "/v2/metadefs/namespaces"
SCHEMAS_ROOT = "/v2/schemas/metadefs"
NAME = t.text(80, least=1).schema
TEXT = {"type": "string"}
TIME = {"type": "string", "format": "date-time", "readOnly": True}
SHOWN = {
    "created_at": TIME,
    "updated_at": TIME,
    "self": {**TEXT, "readOnly": True},
    "schema": {**TEXT, "readOnly": True},
}
COUNT = {"type": "integer", "minimum": 0}

PROPERTY: Mapping[str, Any] = {
    "name": NAME,
    "title": TEXT,
    "description": TEXT,
    "type": {"type": "string", "enum": ["array", "boolean", "integer", "number", "object", "string"]},
    "operators": {"type": "array", "items": TEXT},
    "required": {"type": "array", "items": TEXT},
    "minimum": {"type": "number"},
    "maximum": {"type": "number"},
    "minLength": COUNT,
    "maxLength": COUNT,
    "pattern": TEXT,
    "enum": {"type": "array"},
    "readonly": {"type": "boolean"},
    "default": {},
    "items": {"type": "object"},
    "minItems": COUNT,
    "maxItems": COUNT,
    "uniqueItems": {"type": "boolean"},
    "additionalItems": {"type": "boolean"},
}
INNER_PROPERTIES = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "properties": {k: v for k, v in PROPERTY.items() if k != "name"},
        "required": ["title", "type"],
        "additionalProperties": False,
    },
}
OBJECT: Mapping[str, Any] = {
    "name": NAME,
    "description": TEXT,
    "required": {"type": "array", "items": TEXT},
    "properties": INNER_PROPERTIES,
}
TAG: Mapping[str, Any] = {"name": NAME}
RESOURCE_TYPE: Mapping[str, Any] = {"name": NAME, "prefix": NAME, "properties_target": NAME}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of definition on the wire."""

    kind: DefinitionKind
    segment: str  # in paths
    members: str  # key of a list
    document: str  # name of the schema document
    properties: Mapping[str, Any]
    required: tuple[str, ...] = ("name",)

    @property
    def schema(self) -> Mapping[str, Any]:
        return _BODIES[self.segment]


KINDS = (
    Kind(DefinitionKind.PROPERTY, "properties", "properties", "property", PROPERTY, ("name", "title", "type")),
    Kind(DefinitionKind.OBJECT, "objects", "objects", "object", OBJECT),
    Kind(DefinitionKind.TAG, "tags", "tags", "tag", TAG),
    Kind(
        DefinitionKind.RESOURCE_TYPE,
        "resource_types",
        "resource_type_associations",
        "resource_type_association",
        RESOURCE_TYPE,
    ),
)
BY_KIND = {k.kind: k for k in KINDS}


def _body(properties: Mapping[str, Any], required: Sequence[str]) -> Mapping[str, Any]:
    """What a client may send; times and paths that it got from us are taken and ignored."""
    return {
        "type": "object",
        "properties": {**SHOWN, **properties},
        "required": list(required),
        "additionalProperties": False,
    }


_BODIES = {k.segment: _body(k.properties, k.required) for k in KINDS}
NAMESPACE: Mapping[str, Any] = {
    "namespace": NAME,
    "display_name": t.text(80, null=True).schema,
    "description": t.text(500, null=True).schema,
    "visibility": {"type": "string", "enum": [Visibility.PUBLIC.value, Visibility.PRIVATE.value]},
    "protected": {"type": "boolean"},
    "owner": t.text(64).schema,
}
WITHIN: Mapping[str, Any] = {
    "properties": INNER_PROPERTIES,
    "objects": {"type": "array", "items": _BODIES["objects"]},
    "tags": {"type": "array", "items": _BODIES["tags"]},
    "resource_type_associations": {"type": "array", "items": _BODIES["resource_types"]},
}
CREATE_NAMESPACE = _body({**NAMESPACE, **WITHIN}, ("namespace",))
UPDATE_NAMESPACE = _body(NAMESPACE, ("namespace",))
MANY_TAGS: Mapping[str, Any] = {
    "type": "object",
    "properties": {"tags": {"type": "array", "items": _BODIES["tags"]}},
    "required": ["tags"],
    "additionalProperties": False,
}


# --- going out -------------------------------------------------------------------------------------


def _times(row: Namespace | Definition) -> dict[str, Any]:
    render = t.time.render
    assert render is not None
    return {"created_at": render(row.created_at), "updated_at": render(row.updated_at or row.created_at)}


def show_namespace(row: Namespace, definitions: Sequence[Definition] | None = None) -> dict[str, Any]:
    """A namespace; with its definitions where they are given."""
    body = {
        "namespace": row.name,
        "display_name": row.display_name,
        "description": row.description,
        "visibility": row.visibility,
        "protected": row.protected,
        "owner": row.project_id,
        "self": f"{ROOT}/{row.name}",
        "schema": f"{SCHEMAS_ROOT}/namespace",
        **_times(row),
    }
    body = {key: value for key, value in body.items() if value is not None}
    for kind in KINDS:
        found = [d for d in definitions or () if d.kind == kind.kind]
        if found:
            body[kind.members] = show_many(kind, row.name, found)
    return body


def show_one(kind: Kind, namespace: str, row: Definition) -> dict[str, Any]:
    """One definition, as its kind is shown alone."""
    body = {"name": row.name, **row.body}
    if kind.kind == DefinitionKind.PROPERTY:
        return body
    body |= _times(row)
    if kind.kind == DefinitionKind.OBJECT:
        body |= {"self": f"{ROOT}/{namespace}/objects/{row.name}", "schema": f"{SCHEMAS_ROOT}/object"}
    return body


def show_many(kind: Kind, namespace: str, rows: Sequence[Definition]) -> Any:
    """A list; of properties, a mapping from name to the rest."""
    if kind.kind == DefinitionKind.PROPERTY:
        return {row.name: row.body for row in rows}
    return [show_one(kind, namespace, row) for row in rows]


def _clean(body: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in SHOWN}


def _within(body: Mapping[str, Any]) -> dict[DefinitionKind, list[dict[str, Any]]]:
    """Definitions that came inside a namespace's body."""
    found: dict[DefinitionKind, list[dict[str, Any]]] = {}
    for kind in KINDS:
        given = body.get(kind.members, ())
        if isinstance(given, Mapping):
            given = [{"name": name, **rest} for name, rest in given.items()]
        found[kind.kind] = [_clean(one) for one in given]
    return found


# --- views -----------------------------------------------------------------------------------------


class Namespaces(ApiView):
    """`/v2/metadefs/namespaces`."""

    api = IMAGE_API

    def get(self, request: Request) -> Response:
        query = request.query_params
        types = [name for name in query.get("resource_types", "").split(",") if name]
        rows = list(
            selectors.namespace_list(self.ctx, visibility=query.get("visibility", ""), resource_types=types).order_by(
                "-created_at", "name"
            )
        )
        page, more = _page(rows, query.get("marker", ""), query.get("limit", ""), lambda row: row.name)
        body = {"namespaces": [show_namespace(n) for n in page], "first": ROOT, "schema": f"{SCHEMAS_ROOT}/namespaces"}
        if more:
            body["next"] = f"{ROOT}?marker={page[-1].name}&limit={query['limit']}"
        return Response(body)

    def post(self, request: Request) -> Response:
        body = _clean(self.body(CREATE_NAMESPACE))
        definitions = _within(body)
        attributes = {key: value for key, value in body.items() if key in NAMESPACE}
        made = services.namespace_create(self.ctx, definitions=definitions, **attributes)
        shown = show_namespace(made, selectors.definition_list(self.ctx, namespace=made.name))
        return Response(shown, status=201, headers={"Location": f"{self.base}/image{ROOT}/{made.name}"})


class OneNamespace(ApiView):
    """`/v2/metadefs/namespaces/{namespace}`."""

    api = IMAGE_API

    def get(self, request: Request, namespace: str) -> Response:
        found = selectors.namespace_get(self.ctx, name=namespace)
        return Response(show_namespace(found, selectors.definition_list(self.ctx, namespace=namespace)))

    def put(self, request: Request, namespace: str) -> Response:
        body = _clean(self.body(UPDATE_NAMESPACE))
        return Response(show_namespace(services.namespace_update(self.ctx, name=namespace, **body)))

    def delete(self, request: Request, namespace: str) -> Response:
        services.namespace_delete(self.ctx, name=namespace)
        return Response(status=204)


class Definitions(ApiView):
    """All definitions of one kind in a namespace."""

    api = IMAGE_API
    kind: ClassVar[Kind] = KINDS[0]

    def get(self, request: Request, namespace: str) -> Response:
        rows = selectors.definition_list(self.ctx, namespace=namespace, kind=self.kind.kind)
        query = request.query_params
        page, more = _page(rows, query.get("marker", ""), query.get("limit", ""), lambda row: row.name)
        here = f"{ROOT}/{namespace}/{self.kind.segment}"
        body = {
            self.kind.members: show_many(self.kind, namespace, page),
            "first": here,
            "schema": f"{SCHEMAS_ROOT}/{self.kind.segment}",
        }
        return Response({**body, "next": f"{here}?marker={page[-1].name}&limit={query['limit']}"} if more else body)

    def post(self, request: Request, namespace: str) -> Response:
        if self.kind.kind == DefinitionKind.TAG:
            return self._tags(request, namespace)
        body = _clean(self.body(self.kind.schema))
        made = services.definition_create(self.ctx, namespace=namespace, kind=self.kind.kind, body=body)
        return Response(show_one(self.kind, namespace, made), status=201)

    def _tags(self, request: Request, namespace: str) -> Response:
        bodies = [_clean(tag) for tag in self.body(MANY_TAGS)["tags"]]
        keep = request.headers.get("X-Openstack-Append", "").lower() == "true"
        made = services.definitions_replace(
            self.ctx, namespace=namespace, kind=self.kind.kind, bodies=bodies, keep=keep
        )
        return Response({"tags": show_many(self.kind, namespace, made)}, status=201)

    def delete(self, request: Request, namespace: str) -> Response:
        services.definitions_replace(self.ctx, namespace=namespace, kind=self.kind.kind)
        return Response(status=204)


class OneDefinition(ApiView):
    """One definition of a namespace, by name."""

    api = IMAGE_API
    kind: ClassVar[Kind] = KINDS[0]

    def get(self, request: Request, namespace: str, name: str) -> Response:
        found = selectors.definition_get(self.ctx, namespace=namespace, kind=self.kind.kind, name=name)
        return Response(show_one(self.kind, namespace, found))

    def post(self, request: Request, namespace: str, name: str) -> Response:
        schemas.validate({"type": "object", "properties": {"name": NAME}}, {"name": name})
        made = services.definition_create(self.ctx, namespace=namespace, kind=self.kind.kind, body={"name": name})
        return Response(show_one(self.kind, namespace, made), status=201)

    def put(self, request: Request, namespace: str, name: str) -> Response:
        body = _clean(self.body(self.kind.schema))
        made = services.definition_update(self.ctx, namespace=namespace, kind=self.kind.kind, name=name, body=body)
        return Response(show_one(self.kind, namespace, made))

    def delete(self, request: Request, namespace: str, name: str) -> Response:
        services.definition_delete(self.ctx, namespace=namespace, kind=self.kind.kind, name=name)
        return Response(status=204)


class ResourceTypes(ApiView):
    """`GET /v2/metadefs/resource_types`."""

    api = IMAGE_API

    def get(self, request: Request) -> Response:
        return Response({"resource_types": [{"name": name} for name in selectors.resource_type_list(self.ctx)]})


def _page(rows: Sequence[Any], marker: str, limit: str, name: Callable[[Any], str]) -> tuple[Sequence[Any], bool]:
    """The part of a short list that comes after the marker, and whether there is more. Raises Invalid."""
    names = [name(row) for row in rows]
    if marker and marker not in names:
        raise Invalid(f"marker [{marker}] not found", field="marker")
    rest = rows[names.index(marker) + 1 :] if marker else rows
    if not limit:
        return rest, False
    if not limit.isdecimal():
        raise Invalid(f"limit must be a whole number, not {limit!r}", field="limit")
    return rest[: int(limit)], 0 < int(limit) < len(rest)


# What the collection and its members answer, where it is not the usual: tags are made by naming them in the path, and
# a resource type is only there or not.
METHODS = {
    DefinitionKind.TAG: (["get", "post", "delete"], ["get", "post", "put", "delete"]),
    DefinitionKind.RESOURCE_TYPE: (["get", "post"], ["delete"]),
}


def urls() -> list[URLPattern]:
    """Paths below `/image`."""
    found = [
        path("/v2/metadefs/resource_types", ResourceTypes.as_view()),
        path(ROOT, Namespaces.as_view()),
        path(f"{ROOT}/<str:namespace>", OneNamespace.as_view()),
    ]
    for kind in KINDS:
        below = f"{ROOT}/<str:namespace>/{kind.segment}"
        many, one = METHODS.get(kind.kind, (["get", "post", "delete"], ["get", "put", "delete"]))
        found.append(path(below, Definitions.as_view(kind=kind, http_method_names=many)))
        found.append(path(f"{below}/<str:name>", OneDefinition.as_view(kind=kind, http_method_names=one)))
    return found


# --- schema documents ------------------------------------------------------------------------------


def documents() -> dict[str, Any]:
    """The schemas of definitions, by the name in their path."""
    found: dict[str, Any] = {}
    namespace = {"name": "namespace", "properties": {**SHOWN, **NAMESPACE, **WITHIN}, "required": ["namespace"]}
    found["namespace"] = namespace
    found["namespaces"] = _collection("namespaces", namespace)
    for kind in KINDS:
        shown = {} if kind.kind == DefinitionKind.PROPERTY else SHOWN
        one = {"name": kind.document, "properties": {**shown, **kind.properties}, "required": list(kind.required)}
        found[kind.document.removesuffix("_association")] = one
        found[kind.segment] = _collection(kind.members, one)
    return {f"metadefs/{name}": document for name, document in found.items()}


def _collection(name: str, member: Mapping[str, Any]) -> dict[str, Any]:
    mapping = name == "properties"
    items = {"type": "object", "additionalProperties": member} if mapping else {"type": "array", "items": member}
    return {
        "name": name,
        "properties": {name: items, "first": TEXT, "next": TEXT, "schema": TEXT},
        "links": [{"rel": "describedby", "href": "{schema}"}],
    }
