"""What the tables of identity share."""

from __future__ import annotations

from django.db import models

from apps.core.models import TimestampedModel
from apps.identity.states import new_id


class Named(TimestampedModel):
    """What nearly every resource of identity has. `extra` keeps attributes that the API does not know."""

    id = models.CharField(primary_key=True, max_length=64, default=new_id, editable=False)
    name = models.CharField(max_length=255)
    description = models.TextField(default="", blank=True)
    options = models.JSONField(default=dict)
    extra = models.JSONField(default=dict)

    class Meta:
        abstract = True
