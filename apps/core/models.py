"""Abstract bases of tables. `core` itself owns no table."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
from django.db import models
from django.db.models.functions import Now

from apps.core.audit import Recalled


class UuidModel(Recalled):
    """A row that is named by a random UUID, with dashes on the wire."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)

    class Meta:
        abstract = True


class TimestampedModel(Recalled):
    """Times are the database's: `created_at` by default, `updated_at` set by the services' updates."""

    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True


class Reconciled(models.Model):
    """A row whose wanted state some host or engine must be made to match.

    `generation` rises with every change of what is wanted; whoever applies it reports the generation it saw.
    """

    generation = models.PositiveIntegerField(default=1)

    class Meta:
        abstract = True


class QuickJsonField(models.JSONField):
    """JSON that is read by orjson: lists of a thousand rows spend most of their time there otherwise.

    To migrations it is a plain `JSONField`.
    """

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return orjson.loads(value) if isinstance(value, str) else super().from_db_value(value, expression, connection)

    def deconstruct(self) -> tuple[Any, Any, Any, Any]:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.JSONField", args, kwargs
