"""Addresses of the images' pages, below `/p/<project>/`."""

from django.urls import path
from django.utils.translation import gettext_lazy as _

from apps.core.web import navigation, palette
from apps.core.web.pages import list_paths
from apps.image.web import transfers, views

app_name = "image"

urlpatterns = [
    *list_paths("images", views.Images),
    path("images/upload", views.ImageCreate.as_view(), name="image-create"),
    *transfers.urlpatterns,
]

navigation.register(navigation.Link("image:images", _("Images"), "image", "compute", 20, "get_images", "g i"))
palette.register(palette.Command(_("Upload an image"), "image:image-create", "upload", "add_image"))
palette.searcher(
    "image",
    _("Images"),
    lambda ctx, typed: [
        palette.Hit(i.name, "image:image", (i.pk,), "image", views.describe(i)) for i in views.hits(ctx, typed)
    ],
)
