"""Paths of identity's API, below `/identity`."""

from __future__ import annotations

from django.urls import path

from apps.identity.api import auth, versions

urlpatterns = [
    path("", versions.Versions.as_view()),
    path("/", versions.Versions.as_view()),
    path("/v3", versions.Version.as_view()),
    path("/v3/", versions.Version.as_view()),
    path("/v3/auth/tokens", auth.tokens),
    path("/v3/auth/catalog", auth.Catalog.as_view()),
    path("/v3/auth/system", auth.System.as_view()),
]
