from django.apps import AppConfig


class IdentityConfig(AppConfig):
    name = "apps.identity"
    label = "identity"

    def ready(self) -> None:
        from apps.core.policy import book
        from apps.identity.policies import RULES

        book.register(RULES)
