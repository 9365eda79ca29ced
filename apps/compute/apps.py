from django.apps import AppConfig


class ComputeConfig(AppConfig):
    name = "apps.compute"
    label = "compute"

    def ready(self) -> None:
        from apps.compute.policies import RULES
        from apps.compute.services.quotas import DEFAULTS
        from apps.core.policy import book
        from apps.identity.services import limits_register

        book.register(RULES)
        limits_register("compute", DEFAULTS)
