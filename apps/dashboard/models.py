"""Who is signed in to the web admin."""

from __future__ import annotations

from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models

from apps.identity.models import User


class WebSession(AbstractBaseSession):
    """A browser's session. `session_key` is a digest: what the browser holds cannot be read from the database.

    The columns repeat what the session's data say, so that a user's sessions can be listed and ended.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    generation = models.PositiveIntegerField(default=0)  # of the user's tokens when it was opened
    address = models.GenericIPAddressField(null=True)
    browser = models.CharField(max_length=255, default="", blank=True)
    opened_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField()

    @classmethod
    def get_session_store_class(cls) -> type:
        from apps.dashboard.store import SessionStore

        return SessionStore
