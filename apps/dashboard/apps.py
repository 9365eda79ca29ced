from pathlib import Path

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from apps.core import policy


class DashboardConfig(AppConfig):
    name = "apps.dashboard"
    label = "dashboard"

    def ready(self) -> None:
        """The last app to be ready: every table of rules is there, so the operator's file can be put on top."""
        file = settings.CONFIG.paths.policy
        if not file:
            return
        try:
            policy.book.override(Path(file).read_text())
        except (OSError, UnicodeDecodeError, policy.PolicyError) as error:
            raise ImproperlyConfigured(f"paths.policy, {file}: {error}") from error
