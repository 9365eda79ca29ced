from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class ComputeConfig(AppConfig):
    name = "apps.compute"
    label = "compute"

    def ready(self) -> None:
        from apps.compute.policies import RULES
        from apps.compute.selectors.guests import image_is_used
        from apps.compute.services.quotas import DEFAULTS
        from apps.core.policy import book
        from apps.identity.services import limits_register
        from apps.image.services import host_use_check

        book.register(RULES)
        host_use_check(image_is_used)
        limits_register("compute", DEFAULTS)
        autodiscover_modules("owned")
