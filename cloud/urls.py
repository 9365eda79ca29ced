"""Where each app's API and pages are mounted. Wiring only."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from apps.compute.web.urls import site as consoles
from apps.core.api.metrics import Metrics
from apps.core.api.openapi import OpenApi
from apps.dashboard.web.urls import site
from apps.objectstore.api.swift.info import Info

handler404 = "apps.core.api.faults.not_found"
handler500 = "apps.core.api.faults.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("openapi.json", OpenApi.as_view()),
    path("metrics", Metrics.as_view()),
    path("identity", include("apps.identity.api.urls")),
    path("image", include("apps.image.api.urls")),
    path("object-store", include("apps.objectstore.api.swift.urls")),
    path("s3", include("apps.objectstore.api.s3.urls")),
    path("info", Info.as_view()),  # where some clients of the object store look for it
    path("networking", include("apps.network.api.urls")),
    path("compute", include("apps.compute.api.urls")),
    path("placement", include("apps.hosts.api.urls")),
    path("audit", include("apps.audit.api.urls")),
    path("", include("apps.operations.api.urls")),
    path("internal/host/v1/", include("apps.hosts.api.host")),
    path("internal/host/v1/", include("apps.compute.api.host")),
    path("internal/host/v1/", include("apps.image.api.host")),
    *site,
    *consoles,
    path(
        "p/<str:project>/",
        include(
            [
                path("", include("apps.dashboard.web.urls")),
                path("", include("apps.operations.web.urls")),
                path("", include("apps.audit.web.urls")),
                path("", include("apps.identity.web.urls")),
                path("", include("apps.hosts.web.urls")),
                path("", include("apps.objectstore.web.urls")),
                path("", include("apps.image.web.urls")),
                path("", include("apps.network.web.urls")),
                path("", include("apps.compute.web.urls")),
            ]
        ),
    ),
]
