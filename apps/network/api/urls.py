"""Paths of the network API, below `/networking`."""

from __future__ import annotations

from django.urls import path

from apps.network.api import versions, views

V = "/v2.0"

urlpatterns = [
    path("", versions.Versions.as_view()),
    path("/", versions.Versions.as_view()),
    path(V, versions.Root.as_view()),
    path(f"{V}/", versions.Root.as_view()),
    path(f"{V}/extensions", versions.Extensions.as_view()),
    path(f"{V}/extensions/<str:alias>", versions.Extension.as_view()),
    *views.Networks.urls(f"{V}/networks"),
    *views.Subnets.urls(f"{V}/subnets"),
    *views.SubnetPools.urls(f"{V}/subnetpools"),
    *views.Ports.urls(f"{V}/ports"),
    *views.Routers.urls(f"{V}/routers"),
    *views.FloatingIps.urls(f"{V}/floatingips"),
    *views.SecurityGroups.urls(f"{V}/security-groups"),
    *views.SecurityGroupRules.urls(f"{V}/security-group-rules"),
    path(f"{V}/routers/<str:router_id>/add_router_interface", views.RouterInterface.as_view(adds=True)),
    path(f"{V}/routers/<str:router_id>/remove_router_interface", views.RouterInterface.as_view(adds=False)),
    path(f"{V}/routers/<str:router_id>/add_extraroutes", views.RouterRoutes.as_view(adds=True)),
    path(f"{V}/routers/<str:router_id>/remove_extraroutes", views.RouterRoutes.as_view(adds=False)),
    path(f"{V}/quotas", views.Quotas.as_view()),
    path(f"{V}/quotas/<str:project_id>", views.Quota.as_view()),
    path(f"{V}/quotas/<str:project_id>/default", views.QuotaDefault.as_view()),
    path(f"{V}/quotas/<str:project_id>/details.json", views.QuotaDetails.as_view()),
    path(f"{V}/quotas/<str:project_id>/details", views.QuotaDetails.as_view()),
    path(f"{V}/agents", views.Agents.as_view()),
    path(f"{V}/agents/<str:ident>", views.Agents.as_view()),
    path(f"{V}/availability_zones", views.AvailabilityZones.as_view()),
    path(f"{V}/service-providers", views.ServiceProviders.as_view()),
    path(f"{V}/<str:collection>/<str:ident>/tags", views.Tags.as_view()),
    path(f"{V}/<str:collection>/<str:ident>/tags/<str:tag>", views.Tag.as_view()),
]
