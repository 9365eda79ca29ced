"""Limits of projects."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.identity.models.projects import Project


class Limit(models.Model):
    """How many of a resource a project may have. Without a project it is the default of every project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="limits")
    service = models.CharField(max_length=64)
    resource = models.CharField(max_length=255)
    value = models.IntegerField()  # -1: unlimited

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "service", "resource"], nulls_distinct=False, name="identity_limit_once"
            ),
            models.CheckConstraint(condition=Q(value__gte=-1), name="identity_limit_value"),
        ]

    def __str__(self) -> str:
        return f"{self.service}:{self.resource} = {self.value}"
