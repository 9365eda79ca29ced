"""Paths of the S3 API, below `/s3`: buckets and keys may be named anything, so one view takes the path apart."""

from __future__ import annotations

from django.urls import re_path

from apps.objectstore.api.s3.views import S3

urlpatterns = [re_path("", S3.as_view())]
