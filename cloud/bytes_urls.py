"""The addresses that nginx sends to the bytes pool. A part of `cloud.urls`, so that this pool loads no more than it.

nginx's locations are in `scripts/local/nginx.conf`; a test holds the two together.
"""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

handler404 = "apps.core.api.faults.not_found"
handler500 = "apps.core.api.faults.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("image", include("apps.image.api.transfers")),
    path("object-store", include("apps.objectstore.api.swift.urls")),
    path("s3", include("apps.objectstore.api.s3.urls")),
    path("internal/host/v1/", include("apps.image.api.host")),
    path(
        "p/<str:project>/",
        include([path("", include("apps.objectstore.web.transfers")), path("", include("apps.image.web.transfers"))]),
    ),
]
