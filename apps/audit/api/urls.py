"""Paths of the audit log's API, below `/audit`."""

from __future__ import annotations

from django.urls import path

from apps.audit.api import views

urlpatterns = [
    *(path(text, views.Versions.as_view()) for text in ("", "/")),
    *(path(text, views.Version.as_view()) for text in ("/v1", "/v1/")),
    *views.Events.urls("/v1/events"),
]
