"""Metadata definitions: namespaces, and the properties, objects, tags and resource types in them.

One table of kinds says how each is called in rules; the rest is the same for all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models.functions import Now

from apps.core import policy
from apps.core.context import RequestContext
from apps.core.errors import Conflict, Forbidden
from apps.core.transactions import on_violation, service
from apps.image import selectors
from apps.image.models import Definition, Namespace
from apps.image.states import DefinitionKind, Visibility

on_violation("image_namespace_name_key", lambda detail: Conflict("A namespace of that name exists already."))
on_violation("image_definition_once", lambda detail: Conflict("The namespace has a definition of that name already."))


@dataclass(frozen=True, slots=True)
class Rules:
    """Names of the rules about one kind of definition."""

    add: str
    modify: str
    remove: str


RULES: Mapping[DefinitionKind, Rules] = {
    DefinitionKind.PROPERTY: Rules("add_metadef_property", "modify_metadef_property", "remove_metadef_property"),
    DefinitionKind.OBJECT: Rules("add_metadef_object", "modify_metadef_object", "delete_metadef_object"),
    DefinitionKind.TAG: Rules("add_metadef_tag", "modify_metadef_tag", "delete_metadef_tag"),
    DefinitionKind.RESOURCE_TYPE: Rules(
        "add_metadef_resource_type_association",
        "add_metadef_resource_type_association",
        "remove_metadef_resource_type_association",
    ),
}
Definitions = Mapping[DefinitionKind, Sequence[Mapping[str, Any]]]


@service("add_metadef_namespace")
def namespace_create(
    ctx: RequestContext,
    *,
    namespace: str,
    definitions: Definitions | None = None,
    visibility: str = Visibility.PRIVATE,
    owner: str | None = None,
    **attributes: Any,
) -> Namespace:
    """Make a namespace, with definitions by kind if given. Raises Conflict for a name that exists."""
    made = Namespace.objects.create(
        name=namespace, project_id=owner or ctx.project_id, visibility=visibility, **attributes
    )
    for kind, bodies in (definitions or {}).items():
        for body in bodies:
            _create(made, kind, body)
    return made


@service("modify_metadef_namespace")
def namespace_update(ctx: RequestContext, *, name: str, namespace: str = "", **attributes: Any) -> Namespace:
    """Change a namespace as a whole: what is not given falls back to its default. Raises NotFound, Conflict."""
    found = selectors.namespace_get(ctx, name=name)
    policy.enforce(ctx, "modify_metadef_namespace", selectors.namespace_target(found))
    fresh = {"display_name": None, "description": None, "visibility": Visibility.PRIVATE, "protected": False}
    owner = attributes.pop("owner", None) or found.project_id
    Namespace.objects.filter(pk=found.pk).update(
        name=namespace or name, project_id=owner, updated_at=Now(), **{**fresh, **attributes}
    )
    found.refresh_from_db()
    return found


@service("delete_metadef_namespace")
def namespace_delete(ctx: RequestContext, *, name: str) -> None:
    """Delete a namespace with all it holds. Raises NotFound, and Forbidden if it is protected."""
    found = _unprotected(ctx, name)
    policy.enforce(ctx, "delete_metadef_namespace", selectors.namespace_target(found))
    found.delete()


@service("get_metadef_namespaces")
def definition_create(ctx: RequestContext, *, namespace: str, kind: DefinitionKind, body: Mapping[str, Any]) -> Any:
    """Add a definition. Raises NotFound, Forbidden, Conflict for a name that exists."""
    found = selectors.namespace_get(ctx, name=namespace)
    policy.enforce(ctx, RULES[kind].add, selectors.namespace_target(found))
    return _create(found, kind, body)


@service("get_metadef_namespaces")
def definition_update(
    ctx: RequestContext, *, namespace: str, kind: DefinitionKind, name: str, body: Mapping[str, Any]
) -> Definition:
    """Replace a definition; the body may rename it. Raises NotFound, Forbidden, Conflict."""
    found = selectors.namespace_get(ctx, name=namespace)
    policy.enforce(ctx, RULES[kind].modify, selectors.namespace_target(found))
    definition = selectors.definition_get(ctx, namespace=namespace, kind=kind, name=name)
    rest = {key: value for key, value in body.items() if key != "name"}
    Definition.objects.filter(pk=definition.pk).update(name=body.get("name", name), body=rest)
    definition.refresh_from_db()
    return definition


@service("get_metadef_namespaces")
def definition_delete(ctx: RequestContext, *, namespace: str, kind: DefinitionKind, name: str) -> None:
    """Remove a definition. Raises NotFound, and Forbidden in a protected namespace."""
    found = _unprotected(ctx, namespace)
    policy.enforce(ctx, RULES[kind].remove, selectors.namespace_target(found))
    selectors.definition_get(ctx, namespace=namespace, kind=kind, name=name).delete()


@service("get_metadef_namespaces")
def definitions_replace(
    ctx: RequestContext,
    *,
    namespace: str,
    kind: DefinitionKind,
    bodies: Sequence[Mapping[str, Any]] = (),
    keep: bool = False,
) -> list[Definition]:
    """Put these definitions in the place of all of the kind, or with `keep` beside them.

    Raises NotFound, Forbidden, Conflict for names that are there twice.
    """
    found = selectors.namespace_get(ctx, name=namespace) if bodies else _unprotected(ctx, namespace)
    rule = RULES[kind].add if bodies else RULES[kind].remove
    policy.enforce(ctx, rule, selectors.namespace_target(found))
    if not keep:
        Definition.objects.filter(namespace=found, kind=kind).delete()
    return [_create(found, kind, body) for body in bodies]


def _create(namespace: Namespace, kind: DefinitionKind, body: Mapping[str, Any]) -> Definition:
    rest = {key: value for key, value in body.items() if key != "name"}
    return Definition.objects.create(namespace=namespace, kind=kind, name=body["name"], body=rest)


def _unprotected(ctx: RequestContext, name: str) -> Namespace:
    found = selectors.namespace_get(ctx, name=name)
    if found.protected:
        raise Forbidden(f"Metadata definition namespace {name} is protected and cannot be deleted.")
    return found
