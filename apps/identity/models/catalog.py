"""The readable catalogue."""

from __future__ import annotations

from django.db import models

from apps.core.models import TimestampedModel
from apps.identity.models.base import Named
from apps.identity.models.projects import Project
from apps.identity.states import Interface, new_id


class Region(Named):
    """A region; the configured one is made by `bootstrap`. Ids are text that the operator chooses."""

    id = models.CharField(primary_key=True, max_length=255, default=new_id, editable=False)
    name = None  # type: ignore[assignment]
    parent = models.ForeignKey("self", on_delete=models.RESTRICT, null=True, related_name="children")

    def __str__(self) -> str:
        return self.id


class Service(Named):
    """A service of the catalogue: rows that an operator adds to the built-in ones."""

    type = models.CharField(max_length=255)
    enabled = models.BooleanField(default=True)

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"


class Endpoint(Named):
    """An address of a service. Its URL may hold `$(project_id)s`."""

    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="endpoints")
    region = models.ForeignKey(Region, on_delete=models.RESTRICT, null=True, related_name="endpoints")
    interface = models.CharField(max_length=16, choices=[(i, i) for i in Interface])
    url = models.TextField()
    enabled = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.url


class EndpointGroup(Named):
    """Endpoints chosen by what they have in common: service, region, interface."""

    filters = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.name


class ProjectEndpoint(models.Model):
    """An endpoint in a project's own catalogue. A project that has any sees only its own, others see all endpoints."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "endpoint"], name="identity_project_endpoint_once")]

    def __str__(self) -> str:
        return f"{self.endpoint_id} for {self.project_id}"


class ProjectEndpointGroup(models.Model):
    """A group of endpoints in a project's own catalogue."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    endpoint_group = models.ForeignKey(EndpointGroup, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "endpoint_group"], name="identity_project_endpoint_group_once")
        ]

    def __str__(self) -> str:
        return f"{self.endpoint_group_id} for {self.project_id}"


class Policy(TimestampedModel):
    """A policy document that a service may fetch; kept for clients, no service of this cloud reads one."""

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    blob = models.TextField()
    type = models.CharField(max_length=255)
    extra = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.id


class PolicyAssociation(models.Model):
    """Which policy an endpoint, a service, or a service in a region has; at most one each."""

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="associations")
    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, null=True, related_name="+")
    service = models.ForeignKey(Service, on_delete=models.CASCADE, null=True, related_name="+")
    region = models.ForeignKey(Region, on_delete=models.CASCADE, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint", "service", "region"],
                nulls_distinct=False,
                name="identity_policy_association_once",
            ),
            models.CheckConstraint(
                condition=models.Q(endpoint__isnull=False, service=None, region=None)
                | models.Q(endpoint=None, service__isnull=False),
                name="identity_policy_association_one_place",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy_id} for {self.endpoint_id or self.service_id}"
