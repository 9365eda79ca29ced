from importlib import import_module

from django.apps import AppConfig


class IdentityConfig(AppConfig):
    name = "apps.identity"
    label = "identity"

    def ready(self) -> None:
        from apps.core.policy import book
        from apps.identity.policies import OWN_RULES, RULES

        book.register(RULES)
        book.register(OWN_RULES)
        import_module("apps.identity.reconcile")  # registers the refreshing of directories
