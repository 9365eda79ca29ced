"""Addresses below `/p/<project>/` that take an image's bytes, and the page that the browser goes to afterwards."""

from django.urls import path

from apps.image.web import views

app_name = "image"

urlpatterns = [
    path("images/<uuid:ident>", views.ImagePage.as_view(), name="image"),
    path("images/<uuid:ident>/file", views.ImageFile.as_view(), name="image-file"),
]
