"""Paths of the object store, below `/object-store`. Names may hold anything, so one view takes the path apart."""

from __future__ import annotations

from django.urls import path, re_path

from apps.objectstore.api.swift.info import CrossDomain, Healthcheck, Info
from apps.objectstore.api.swift.views import Store

urlpatterns = [
    path("/info", Info.as_view()),
    path("/crossdomain.xml", CrossDomain.as_view()),
    path("/healthcheck", Healthcheck.as_view()),
    re_path("", Store.as_view()),
]
