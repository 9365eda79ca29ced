"""What hosts ask of the image service."""

from __future__ import annotations

from django.urls import path

from apps.image.api.files import HostImage

urlpatterns = [path("image/<str:image_id>", HostImage.as_view(), name="host-image")]
