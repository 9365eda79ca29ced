"""Limits of projects, and of their users."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.identity.models.projects import Project


class Limit(models.Model):
    """How many of a resource a project may have. Without a project it is the default of every project.

    With a user it is what that user may have of the project's; users may live elsewhere, so theirs is a plain id.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="limits")
    user_id = models.CharField(max_length=64, default="", help_text="Empty: everybody together.")
    service = models.CharField(max_length=64)
    resource = models.CharField(max_length=255)
    value = models.IntegerField()  # -1: unlimited

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "user_id", "service", "resource"], nulls_distinct=False, name="identity_limit_once"
            ),
            models.CheckConstraint(condition=Q(value__gte=-1), name="identity_limit_value"),
            models.CheckConstraint(
                condition=Q(user_id="") | Q(project__isnull=False), name="identity_limit_user_in_project"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.service}:{self.resource} = {self.value}"
