"""Paths of an image's bytes, below `/image`: the bytes pool answers these."""

from __future__ import annotations

from django.urls import path

from apps.image.api import files

ONE = "/v2/images/<str:image_id>"

urlpatterns = [
    path(f"{ONE}/file", files.File.as_view()),
    path(f"{ONE}/stage", files.Stage.as_view()),
]
