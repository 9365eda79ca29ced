from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

from apps.audit.policies import RULES
from apps.core.policy import book


class AuditConfig(AppConfig):
    name = "apps.audit"
    label = "audit"

    def ready(self) -> None:
        book.register(RULES)
        autodiscover_modules("reconcile")
