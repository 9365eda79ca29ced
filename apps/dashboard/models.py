"""Who is signed in to the web admin, and how people may sign in."""

from __future__ import annotations

import uuid

from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models.functions import Now

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


class Attempts(models.Model):
    """How often somebody was refused lately: `key` is the digest of an address or of an account's name."""

    key = models.CharField(primary_key=True, max_length=64)
    count = models.PositiveIntegerField()
    ends_at = models.DateTimeField(db_index=True)  # then the count begins anew

    def __str__(self) -> str:
        return f"{self.count} until {self.ends_at:%H:%M:%S}"


class Passkey(models.Model):
    """A WebAuthn credential that a user may sign in with. The private half never leaves the user's device."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=255)
    credential_id = models.BinaryField()
    public_key = models.BinaryField()  # COSE
    sign_count = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["credential_id"], name="dashboard_passkey_once")]

    def __str__(self) -> str:
        return self.name


class PasswordReset(models.Model):
    """The newest address by which a user may choose a new password. Only the digest of its token is kept.

    It is of no use any more once the user's tokens have ended, as every change of the password makes them.
    """

    user = models.OneToOneField(User, primary_key=True, on_delete=models.CASCADE, related_name="+")
    token_hash = models.CharField(max_length=64, unique=True)
    generation = models.PositiveIntegerField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"password reset of {self.user_id}"
