from __future__ import annotations

from django.db import models

from apps.core.models import UuidModel


class Guest(UuidModel):
    """`state` is building, active, stopped, error or deleting; a deleted guest has no row."""

    state = models.CharField(max_length=16, default="building")
    host = models.CharField(max_length=64, blank=True)
    network = models.CharField(max_length=16, default="up")
    fault = models.TextField(blank=True)
    generation = models.PositiveIntegerField(default=1)
    reboots = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "demo_guest"


class Part(UuidModel):
    guest_id = models.UUIDField()
    state = models.CharField(max_length=16, default="creating")

    class Meta:
        db_table = "demo_part"


class Claim(models.Model):
    """Room taken on a host, once per guest."""

    guest_id = models.UUIDField(unique=True)
    host = models.CharField(max_length=64)

    class Meta:
        db_table = "demo_claim"

    def __str__(self) -> str:
        return f"{self.guest_id} on {self.host}"


class Note(models.Model):
    """What the job keeps outside the row, as an object store would."""

    guest_id = models.UUIDField(unique=True)

    class Meta:
        db_table = "demo_note"

    def __str__(self) -> str:
        return str(self.guest_id)
