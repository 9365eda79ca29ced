"""Domains whose users and groups live in a directory: how it is reached, and which entry has which id."""

from __future__ import annotations

from django.db import models

from apps.identity.models.projects import Project


class DomainOption(models.Model):
    """One option of a domain's configuration; a secret one lies in `sealed`, encrypted with the master key."""

    domain = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    group = models.CharField(max_length=64)
    option = models.CharField(max_length=64)
    value = models.JSONField(null=True)
    sealed = models.BinaryField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["domain", "group", "option"], name="identity_domain_option_once")
        ]

    def __str__(self) -> str:
        return f"{self.domain_id}: {self.group}.{self.option}"


class IdMapping(models.Model):
    """The public id of a directory's user or group. `gone_at` is when the directory no longer had it.

    Rows of `User` and `Group` with the same id hold what was last read, for tokens and assignments to stand on.
    """

    public_id = models.CharField(primary_key=True, max_length=64)
    domain = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=8, choices=[("user", "user"), ("group", "group")])
    local_id = models.CharField(max_length=255)
    gone_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["domain", "kind", "local_id"], name="identity_mapping_local_id")]
        indexes = [
            models.Index(fields=["public_id"], condition=models.Q(gone_at__isnull=False), name="identity_mapping_gone")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.local_id} of {self.domain_id}"
