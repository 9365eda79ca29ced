"""Events, in one partition for each month."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.audit.states import Outcome


class Event(models.Model):
    """Something that was done, or was refused. A trigger of the database forbids to change or to remove one.

    `project_id` is the project that the target belongs to, or else the one the caller worked in (`scope_id` where it
    is a project). History outlives what it tells of: there are no foreign keys. The table is made by the migration's
    own SQL, because Django knows no partitions.
    """

    pk = models.CompositePrimaryKey("at", "id")
    at = models.DateTimeField()
    id = models.UUIDField()
    action = models.CharField(max_length=128)
    outcome = models.CharField(max_length=16, choices=[(o, o) for o in Outcome])
    code = models.PositiveSmallIntegerField(default=0)
    reason = models.TextField(default="")
    rule = models.CharField(max_length=128, default="")
    user_id = models.CharField(max_length=255, default="")
    user_name = models.CharField(max_length=255, default="")
    user_domain_id = models.CharField(max_length=64, default="")
    scope = models.CharField(max_length=16, default="")
    scope_id = models.CharField(max_length=64, default="")
    roles = ArrayField(models.CharField(max_length=255), default=list)
    credential = models.CharField(max_length=128, default="")
    token_id = models.CharField(max_length=64, default="")
    address = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=256, default="")
    request_id = models.CharField(max_length=64, default="")
    global_request_id = models.CharField(max_length=64, default="")
    project_id = models.CharField(max_length=64, default="")
    target_type = models.CharField(max_length=64, default="")
    target_id = models.CharField(max_length=255, default="")
    target_name = models.CharField(max_length=255, default="")
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    arguments = models.JSONField(default=dict)

    class Meta:
        managed = False
        db_table = "audit_event"

    def __str__(self) -> str:
        return f"{self.action} {self.outcome}"


class Burst(models.Model):
    """Refusals of one kind to one caller: the first ones are events, the others are counted here and told in one."""

    key = models.CharField(primary_key=True, max_length=64)
    began_at = models.DateTimeField()
    last_at = models.DateTimeField()
    count = models.PositiveIntegerField()
    event_id = models.UUIDField()  # of the first one; its time is `began_at`

    def __str__(self) -> str:
        return f"{self.count} refusals"
