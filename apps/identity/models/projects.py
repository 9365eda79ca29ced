"""Projects and domains.

A domain is a project with `is_domain` set, as in Keystone, so that a project may act as a domain and every
project has one parent chain; `Domain` is a proxy that sees those rows only.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q

from apps.identity.models.base import Named


class Project(Named):
    """A tenant, or a domain. `token_generation` rises when every token scoped to it must end."""

    project_field = "id"

    domain = models.ForeignKey("self", on_delete=models.RESTRICT, null=True, related_name="+")
    parent = models.ForeignKey("self", on_delete=models.RESTRICT, null=True, related_name="children")
    is_domain = models.BooleanField(default=False)
    enabled = models.BooleanField(default=True)
    tags = ArrayField(models.CharField(max_length=255), default=list)
    token_generation = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["domain", "name"], condition=Q(is_domain=False), name="identity_project_name"
            ),
            models.UniqueConstraint(fields=["name"], condition=Q(is_domain=True), name="identity_domain_name"),
            models.CheckConstraint(
                condition=Q(is_domain=True, domain=None, parent=None)
                | Q(is_domain=False, domain__isnull=False, parent__isnull=False),
                name="identity_project_has_domain",
            ),
        ]
        indexes = [
            models.Index(fields=["name"], name="identity_project_by_name"),
            GinIndex(fields=["tags"], name="identity_project_tags"),
        ]

    def __str__(self) -> str:
        return self.name


class DomainManager(models.Manager["Domain"]):
    """Domains only."""

    def get_queryset(self) -> models.QuerySet[Domain]:
        return super().get_queryset().filter(is_domain=True)


class Domain(Project):
    """The rows of `Project` that are name spaces for projects, users and groups."""

    objects: ClassVar[DomainManager] = DomainManager()

    class Meta:
        proxy = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.is_domain = True
        super().save(*args, **kwargs)


class ProjectOwned(models.Model):
    """Base of every row that belongs to a project; the database refuses to drop a project that has any.

    Each table has an index that begins with the project and goes on in the order of its lists.
    """

    project = models.ForeignKey(
        Project, on_delete=models.RESTRICT, db_column="project_id", related_name="+", editable=False, db_index=False
    )

    class Meta:
        abstract = True
