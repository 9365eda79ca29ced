"""`/v3/OS-EP-FILTER/…`: endpoints of single projects; `/v3/policies` and what policies are attached to."""

from __future__ import annotations

from collections.abc import Callable

from django.urls import URLPattern, path
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api.resource import SHOW
from apps.core.api.views import Crud
from apps.identity import resources, selectors, services
from apps.identity.api.base import Association, IdentityView


class EndpointGroups(IdentityView):
    resource = resources.ENDPOINT_GROUP
    calls = Crud.of("endpoint_group", selectors, services)


class EndpointGroupEndpoints(IdentityView):
    resource = resources.ENDPOINT
    calls = Crud(list=selectors.endpoint_group_endpoints)


class EndpointGroupProjects(IdentityView):
    resource = resources.PROJECT
    calls = Crud(list=selectors.endpoint_group_projects)


class ProjectEndpointGroups(IdentityView):
    resource = resources.ENDPOINT_GROUP
    calls = Crud(list=selectors.project_endpoint_groups)


class ProjectEndpoints(IdentityView):
    resource = resources.ENDPOINT
    calls = Crud(list=selectors.project_endpoints)


class EndpointProjects(IdentityView):
    resource = resources.PROJECT
    calls = Crud(list=selectors.endpoint_projects)


class EndpointGroupProject(IdentityView):
    """A group in a project: shown, given, taken away."""

    resource = resources.ENDPOINT_GROUP
    calls = Crud(get=selectors.endpoint_group_project_get)

    def _handler(self, method: str) -> Callable[..., Response] | None:
        own = {"get": self.look, "head": self.look, "put": self.give, "delete": self.take}
        return own.get(method) or super()._handler(method)

    def look(self, request: Request, **ids: str) -> Response:
        return Response(self._render_one(selectors.endpoint_group_project_get(self.ctx, **ids), SHOW))

    def give(self, request: Request, **ids: str) -> Response:
        services.endpoint_group_project_add(self.ctx, **ids)
        return Response(status=204)

    def take(self, request: Request, **ids: str) -> Response:
        services.endpoint_group_project_remove(self.ctx, **ids)
        return Response(status=204)


class ProjectEndpoint(Association):
    check = selectors.endpoint_project_check
    join = services.endpoint_project_add
    part = services.endpoint_project_remove


class Policies(IdentityView):
    resource = resources.POLICY
    calls = Crud.of("policy", selectors, services)


class PolicyOfEndpoint(Association):
    check = selectors.policy_endpoint_check
    join = services.policy_endpoint_set
    part = services.policy_endpoint_remove


class PolicyOfService(Association):
    check = selectors.policy_service_check
    join = services.policy_service_set
    part = services.policy_service_remove


class PolicyOfRegion(Association):
    check = selectors.policy_region_check
    join = services.policy_region_set
    part = services.policy_region_remove


class PolicyEndpoints(IdentityView):
    resource = resources.ENDPOINT
    calls = Crud(list=selectors.policy_endpoints)


class EndpointPolicy(IdentityView):
    """`GET /v3/endpoints/{id}/OS-ENDPOINT-POLICY/policy`."""

    resource = resources.POLICY
    calls = Crud(get=selectors.endpoint_policy)

    def _handler(self, method: str) -> Callable[..., Response] | None:
        return self.look if method in {"get", "head"} else None

    def look(self, request: Request, endpoint_id: str) -> Response:
        return Response(self._render_one(selectors.endpoint_policy(self.ctx, endpoint_id=endpoint_id), SHOW))


def urls() -> list[URLPattern]:
    """All of them."""
    ep, group = "/v3/OS-EP-FILTER", "/v3/OS-EP-FILTER/endpoint_groups/<str:endpoint_group_id>"
    policy = "/v3/policies/<str:policy_id>/OS-ENDPOINT-POLICY"
    return [
        *EndpointGroups.urls(f"{ep}/endpoint_groups"),
        path(f"{group}/endpoints", EndpointGroupEndpoints.as_view(list_view="detail")),
        path(f"{group}/projects", EndpointGroupProjects.as_view(list_view="detail")),
        path(f"{group}/projects/<str:project_id>", EndpointGroupProject.as_view()),
        path(f"{ep}/projects/<str:project_id>/endpoint_groups", ProjectEndpointGroups.as_view(list_view="detail")),
        path(f"{ep}/projects/<str:project_id>/endpoints", ProjectEndpoints.as_view(list_view="detail")),
        path(f"{ep}/projects/<str:project_id>/endpoints/<str:endpoint_id>", ProjectEndpoint.as_view()),
        path(f"{ep}/endpoints/<str:endpoint_id>/projects", EndpointProjects.as_view(list_view="detail")),
        *Policies.urls("/v3/policies"),
        path(f"{policy}/endpoints", PolicyEndpoints.as_view(list_view="detail")),
        path(f"{policy}/endpoints/<str:endpoint_id>", PolicyOfEndpoint.as_view()),
        path(f"{policy}/services/<str:service_id>", PolicyOfService.as_view()),
        path(f"{policy}/services/<str:service_id>/regions/<str:region_id>", PolicyOfRegion.as_view()),
        path("/v3/endpoints/<str:endpoint_id>/OS-ENDPOINT-POLICY/policy", EndpointPolicy.as_view()),
    ]
