"""The readable catalogue."""

from __future__ import annotations

from django.db import models

from apps.identity.models.base import Named
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
