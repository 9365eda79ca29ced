"""Secrets by which programs act for a user."""

from __future__ import annotations

from django.db import models

from apps.core.models import TimestampedModel
from apps.identity.models.projects import Project
from apps.identity.models.roles import Role
from apps.identity.models.users import User
from apps.identity.states import new_id


class AccessRule(models.Model):
    """One call that an application credential may make; shared by the credentials of a user."""

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="access_rules")
    service = models.CharField(max_length=64)
    method = models.CharField(max_length=16)
    path = models.CharField(max_length=255)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "service", "method", "path"], name="identity_access_rule_once")
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.service}:{self.path}"


class ApplicationCredential(TimestampedModel):
    """A secret by which a program acts for a user in one project, with some of the user's roles there."""

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    name = models.CharField(max_length=255)
    description = models.TextField(default="", blank=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="application_credentials")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    roles = models.ManyToManyField(Role, related_name="+")
    secret_hash = models.CharField(max_length=255)
    expires_at = models.DateTimeField(null=True)
    unrestricted = models.BooleanField(default=False)
    has_access_rules = models.BooleanField(default=False)
    access_rules = models.ManyToManyField(AccessRule, related_name="credentials")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="identity_application_credential_name")]

    def __str__(self) -> str:
        return self.name


class Credential(TimestampedModel):
    """A secret of a user, of any type: `ec2` and `totp` are used by identity itself, others are only kept.

    The id of an `ec2` credential is the SHA-256 of its access key, so that the key finds its row.
    """

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    type = models.CharField(max_length=255)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="credentials", db_index=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="+")
    sealed_blob = models.BinaryField()
    last_step = models.BigIntegerField(null=True)  # `totp`: the time step of the last code that was taken
    extra = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(fields=["user", "type"], name="identity_credential_of_user")]

    def __str__(self) -> str:
        return f"{self.type} credential of {self.user_id}"
