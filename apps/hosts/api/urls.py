"""Paths of the placement API, below `/placement`."""

from __future__ import annotations

from django.urls import path

from apps.hosts.api import placement as p

ONE = "/resource_providers/<str:ident>"

urlpatterns = [
    path("", p.Versions.as_view()),
    path("/", p.Versions.as_view()),
    path("/resource_providers", p.Providers.as_view()),
    path(ONE, p.Provider.as_view()),
    path(f"{ONE}/inventories", p.Inventories.as_view()),
    path(f"{ONE}/inventories/<str:name>", p.OneInventory.as_view()),
    path(f"{ONE}/usages", p.ProviderUsages.as_view()),
    path(f"{ONE}/allocations", p.ProviderAllocations.as_view()),
    path(f"{ONE}/traits", p.ProviderTraits.as_view()),
    path(f"{ONE}/aggregates", p.ProviderAggregates.as_view()),
    path("/allocations/<str:consumer>", p.Allocations.as_view()),
    path("/usages", p.ProjectUsages.as_view()),
    path("/resource_classes", p.ResourceClasses.as_view()),
    path("/resource_classes/<str:name>", p.OneResourceClass.as_view()),
    path("/traits", p.Traits.as_view()),
    path("/traits/<str:name>", p.OneTrait.as_view()),
    path("/allocation_candidates", p.Candidates.as_view()),
]
