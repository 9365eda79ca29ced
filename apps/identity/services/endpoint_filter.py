"""Catalogues of single projects: endpoints, and groups of endpoints, that a project has for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.core.context import RequestContext
from apps.core.errors import Invalid, NotFound
from apps.core.transactions import service
from apps.identity.models import Endpoint, EndpointGroup, Project, ProjectEndpoint, ProjectEndpointGroup
from apps.identity.selectors.access import row_of
from apps.identity.services.common import apply
from apps.identity.services.epoch import change_epoch

FILTERS = ("service_id", "region_id", "interface", "enabled")


@service("identity:create_endpoint_group")
def endpoint_group_create(
    ctx: RequestContext,
    *,
    name: str,
    filters: Mapping[str, Any],
    description: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> EndpointGroup:
    """Endpoints that have something in common. Raises Invalid for a filter that endpoints do not have."""
    return EndpointGroup.objects.create(
        name=name, description=description or "", filters=_known(filters), extra=dict(extra or {})
    )


@service("identity:update_endpoint_group")
def endpoint_group_update(
    ctx: RequestContext, *, endpoint_group_id: str, extra: Mapping[str, Any] | None = None, **changes: Any
) -> EndpointGroup:
    """Change a group of endpoints. Raises NotFound, Invalid."""
    group = row_of(EndpointGroup, endpoint_group_id, "endpoint group")
    given = {name: value for name, value in changes.items() if value is not None or name == "description"}
    if "filters" in given:
        given["filters"] = _known(given["filters"])
    apply(group, given, extra=extra)
    change_epoch()
    return group


@service("identity:delete_endpoint_group")
def endpoint_group_delete(ctx: RequestContext, *, endpoint_group_id: str) -> None:
    """Remove a group of endpoints from wherever it is. Raises NotFound."""
    row_of(EndpointGroup, endpoint_group_id, "endpoint group").delete()
    change_epoch()


@service("identity:add_endpoint_group_to_project")
def endpoint_group_project_add(ctx: RequestContext, *, endpoint_group_id: str, project_id: str) -> None:
    """Give a project the endpoints of a group; harmless if it has them. Raises NotFound."""
    group = row_of(EndpointGroup, endpoint_group_id, "endpoint group")
    project = row_of(Project, project_id, "project")
    ProjectEndpointGroup.objects.get_or_create(project=project, endpoint_group=group)
    change_epoch()


@service("identity:remove_endpoint_group_from_project")
def endpoint_group_project_remove(ctx: RequestContext, *, endpoint_group_id: str, project_id: str) -> None:
    """Take them away. Raises NotFound, also if the project does not have them."""
    rows = ProjectEndpointGroup.objects.filter(endpoint_group_id=endpoint_group_id, project_id=project_id)
    if not rows.delete()[0]:
        raise NotFound("endpoint group project association")
    change_epoch()


@service("identity:add_endpoint_to_project")
def endpoint_project_add(ctx: RequestContext, *, endpoint_id: str, project_id: str) -> None:
    """Give a project an endpoint of its own; harmless if it has it. Raises NotFound."""
    endpoint = row_of(Endpoint, endpoint_id, "endpoint")
    project = row_of(Project, project_id, "project")
    ProjectEndpoint.objects.get_or_create(project=project, endpoint=endpoint)
    change_epoch()


@service("identity:remove_endpoint_from_project")
def endpoint_project_remove(ctx: RequestContext, *, endpoint_id: str, project_id: str) -> None:
    """Take it away. Raises NotFound, also if the project does not have it."""
    if not ProjectEndpoint.objects.filter(endpoint_id=endpoint_id, project_id=project_id).delete()[0]:
        raise NotFound("endpoint project association")
    change_epoch()


def _known(filters: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(filters) - set(FILTERS))
    if unknown:
        raise Invalid(f"Endpoints have no {', '.join(unknown)}; a group knows {', '.join(FILTERS)}.", field="filters")
    return dict(filters)
