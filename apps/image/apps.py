from django.apps import AppConfig


class ImageConfig(AppConfig):
    name = "apps.image"
    label = "image"
