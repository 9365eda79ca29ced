"""OAuth 1.0a: programs, and what users let them do."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from apps.core.models import TimestampedModel
from apps.identity.models.projects import Project
from apps.identity.models.roles import Role
from apps.identity.models.users import User
from apps.identity.states import new_id


class Consumer(TimestampedModel):
    """A program that asks users for some of their roles."""

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    description = models.TextField(default="", blank=True)
    sealed_secret = models.BinaryField()
    extra = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.description or self.id


class RequestToken(models.Model):
    """A consumer's wish to act in a project, until a user authorizes it and the consumer trades it in."""

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    consumer = models.ForeignKey(Consumer, on_delete=models.CASCADE, related_name="request_tokens")
    sealed_secret = models.BinaryField()
    requested_project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()
    authorized_by = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    roles = models.ManyToManyField(Role, related_name="+")
    verifier = models.CharField(max_length=64, default="", blank=True)

    def __str__(self) -> str:
        return f"request token of {self.consumer_id}"


class AccessToken(models.Model):
    """What a consumer signs in with for the user who authorized it, with the roles that user chose."""

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    consumer = models.ForeignKey(Consumer, on_delete=models.CASCADE, related_name="access_tokens")
    sealed_secret = models.BinaryField()
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="access_tokens")
    roles = models.ManyToManyField(Role, related_name="+")
    expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"access token of {self.consumer_id}"


class UsedNonce(models.Model):
    """A nonce that was seen (RFC 5849, 3.3); kept as long as its timestamp would still be taken."""

    id = models.BigAutoField(primary_key=True)
    consumer = models.ForeignKey(Consumer, on_delete=models.CASCADE, related_name="+")
    nonce = models.CharField(max_length=255)
    timestamp = models.BigIntegerField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["consumer", "timestamp", "nonce"], name="identity_nonce_used_once")
        ]

    def __str__(self) -> str:
        return self.nonce
