"""Paths of the image API, below `/image`."""

from __future__ import annotations

from django.urls import path

from apps.image.api import documents, metadefs, transfers, views
from apps.image.api.transfers import ONE

urlpatterns = [
    path("", documents.Versions.as_view()),
    path("/", documents.Versions.as_view()),
    path("/versions", documents.Versions.as_view(status=200)),
    *views.Images.urls("/v2/images"),
    *transfers.urlpatterns,
    path(f"{ONE}/import", views.Import.as_view()),
    path(f"{ONE}/tasks", views.Tasks.as_view()),
    path(f"{ONE}/actions/deactivate", views.Deactivate.as_view()),
    path(f"{ONE}/actions/reactivate", views.Reactivate.as_view()),
    path(f"{ONE}/tags/<str:tag>", views.Tags.as_view()),
    *views.Members.urls(f"{ONE}/members"),
    path("/v2/tasks", views.AllTasks.as_view()),
    path("/v2/info/import", documents.ImportInfo.as_view()),
    path("/v2/info/stores", documents.StoresInfo.as_view()),
    path("/v2/info/usage", documents.UsageInfo.as_view()),
    *metadefs.urls(),
    path("/v2/schemas/<path:name>", documents.Schema.as_view()),
]
