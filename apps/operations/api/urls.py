"""Paths of operations, from the root."""

from __future__ import annotations

from django.urls import path

from apps.operations.api import views

urlpatterns = [
    *views.Operations.urls("operations"),
    path("operations/<str:ident>/cancel", views.Cancel.as_view()),
    path("operations/<str:ident>/retry", views.Retry.as_view()),
    path("operations/<str:ident>/abandon", views.Abandon.as_view()),
]
