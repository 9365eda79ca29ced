"""Which endpoints a project has for itself, and which projects have an endpoint."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from apps.core.context import RequestContext
from apps.core.errors import NotFound
from apps.core.transactions import selector
from apps.identity.models import Endpoint, EndpointGroup, Project, ProjectEndpoint, ProjectEndpointGroup
from apps.identity.selectors.access import row_of


@selector("identity:list_endpoint_groups")
def endpoint_group_list(ctx: RequestContext) -> QuerySet[EndpointGroup]:
    """All groups of endpoints."""
    return EndpointGroup.objects.all()


@selector("identity:get_endpoint_group")
def endpoint_group_get(ctx: RequestContext, *, endpoint_group_id: str) -> QuerySet[EndpointGroup]:
    """One group of endpoints."""
    return EndpointGroup.objects.filter(pk=endpoint_group_id)


@selector("identity:list_endpoints_associated_with_endpoint_group")
def endpoint_group_endpoints(ctx: RequestContext, *, endpoint_group_id: str) -> QuerySet[Endpoint]:
    """The endpoints that fit a group. Raises NotFound."""
    return Endpoint.objects.filter(_in_group(row_of(EndpointGroup, endpoint_group_id, "endpoint group")))


@selector("identity:list_projects_associated_with_endpoint_group")
def endpoint_group_projects(ctx: RequestContext, *, endpoint_group_id: str) -> QuerySet[Project]:
    """The projects that have a group. Raises NotFound."""
    row_of(EndpointGroup, endpoint_group_id, "endpoint group")
    rows = ProjectEndpointGroup.objects.filter(endpoint_group_id=endpoint_group_id)
    return Project.objects.filter(pk__in=rows.values("project_id"))


@selector("identity:get_endpoint_group_in_project")
def endpoint_group_project_get(
    ctx: RequestContext, *, endpoint_group_id: str, project_id: str
) -> QuerySet[EndpointGroup]:
    """A group, if the project has it. Raises NotFound."""
    row_of(Project, project_id, "project")
    rows = ProjectEndpointGroup.objects.filter(endpoint_group_id=endpoint_group_id, project_id=project_id)
    if not rows.exists():
        raise NotFound("endpoint group project association")
    return EndpointGroup.objects.filter(pk=endpoint_group_id)


@selector("identity:list_endpoint_groups_for_project")
def project_endpoint_groups(ctx: RequestContext, *, project_id: str) -> QuerySet[EndpointGroup]:
    """The groups that a project has. Raises NotFound."""
    row_of(Project, project_id, "project")
    rows = ProjectEndpointGroup.objects.filter(project_id=project_id)
    return EndpointGroup.objects.filter(pk__in=rows.values("endpoint_group_id"))


@selector("identity:list_endpoints_for_project")
def project_endpoints(ctx: RequestContext, *, project_id: str) -> QuerySet[Endpoint]:
    """The endpoints that a project has for itself, by groups too. Raises NotFound."""
    row_of(Project, project_id, "project")
    return Endpoint.objects.filter(own_endpoints(project_id) or Q(pk__in=[]))


@selector("identity:list_projects_for_endpoint")
def endpoint_projects(ctx: RequestContext, *, endpoint_id: str) -> QuerySet[Project]:
    """The projects that have an endpoint for themselves. Raises NotFound."""
    row_of(Endpoint, endpoint_id, "endpoint")
    return Project.objects.filter(pk__in=ProjectEndpoint.objects.filter(endpoint_id=endpoint_id).values("project_id"))


@selector("identity:check_endpoint_in_project")
def endpoint_project_check(ctx: RequestContext, *, endpoint_id: str, project_id: str) -> None:
    """Raise NotFound unless the project has the endpoint for itself."""
    if not ProjectEndpoint.objects.filter(endpoint_id=endpoint_id, project_id=project_id).exists():
        raise NotFound("endpoint project association")


def own_endpoints(project_id: str) -> Q | None:
    """What picks a project's own endpoints; None for a project that has none, and sees all."""
    direct = list(ProjectEndpoint.objects.filter(project_id=project_id).values_list("endpoint_id", flat=True))
    rows = ProjectEndpointGroup.objects.filter(project_id=project_id)
    groups = list(EndpointGroup.objects.filter(pk__in=rows.values("endpoint_group_id")))
    if not direct and not groups:
        return None
    own = Q(pk__in=direct)
    for group in groups:
        own |= _in_group(group)
    return own


def _in_group(group: EndpointGroup) -> Q:
    filters: dict[str, Any] = group.filters
    return Q(**filters)
