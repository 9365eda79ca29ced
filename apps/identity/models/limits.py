"""Limits of projects and domains, and of their users."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.identity.models.catalog import Region, Service
from apps.identity.models.projects import Project
from apps.identity.states import new_id


class Limit(models.Model):
    """How many of a resource a project or domain may have. Without a project it is the registered default of all.

    With a user it is what that user may have of the project's; users may live elsewhere, so theirs is a plain id.
    """

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="limits", db_index=False)
    user_id = models.CharField(max_length=64, default="", help_text="Empty: everybody together.")
    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="+")
    region = models.ForeignKey(Region, on_delete=models.CASCADE, null=True, related_name="+")
    resource = models.CharField(max_length=255)
    value = models.IntegerField()  # -1: unlimited
    description = models.TextField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "user_id", "service", "region", "resource"],
                nulls_distinct=False,
                name="identity_limit_once",
            ),
            models.CheckConstraint(condition=Q(value__gte=-1), name="identity_limit_value"),
            models.CheckConstraint(
                condition=Q(user_id="") | Q(project__isnull=False), name="identity_limit_user_in_project"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.resource} = {self.value}"
