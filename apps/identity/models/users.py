"""Users, their former passwords, groups and who is in them."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from apps.identity.models.base import Named
from apps.identity.models.projects import Project


class User(Named):
    """Somebody who can sign in. `token_generation` rises when every token of theirs must end."""

    shown_fields = frozenset({"password_changed_at", "password_expires_at"})

    domain = models.ForeignKey(Project, on_delete=models.RESTRICT, related_name="+", db_index=False)
    enabled = models.BooleanField(default=True)
    default_project_id = models.CharField(max_length=64, null=True)
    password_hash = models.CharField(max_length=255, default="", blank=True)
    password_changed_at = models.DateTimeField(null=True)
    password_expires_at = models.DateTimeField(null=True)
    password_is_own = models.BooleanField(default=False)  # chosen by the user, not set by an administrator
    last_active_on = models.DateField(null=True)
    failed_auth_count = models.PositiveIntegerField(default=0)
    failed_auth_at = models.DateTimeField(null=True)
    token_generation = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["name"], name="identity_user_by_name")]
        constraints = [models.UniqueConstraint(fields=["domain", "name"], name="identity_user_name")]

    def __str__(self) -> str:
        return self.name


class FormerPassword(models.Model):
    """A hash that a user's password had before, kept only as far as users may not choose it again."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="former_passwords")
    password_hash = models.CharField(max_length=255)
    replaced_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return f"former password of {self.user_id}"


class Group(Named):
    """Users who get roles together."""

    domain = models.ForeignKey(Project, on_delete=models.RESTRICT, related_name="+", db_index=False)
    users = models.ManyToManyField(User, through="Membership", related_name="groups")

    class Meta:
        indexes = [models.Index(fields=["name"], name="identity_group_by_name")]
        constraints = [models.UniqueConstraint(fields=["domain", "name"], name="identity_group_name")]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A user in a group."""

    user = models.ForeignKey(User, on_delete=models.CASCADE)
    group = models.ForeignKey(Group, on_delete=models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["group", "user"], name="identity_membership_once")]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.group_id}"
