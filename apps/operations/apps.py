from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class OperationsConfig(AppConfig):
    name = "apps.operations"
    label = "operations"

    def ready(self) -> None:
        from apps.core.doctor import doctor_check
        from apps.core.policy import book
        from apps.operations import checks, registry, sweeper
        from apps.operations.policies import RULES

        book.register(RULES)
        registry.daemon("sweeper", sweeper.run)
        doctor_check("operations")(checks.check_operations)
        autodiscover_modules("sagas")
