from django.apps import AppConfig


class ComputeConfig(AppConfig):
    name = "apps.compute"
    label = "compute"

    def ready(self) -> None:
        from apps.compute.models import Server
        from apps.compute.policies import RULES
        from apps.compute.selectors.guests import image_is_used
        from apps.compute.services.quotas import DEFAULTS
        from apps.core.policy import book
        from apps.identity.services import limits_register
        from apps.image.services import host_use_check

        book.register(RULES)
        host_use_check(image_is_used)
        limits_register("compute", DEFAULTS)
        host_use_check(lambda host, image_id: Server.objects.filter(host_name=host.name, image_id=image_id).exists())
