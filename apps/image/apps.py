from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

from apps.core.policy import book
from apps.image.policies import RULES


class ImageConfig(AppConfig):
    name = "apps.image"
    label = "image"

    def ready(self) -> None:
        from apps.identity.services import limits_register
        from apps.image.states import LIMITS

        book.register(RULES)
        limits_register("image", LIMITS)
        autodiscover_modules("reconcile", "owned")
