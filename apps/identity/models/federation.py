"""Identity providers, how their users become ours, and which of ours came from them."""

from __future__ import annotations

from django.db import models

from apps.core.models import TimestampedModel
from apps.identity.models.projects import Project
from apps.identity.models.users import Group, User


class IdentityProvider(TimestampedModel):
    """Somebody who vouches for users. New users of theirs live in `domain`."""

    id = models.CharField(primary_key=True, max_length=64)
    description = models.TextField(null=True)
    enabled = models.BooleanField(default=False)
    domain = models.ForeignKey(Project, on_delete=models.RESTRICT, related_name="+")
    authorization_ttl = models.PositiveIntegerField(null=True)  # minutes

    def __str__(self) -> str:
        return self.id


class RemoteId(models.Model):
    """A name by which an identity provider calls itself, such as an issuer."""

    remote_id = models.CharField(primary_key=True, max_length=255)
    provider = models.ForeignKey(IdentityProvider, on_delete=models.CASCADE, related_name="remotes")

    def __str__(self) -> str:
        return self.remote_id


class FederationMapping(TimestampedModel):
    """Rules from assertions to users, groups and projects."""

    id = models.CharField(primary_key=True, max_length=64)
    rules = models.JSONField()
    schema_version = models.CharField(max_length=5, default="1.0")

    def __str__(self) -> str:
        return self.id


class FederationProtocol(TimestampedModel):
    """A way to sign in by an identity provider. `oidc` says how we reach it; its secret lies sealed beside."""

    provider = models.ForeignKey(IdentityProvider, on_delete=models.CASCADE, related_name="protocols")
    name = models.CharField(max_length=64)
    mapping = models.ForeignKey(FederationMapping, on_delete=models.RESTRICT, related_name="+")
    remote_id_attribute = models.CharField(max_length=64, null=True)
    oidc = models.JSONField(null=True)
    oidc_secret = models.BinaryField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "name"], name="identity_protocol_once")]

    def __str__(self) -> str:
        return f"{self.provider_id}/{self.name}"


class ServiceProvider(TimestampedModel):
    """Another cloud that takes our word for users."""

    id = models.CharField(primary_key=True, max_length=64)
    auth_url = models.CharField(max_length=256)
    sp_url = models.CharField(max_length=256)
    description = models.TextField(null=True)
    enabled = models.BooleanField(default=False)
    relay_state_prefix = models.CharField(max_length=256, default="ss:mem:")

    def __str__(self) -> str:
        return self.id


class FederatedUser(models.Model):
    """Which of our users somebody at an identity provider is."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="federated")
    provider = models.ForeignKey(IdentityProvider, on_delete=models.CASCADE, related_name="+")
    protocol = models.CharField(max_length=64)
    unique_id = models.CharField(max_length=255)
    display_name = models.CharField(max_length=255)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider", "protocol", "unique_id"], name="identity_federated_user_once")
        ]

    def __str__(self) -> str:
        return f"{self.unique_id} of {self.provider_id}"


class FederatedMembership(models.Model):
    """A membership that a mapping gave; it goes when it is no longer given, or with time."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="+")
    provider = models.ForeignKey(IdentityProvider, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "group"], name="identity_federated_membership_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.group_id} until {self.expires_at}"
