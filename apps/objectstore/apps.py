from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

from apps.core.policy import book
from apps.objectstore.policies import RULES


class ObjectStoreConfig(AppConfig):
    name = "apps.objectstore"
    label = "objectstore"

    def ready(self) -> None:
        book.register(RULES)
        autodiscover_modules("reconcile", "owned", "sagas")
