from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

from apps.core.policy import book
from apps.hosts.policies import RULES


class HostsConfig(AppConfig):
    name = "apps.hosts"
    label = "hosts"

    def ready(self) -> None:
        book.register(RULES)
        autodiscover_modules("reconcile")
